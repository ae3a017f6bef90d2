"""Requests, answers and faults, as the servers on loopback pass them around."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from io import BufferedIOBase
from typing import IO, Any
from urllib.parse import parse_qsl, unquote, urlsplit

_CHUNK = 65536


class HangUp(Exception):
    """Close the connection now, without another byte."""


@dataclass
class Fault:
    """What goes wrong, for requests whose method and path (with the query) match.

    `times` None means for ever; the first `skip` matches pass unharmed. `hang` waits so many seconds first.
    Then one of: `drop` closes the connection, `truncate` sends the first half of the true answer as if it
    were all, `status` answers with `headers` and `body`; none of them lets the true answer through. `after`
    does the work before failing. `call` runs when the request arrives, before anything else.
    """

    path: str = ""
    method: str = ""
    times: int | None = 1
    skip: int = 0
    hang: float = 0.0
    drop: bool = False
    truncate: bool = False
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | bytes = ""
    after: bool = False
    call: Callable[[], object] | None = None
    hits: int = 0

    def matches(self, method: str, target: str) -> bool:
        return (not self.method or self.method == method) and re.search(self.path, target) is not None


@dataclass
class Request:
    """One request. Header names are in lower case; `path` is decoded, `target` is as it was sent."""

    method: str
    target: str
    headers: Mapping[str, str]
    source: BufferedIOBase | IO[bytes]
    _kept: bytes | None = None
    _pieces: Iterator[bytes] | None = None

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @property
    def query_string(self) -> str:
        return urlsplit(self.target).query

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.query_string, keep_blank_values=True))

    def pieces(self) -> Iterator[bytes]:
        """The body, once, as it comes: chunked or by its length."""
        if self._pieces is None:
            self._pieces = self._read_pieces()
        return self._pieces

    def body(self) -> bytes:
        if self._kept is None:
            self._kept = b"".join(self.pieces())
        return self._kept

    def json(self) -> Any:
        return json.loads(self.body() or b"{}")

    def _read_pieces(self) -> Iterator[bytes]:
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            while size := int(self.source.readline().split(b";")[0] or b"0", 16):
                yield self.source.read(size)
                self.source.readline()
            while self.source.readline().strip():
                pass
            return
        left = int(self.headers.get("content-length") or 0)
        while left and (piece := self.source.read(min(left, _CHUNK))):
            left -= len(piece)
            yield piece


@dataclass
class Answer:
    """An answer: bytes are sent whole, a generator's in chunks as they come."""

    status: int = 200
    body: bytes | Generator[bytes, None, None] = b""
    headers: dict[str, str] = field(default_factory=dict)


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    body = json.dumps(value).encode()
    return Answer(status, body, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})


@dataclass(frozen=True)
class Seen:
    """What was asked and how it ended; status 0 where no answer was sent."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    has_token: bool
    status: int
    seconds: float


def basic_credentials(authorization: str) -> str:
    """The `user:password` of a Basic header, else ""."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value, validate=True).decode("utf-8", "replace")
    except ValueError:
        return ""
