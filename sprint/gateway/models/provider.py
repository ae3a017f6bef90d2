"""Connections to one model's server: only what is said here is sent, and they can be cut at any time."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from sprint import __version__
from sprint.credentials import NO_KEY
from sprint.domain import Endpoint
from sprint.gateway.models.dialect import Dialect
from sprint.gateway.upstream import trusting

CONNECT_SECONDS = 15.0
_KEPT = 16  # connections, for reuse
_CHUNK = 65_536
_ANTHROPIC = "api.anthropic.com"
_LONG_LIVED = "sk-ant-oat"  # what `claude setup-token` makes
_OAUTH_BETA = "oauth-2025-04-20"
_LOST = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


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


class Provider:
    """For all threads of one gateway. It takes nothing from the environment: no proxy, no key."""

    def __init__(self, endpoint: Endpoint, dialect: Dialect) -> None:
        self.endpoint = endpoint
        self.asks_usage = True  # until its server turns out not to count in a stream
        parts = urlsplit(endpoint.base_url)
        self._is_tls = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port
        self._path = parts.path.rstrip("/")
        self._key = endpoint.key.reveal().strip()
        self._dialect = dialect
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self._context = trusting({}, ()) if self._is_tls else None

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @contextlib.contextmanager
    def asked(
        self, line: Line, path: str, headers: Mapping[str, str], body: bytes
    ) -> Iterator[http.client.HTTPResponse]:
        """POST; the answer's head is there, its body yet to be read. Raises OSError, HTTPException."""
        sent = {
            "user-agent": f"sprint-gateway/{__version__}",
            "accept-encoding": "identity",  # what passes by is read
            **headers,
            **self._authorization(headers),
        }
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
            with self._lock:
                kept = self._idle.pop() if self._idle else None
            line.connection = connection = kept or self._connection()
            try:
                if connection.sock is None:
                    connection.connect()
                    _without_timeout(connection.sock)  # whoever asks has a clock of its own
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

    def _connection(self) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_SECONDS)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=CONNECT_SECONDS, context=self._context
        )

    def _give_back(self, connection: http.client.HTTPConnection, *, is_over: bool) -> None:
        with self._lock:
            if is_over and len(self._idle) < _KEPT:
                self._idle.append(connection)
                return
        connection.close()

    def _authorization(self, headers: Mapping[str, str]) -> dict[str, str]:
        """As the server wants it: Anthropic's own has keys of two sorts."""
        if not self._key or self.endpoint.key == NO_KEY:
            return {}
        if self._host == _ANTHROPIC and self._dialect == "messages":
            if not self._key.startswith(_LONG_LIVED):
                return {"x-api-key": self._key}
            betas = filter(None, [headers.get("anthropic-beta", ""), _OAUTH_BETA])
            return {"authorization": f"Bearer {self._key}", "anthropic-beta": ",".join(betas)}
        return {"authorization": f"Bearer {self._key}"}


def _without_timeout(sock: socket.socket | None) -> None:
    assert sock is not None
    sock.settimeout(None)


def pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body as it comes. Raises OSError, HTTPException where it breaks off."""
    while data := response.read1(_CHUNK):
        yield data


def misplaced(endpoint: Endpoint) -> str:
    """Why an endpoint's key is not for its server, or "": Anthropic's own would be billed by mistake there,
    or shown to whoever runs that server."""
    host = urlsplit(endpoint.base_url).hostname or ""
    if endpoint.key.reveal().startswith("sk-ant-") and host != _ANTHROPIC:
        return f"its key is one of Anthropic's, and {host} is not; give model: a key of that server's own"
    return ""
