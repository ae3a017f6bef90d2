"""One connection from the sandbox: requests read strictly, answers written at once.

http.server forgives what a boundary must not (two lengths, blanks before colons, controls in values). h11
refuses as the standard asks, and does no input or output itself: limits and streaming are decided here.
"""

from __future__ import annotations

import re
import select
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote

import h11

HEAD_BYTES = 16_384
HEAD_SECONDS = 15.0  # for a whole request line and its headers
IDLE_SECONDS = 60.0  # between two requests, and for one piece of an answer to be taken
BODY_SECONDS = 120.0
_CHUNK = 65_536
_UNWANTED_BYTES = 1_000_000
_TARGET = re.compile(r"/[\x21-\x7e]*", re.ASCII)
_OWN_REASONS = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Content Too Large",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class Refused(Exception):
    """What the client is told in place of an answer: a status and one line without address or host."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class ClientGone(Exception):
    """The connection is over: closed, too slow, or no HTTP."""


class Exchange:
    """One request and its answer. Either `answer` is called, or `start`, `write` and `finish`."""

    def __init__(self, connection: Connection, request: h11.Request) -> None:
        self._connection = connection
        self.method = request.method.decode("ascii")
        self.target = request.target.decode("ascii")
        # h11 gives names in lower case; of a header that comes twice, the values are one list.
        self.headers: dict[str, str] = {}
        for name, value in request.headers:
            key, text = name.decode("ascii"), value.decode("latin-1")
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text
        self.started = False
        self.finished = False

    @property
    def path(self) -> str:
        """The target's path, as sent (percent signs included), without its query."""
        return self.target.partition("?")[0]

    def check_path(self) -> None:
        """Raises Refused where the target is anything but a plain path of this server's."""
        if _TARGET.fullmatch(self.target) is None or "#" in self.target:
            raise Refused(400, "the target must be a path; nothing is forwarded to other hosts")
        decoded = unquote(self.path)
        if not decoded.isprintable() or "\\" in decoded or "//" in decoded:
            raise Refused(400, "a path of plain characters only")
        if any(segment in (".", "..") for segment in decoded.split("/")):
            raise Refused(400, "a path without . and .. only")

    def body(self, cap: int) -> bytes:
        """The whole request body. Raises Refused over `cap` bytes."""
        return self._connection.read_body(cap)

    def tunnel(self) -> tuple[socket.socket, bytes]:
        """The bare connection after a CONNECT that was granted, and what of it has been read already."""
        return self._connection.switch()

    def answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """A whole answer at once."""
        fields = {"content-type": "text/plain; charset=utf-8", **(headers or {})}
        self.start(status, {**fields, "content-length": str(len(body))})
        self.write(body)
        self.finish()

    def refuse(self, refusal: Refused) -> None:
        """Say why not, in the body and in the status line: of some clients people see only that."""
        body = f"{refusal.reason}\n".encode()
        fields = {"content-type": "text/plain; charset=utf-8", "content-length": str(len(body))}
        self.start(refusal.status, fields, reason=refusal.reason)
        self.write(body)
        self.finish()

    def start(self, status: int, headers: Mapping[str, str], *, reason: str = "") -> None:
        """Send status and headers; without a content-length the body goes in chunks."""
        self.started = True
        phrase = re.sub(r"[^ -~]", "?", reason or _OWN_REASONS.get(status, ""))[:200].encode()
        fields = [(name.encode("ascii"), _header_value(value)) for name, value in headers.items()]
        self._connection.send(h11.Response(status_code=status, headers=fields, reason=phrase))

    def write(self, data: bytes) -> None:
        """Send a piece of the body, now."""
        if data and self.method != "HEAD":
            self._connection.send(h11.Data(data=data))

    def finish(self) -> None:
        self.finished = True
        self._connection.send(h11.EndOfMessage())

    def is_gone(self) -> bool:
        """Whether the client has hung up; may be asked by any thread."""
        return self._connection.is_gone()

    def stream(self, status: int, headers: Mapping[str, str], pieces: Iterable[bytes]) -> None:
        self.start(status, headers)
        for piece in pieces:
            self.write(piece)
        self.finish()


class Connection:
    """A connected socket that speaks HTTP/1.1 as a server; it is closed by whoever opened it."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)

    def exchanges(self) -> Iterator[Exchange]:
        """The requests, one after the other, until the client hangs up. Raises ClientGone."""
        wait = HEAD_SECONDS
        while True:
            try:
                event = self._event(wait)
            except h11.RemoteProtocolError as error:
                self._refuse_raw(error)
                return
            if not isinstance(event, h11.Request):
                return
            exchange = Exchange(self, event)
            if event.http_version not in (b"1.0", b"1.1"):
                exchange.refuse(Refused(400, "HTTP/1.1 is spoken here"))
                return
            if {"transfer-encoding", "content-length"} <= set(exchange.headers):
                exchange.refuse(Refused(400, "both Content-Length and Transfer-Encoding"))
                return
            yield exchange
            if not self._begin_next():
                return
            wait = IDLE_SECONDS

    def send(self, event: h11.Event) -> None:
        """Raises ClientGone where the client does not take it in time."""
        try:
            self._socket.settimeout(IDLE_SECONDS)
            pieces = self._http.send_with_data_passthrough(event) or ()
            if sum(map(len, pieces)) <= _CHUNK:  # at once: each send may wake the client for a part of it
                self._socket.sendall(b"".join(pieces))
                return
            for piece in pieces:
                self._socket.sendall(piece)
        except (OSError, h11.LocalProtocolError) as error:
            raise ClientGone(str(error)) from error

    def read_body(self, cap: int) -> bytes:
        body = bytearray()
        deadline = time.monotonic() + BODY_SECONDS
        try:
            if self._http.they_are_waiting_for_100_continue:
                self.send(h11.InformationalResponse(status_code=100, headers=[]))
            while not isinstance(event := self._event(deadline - time.monotonic()), h11.EndOfMessage):
                if not isinstance(event, h11.Data):
                    raise ClientGone("it hung up in the middle of its request")
                body += event.data
                if len(body) > cap:
                    raise Refused(413, f"a request may have {cap} bytes at most")
        except h11.RemoteProtocolError as error:
            raise ClientGone(str(error)) from error
        return bytes(body)

    def is_gone(self) -> bool:
        try:
            if not (ready := select.select([self._socket], [], [], 0)[0]):
                return False
            return ready[0].recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):
            return True

    def switch(self) -> tuple[socket.socket, bytes]:
        early, _ = self._http.trailing_data
        return self._socket, early

    def _event(self, seconds: float) -> h11.Event | type[h11.PAUSED]:
        deadline = time.monotonic() + seconds
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event  # type: ignore[return-value]
            left = deadline - time.monotonic()
            if left <= 0:
                raise ClientGone("too slow")
            try:
                self._socket.settimeout(left)
                self._http.receive_data(self._socket.recv(_CHUNK))
            except OSError as error:
                raise ClientGone(str(error)) from error

    def _begin_next(self) -> bool:
        """Whether another request may follow on this connection."""
        try:
            if self._http.their_state is h11.SEND_BODY:
                self.read_body(_UNWANTED_BYTES)  # closed with something unread, the answer could be lost
            self._http.start_next_cycle()
        except (Refused, h11.ProtocolError):
            return False
        return True

    def _refuse_raw(self, error: h11.RemoteProtocolError) -> None:
        status = error.error_status_hint
        status = status if status in _OWN_REASONS else 400
        try:
            self.send(
                h11.Response(
                    status_code=status,
                    headers=[("connection", "close"), ("content-length", "0")],
                    reason=_OWN_REASONS[status].encode(),
                )
            )
            self.send(h11.EndOfMessage())
        except ClientGone:
            pass


def _header_value(value: str) -> bytes:
    return re.sub(r"[\r\n\0]", " ", value).encode("latin-1", "replace")
