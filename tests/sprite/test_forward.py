"""A run's gateway as it answers on a machine behind a real sshd."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sprint.config import SshBackendConfig
from sprint.worker.sprite import forward
from sprint.worker.sprite.forward import Way
from tests.around import around
from tests.servers.sshd import sshd
from tests.sprite.far_work import run_of
from tests.waiting import wait_until

pytestmark = pytest.mark.machine


class Greeting(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(b"hello")


@contextmanager
def gateway(folder: Path) -> Iterator[None]:
    """Something that listens where a run's gateway would."""
    (folder / "gateway").mkdir(parents=True)
    (folder / "gateway" / "key.json").write_text("{}")
    descriptor = os.open(folder / "gateway", os.O_RDONLY)
    address = f"/proc/self/fd/{descriptor}/model.http"
    with socketserver.ThreadingUnixStreamServer(address, Greeting) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield
        server.shutdown()
    (folder / "gateway" / "key.json").unlink()
    os.close(descriptor)


def says_hello(way: Way) -> bool:
    place: Any = (socket.AF_UNIX, f"{way.folder}/{forward.SOCKET}")
    if way.port:
        place = (socket.AF_INET, ("127.0.0.1", way.port))
    with socket.socket(place[0]) as caller:
        caller.settimeout(10)
        try:
            caller.connect(place[1])
            return caller.recv(10) == b"hello"
        except OSError:
            return False


def forwarding(config: SshBackendConfig) -> list[int]:
    """The processes that do: those that only ask something end by themselves."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if words[0] == b"ssh" and b"-N" in words and config.identity_file.encode() in words:
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("by_socket", [False, True], ids=["port", "socket"])
def test_it_answers_there_again_after_a_break_and_ends_with_the_gateway(
    tmp_path: Path, by_socket: bool
) -> None:
    """At the same place: the agent knows no other."""
    folder = tmp_path / "run"

    def started(config: SshBackendConfig) -> Way:
        return forward.start(run_of(1), folder, config, around(tmp_path, os.environ), by_socket=by_socket)

    with sshd(tmp_path / "ssh") as server:
        with gateway(folder):
            way = started(server.config)
            assert wait_until(lambda: says_hello(way))
            assert started(server.config) == way
            (ssh,) = forwarding(server.config)
            os.kill(ssh, signal.SIGKILL)
            assert wait_until(lambda: forwarding(server.config) not in ([], [ssh]))
            assert wait_until(lambda: says_hello(way))
        if by_socket:
            assert wait_until(lambda: not Path(way.folder).exists())
        assert wait_until(lambda: not forwarding(server.config))
