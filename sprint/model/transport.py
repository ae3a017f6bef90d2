"""HTTP below the model's client: our own headers, what passes by, and a socket that can be cut.

Imported only where a model is called: httpx2 takes its time.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx2

_CONNECT_SECONDS = 15.0
_SENT_HEADERS = frozenset(
    {"host", "accept", "connection", "content-type", "content-length", "transfer-encoding", "user-agent"}
)
_DONE = re.compile(rb"[\r\n]data: ?\[DONE\]")
_LONGEST_MARK = 16  # characters in which the end mark can be cut


class Transport:
    """One connection to one server. It takes nothing from the environment: no proxy, no key, no headers.

    `headers` are sent besides. `heard` is called with each sign of life, whatever it is: headers, a piece of
    the answer, a comment that keeps the connection open. `at_end` is called once all of an answer is there,
    before the connection is read to where the next one begins: only then it is used again.
    """

    def __init__(self, key: str, headers: Mapping[str, str] | None = None) -> None:
        self.heard: Callable[[], None] = _nothing
        self.at_end: Callable[[], None] = _nothing
        self.has_ended = False  # the answer's own end mark, data: [DONE], came
        self.http = httpx2.Client(
            trust_env=False,
            follow_redirects=False,
            timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS, pool=_CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=1, max_keepalive_connections=1),
            event_hooks={"request": [self._prepare], "response": [self._listen]},
        )
        self._key = key
        self._headers = dict(headers or {})
        self._socket: socket.socket | None = None
        self._tail = b""
        self._ends_well = True  # as far as is known: an answer goes no further than its end mark

    def hang_up(self) -> None:
        """Cut the connection, from whichever thread."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # Closing would not wake a thread that reads; SSLSocket's own shutdown is not for two threads.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _prepare(self, request: httpx2.Request) -> None:
        for name in [name for name in request.headers if name.lower() not in _SENT_HEADERS]:
            del request.headers[name]
        request.headers.update(self._headers)
        request.headers["accept-encoding"] = "identity"  # what passes by is read
        if self._key:
            request.headers["authorization"] = f"Bearer {self._key}"
        request.extensions["trace"] = self._note_socket
        self.has_ended, self._tail = False, b"\n"

    def _note_socket(self, event: str, info: Mapping[str, Any]) -> None:
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._socket = info["return_value"].get_extra_info("socket")

    def _listen(self, response: httpx2.Response) -> None:
        self.heard()
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Overheard(response.stream, self._take_note, self._read_on)

    def _take_note(self, piece: bytes) -> None:
        self.heard()
        text = self._tail + piece
        self.has_ended = self.has_ended or _DONE.search(text) is not None
        self._tail = text[-_LONGEST_MARK:]

    def _read_on(self, pieces: Iterator[bytes]) -> None:
        """The client hangs up after the end mark, and a new connection costs a handshake each turn."""
        if self.has_ended and self._ends_well:
            self.at_end()
            self._ends_well = False
            with contextlib.suppress(httpx2.HTTPError, httpx2.StreamError, OSError):
                self._ends_well = next(pieces, None) is None


class _Overheard(httpx2.SyncByteStream):
    """A stream whose pieces are told as they pass by; `at_close` may look at those that are left."""

    def __init__(
        self,
        stream: httpx2.SyncByteStream,
        tell: Callable[[bytes], None],
        at_close: Callable[[Iterator[bytes]], None],
    ) -> None:
        self._stream = stream
        self._pieces = iter(stream)
        self._tell = tell
        self._at_close = at_close

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self._tell(piece)
            yield piece

    def close(self) -> None:
        self._at_close(self._pieces)
        self._stream.close()


def _nothing() -> None:
    """Nobody listens."""
