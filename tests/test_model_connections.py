"""Connections to a model's server that are kept, and what such a server does to them between two turns."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from sprint.domain import Endpoint, Secret
from sprint.errors import ModelTrouble
from sprint.model.connection import Connection
from sprint.model.faults import Fault
from sprint.model.watchdog import Wait

SECONDS = 60.0  # more than any of it takes


def answer(text: str) -> bytes:
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    body = json.dumps({"choices": [choice]}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Server:
    """Answers the first request of each connection, waits until that is read, does `then`, and says so."""

    def __init__(
        self, then: bytes | None = None, tls: ssl.SSLContext | None = None, before: bytes = b""
    ) -> None:
        self._then = then  # None: it hangs up
        self._before = before
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections = 0
        self.is_read, self.is_done = threading.Event(), threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            client.settimeout(SECONDS)
            own = self._tls.wrap_socket(client, server_side=True) if self._tls else client
            with own, own.makefile("rb") as file:
                self._read(file)
                own.sendall(self._before + answer("well"))
                self.is_read.wait(SECONDS)
                if self._then is not None:
                    own.sendall(self._then)
                    self.is_done.set()
                    file.read()
        self.is_done.set()

    def _read(self, file: IO[bytes]) -> None:
        length = 0
        while (line := file.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        file.read(length)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's context, which this process trusts."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@contextlib.contextmanager
def connected(url: str) -> Iterator[Connection]:
    with contextlib.closing(Connection(Endpoint("m", url, Secret("none")), lambda _: None)) as connection:
        yield connection


def said(connection: Connection, question: str = "hello") -> str:
    wait = Wait(SECONDS, SECONDS, time.monotonic() + SECONDS)
    return connection.ask([{"role": "user", "content": question}], [], wait).content


def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next() -> None:
    with (
        contextlib.closing(Server(answer("another's"))) as server,
        connected(f"http://127.0.0.1:{server.port}/v1") as connection,
    ):
        assert said(connection) == "well"
        server.is_read.set()
        assert server.is_done.wait(SECONDS)
        assert said(connection) == "well"
        assert server.connections == 2


def test_nothing_is_lost_to_a_connection_that_was_closed_between_two_turns(certified: ssl.SSLContext) -> None:
    """A long conversation by TLS does not get through to where it would be read that it is closed."""
    with (
        contextlib.closing(Server(tls=certified)) as server,
        connected(f"https://localhost:{server.port}/v1") as connection,
    ):
        assert said(connection) == "well"
        server.is_read.set()
        assert server.is_done.wait(SECONDS)
        assert said(connection, "a long one" * 300_000) == "well"
        assert server.connections == 2


def test_what_only_announces_an_answer_is_none() -> None:
    announced = b"HTTP/1.1 100 Continue\r\n\r\n"
    announced += b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
    with (
        contextlib.closing(Server(before=announced * 2)) as server,
        connected(f"http://127.0.0.1:{server.port}/v1") as connection,
    ):
        assert said(connection) == "well"


@pytest.mark.parametrize("host", ["models..example", f"{'x' * 64}.example"])
def test_a_name_that_no_host_can_have_is_no_usable_address(host: str) -> None:
    with connected(f"http://{host}/v1") as connection, pytest.raises(Fault) as caught:
        said(connection)
    assert caught.value.kind is ModelTrouble.UNKNOWN
    assert caught.value.reason.startswith("no usable address: ")
