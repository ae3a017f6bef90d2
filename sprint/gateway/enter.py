"""Runs inside the sandbox in place of a command: hands the gateway the doors, then becomes the command.

    python3 enter.py COMMAND [ARGUMENT ...]

Sockets that listen on the sandbox's own loopback are made here and passed to the gateway over its socket. So
no process of ours stays in the sandbox, no byte is copied twice, and what listens goes with the gateway.
Standard library only, for any Python from 3.7 on; beside it lie `socket`, `doors.json` and `home/`.
"""

from __future__ import annotations

import array
import errno
import json
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

HERE = Path(__file__).parent
FAILED = 125


def main() -> NoReturn:
    try:
        hand_over(json.loads((HERE / "doors.json").read_text()))
        seed(HERE / "home", Path(os.environ["HOME"]))
    except (OSError, KeyError, ValueError) as error:
        sys.stderr.write(f"sprint: the gateway cannot be used: {error}\n")
        sys.exit(FAILED)
    try:
        os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - it becomes what the sandbox was told to run
    except OSError as error:
        sys.stderr.write(f"{sys.argv[1]}: {error.strerror}\n")
        sys.exit(126 if error.errno == errno.EACCES else 127)


def hand_over(doors: dict[str, Any]) -> None:
    """Raises OSError where the gateway is gone, or does not know this run."""
    listening = []
    for port in doors["ports"].values():
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
        listening.append(listener)
    message = json.dumps({"token": doors["token"], "routes": list(doors["ports"])}).encode()
    descriptors = array.array("i", [listener.fileno() for listener in listening])
    with socket.socket(socket.AF_UNIX) as gateway:
        gateway.settimeout(10)
        gateway.connect(str(HERE / "socket"))
        gateway.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
        if gateway.recv(1) != b"+":
            raise OSError("it refused")


def seed(source: Path, home: Path) -> None:
    """Put settings of clients that read no variable into HOME, never over what is there."""
    for file in source.rglob("*"):
        target = home / file.relative_to(source)
        if file.is_file() and not os.path.lexists(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


if __name__ == "__main__":
    main()
