"""Has a port of a sandbox's own loopback lead to a socket that is shown there, and becomes a command.

    python3 relay.py PORT SOCKET COMMAND [ARGUMENT ...]

Standard library only, and nothing of sprint: it goes to the machine with the task. Where the socket comes
from is another machine, so that a listener cannot be handed over to whoever answers, as enter.py does.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from typing import NoReturn

_CHUNK = 1 << 16


def main() -> NoReturn:
    port, path, *command = sys.argv[1:]
    listener = socket.create_server(("127.0.0.1", int(port)), backlog=128)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:  # nobody's child: what ends the command's descendants does not end it
            serve(listener, path)
        os._exit(0)
    os.wait()
    listener.close()
    os.execvp(command[0], command)  # noqa: S606 - it becomes what the sandbox was told to run


def serve(listener: socket.socket, path: str) -> NoReturn:
    while True:
        caller, _ = listener.accept()
        threading.Thread(target=_join, args=(caller, path), daemon=True).start()


def _join(caller: socket.socket, path: str) -> None:
    """Nobody answers while the connection to the other machine is away: who calls is hung up on."""
    with caller, socket.socket(socket.AF_UNIX) as answerer, contextlib.suppress(OSError):
        answerer.connect(path)
        back = threading.Thread(target=_copy, args=(answerer, caller), daemon=True)
        back.start()
        _copy(caller, answerer)
        back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main()
