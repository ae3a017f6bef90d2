"""The real server on loopback, in a thread of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest

from sprint.config import load
from sprint.domain import Secret
from sprint.serve import report_live
from sprint.serve.http_server import Servable, serve, server_of
from sprint.serve.site import Site
from tests.around import around


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report is looked at, and made again, without the pauses that spare a machine."""
    for name, value in {"SECONDS": 0.1, "_LEAST_SECONDS": 0.2, "_IDLE_SHARE": 0}.items():
        monkeypatch.setattr(report_live, name, value)


S = TypeVar("S", bound=Servable)

_CONFIG = (
    "forges:\n  gitea: {kind: gitea, url: https://git.example.org}\n"
    "repos: [{name: octo/widgets}, {name: acme/docs}]\npaths: {results: results}\n"
    "backends: {here: {kind: local, path: sprites}}\n"
    "workers: {far: {kind: sprite, backend: here, sprites: [bramble, willow]}}\n"
)


def a_configuration(root: Path) -> Path:
    path = root / "sprint.yaml"
    path.write_text(_CONFIG)
    return path


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str


@dataclass(frozen=True)
class Served(Generic[S]):
    site: S
    port: int

    def get(self, path: str, *, method: str = "GET", body: str | bytes = "", **headers: str) -> Answer:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            is_chunked = "Transfer-Encoding" in given
            connection.request(method, path, body or None, given, encode_chunked=is_chunked)
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, named, answer.read().decode())

    @contextlib.contextmanager
    def events(self, path: str, **headers: str) -> Iterator[Events]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", path, headers={name.replace("_", "-"): v for name, v in headers.items()})
        answer = connection.getresponse()
        assert answer.status == 200
        try:
            yield Events(answer)
        finally:
            answer.close()
            connection.close()


class Events:
    """A stream of server-sent events, read one by one."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self._answer = answer
        self.last_id = ""

    def next(self) -> tuple[str, Any]:
        """Its name and data; ("end", None) where the stream is over."""
        name = ""
        while line := self._answer.readline().decode():
            field, _, value = line.rstrip("\n").partition(": ")
            if field == "event":
                name = value
            elif field == "id":
                self.last_id = value
            elif field == "data":
                return name, json.loads(value)
        return "end", None

    def until(self, text: str) -> str:
        """All lines until one has this text in it."""
        lines: list[str] = []
        while True:
            name, data = self.next()
            assert name != "end", lines
            if name == "lines":
                lines += [line for _, _, line in data]
                if any(text in line for line in lines):
                    return "\n".join(lines)

    def state(self, key: str, value: str) -> dict[str, Any]:
        """The first state in which `value` is in `key`."""
        while True:
            name, data = self.next()
            assert name != "end"
            if name == "state" and value in str(data.get(key)):
                return dict(data)


@contextlib.contextmanager
def served(
    root: Path, *, token: str = "", names: tuple[str, ...] = (), port: int = 0
) -> Iterator[Served[Site]]:
    config = load(a_configuration(root), around(root))
    site = Site(config, around(root), Secret(token) if token else None, ("localhost", *names))
    with serving(site, socket.create_server(("127.0.0.1", port))) as one:
        yield one


@contextlib.contextmanager
def serving(
    site: S, listener: socket.socket | None = None, certificate: str = "", certificate_key: str = ""
) -> Iterator[Served[S]]:
    """Any site, as the command serves it."""
    listener = listener or socket.create_server(("127.0.0.1", 0))
    server = server_of(site, certificate, certificate_key)
    thread = threading.Thread(target=lambda: asyncio.run(serve(server, site, listener)), name="served")
    thread.start()
    try:
        yield Served(site, listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(60)
        listener.close()
    assert not thread.is_alive()
