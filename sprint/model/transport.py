"""HTTP to one model's server: only what is said here is sent, and a connection can be cut at any time."""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote, urlsplit

CONNECT_SECONDS = 15.0
_KEPT = 16  # connections, for reuse
_CHUNK = 65_536
_LOST = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)


class _Response(http.client.HTTPResponse):
    """Of answers that only announce another one, Python's own knows 100."""

    def begin(self) -> None:
        super().begin()
        while 100 < self.status < 200 and self.status != 101:
            self.headers = None  # type: ignore[assignment]
            super().begin()


class Line:
    """One connection while it is asked. `cut` may be called by any thread."""

    def __init__(self) -> None:
        self.connection: http.client.HTTPConnection | None = None
        self.is_cut = False

    def cut(self) -> None:
        self.is_cut = True
        sock = self.connection.sock if self.connection is not None else None
        if sock is not None:
            with contextlib.suppress(OSError):
                # Closing would not wake a thread that reads; SSLSocket's own shutdown is not for two threads.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


class Transport:
    """Connections to the server at `url`, kept for reuse by any thread. It takes no proxy and no key from the
    environment, and follows no redirect. Raises ValueError where the port is none, or no host can be
    called so."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._is_known = parts.scheme in ("http", "https")
        self._host, self._port = parts.hostname or "", parts.port
        self._host.encode("idna")
        self._path = quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
        self._context = trusted() if parts.scheme == "https" else None
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextlib.contextmanager
    def asked(
        self, line: Line, path: str, headers: Mapping[str, str], body: bytes
    ) -> Iterator[http.client.HTTPResponse]:
        """POST; the answer's head is there, its body yet to be read.

        Raises OSError and HTTPException, of which InvalidURL is for an address that is none.
        """
        if not (self._is_known and self._host):
            raise http.client.InvalidURL("it begins with http:// or https:// and the name of a host")
        sent = {"accept-encoding": "identity", **headers}  # what passes by is read
        response = self._sent(line, f"{self._path}{path}", sent, body)
        assert line.connection is not None
        try:
            yield response
        finally:
            is_over = response.isclosed() and not response.will_close and not line.is_cut
            response.close()
            self._give_back(line.connection, is_over=is_over)

    def _sent(
        self, line: Line, target: str, headers: Mapping[str, str], body: bytes
    ) -> http.client.HTTPResponse:
        """A connection that was kept may be gone by now: then it is sent once more, by a new one."""
        while True:
            kept = self._kept()
            line.connection = connection = kept or self._connection()
            try:
                if connection.sock is None:
                    _connect(connection)
                if line.is_cut:
                    raise ConnectionAbortedError("cut before it was asked")
                connection.request("POST", target, body, dict(headers))
                return connection.getresponse()
            except _LOST:
                connection.close()
                if kept is None or line.is_cut:
                    raise
            except BaseException:
                connection.close()
                raise

    def _kept(self) -> http.client.HTTPConnection | None:
        """One that waits for a question. What the server has sent since the last answer is none to this one,
        or says that it is closed."""
        while True:
            with self._lock:
                kept = self._idle.pop() if self._idle else None
            if kept is None or not _has_news(kept.sock):
                return kept
            kept.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._context is None:
            made = http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_SECONDS)
        else:
            made = http.client.HTTPSConnection(
                self._host, self._port, timeout=CONNECT_SECONDS, context=self._context
            )
        made.response_class = _Response
        return made

    def _give_back(self, connection: http.client.HTTPConnection, *, is_over: bool) -> None:
        with self._lock:
            if is_over and len(self._idle) < _KEPT:
                self._idle.append(connection)
                return
        connection.close()


def pieces(response: http.client.HTTPResponse, heard: Callable[[], None] = lambda: None) -> Iterator[bytes]:
    """The body as it comes; `heard` is called at each piece. Raises OSError, HTTPException where it breaks
    off."""
    while data := response.read1(_CHUNK):
        heard()
        yield data
    response.close()  # Python 3.12 and older would hold one of a told length open


def _connect(connection: http.client.HTTPConnection) -> None:
    connection.connect()
    sock: socket.socket | None = connection.sock
    assert sock is not None
    sock.settimeout(None)  # whoever asks has a clock of its own


def _has_news(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def trusted() -> ssl.SSLContext:
    """Who is believed to be a model's server: whom this machine trusts."""
    from sprint.gateway.upstream import trusting

    return trusting({}, ())
