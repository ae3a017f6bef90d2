"""An HTTP server on loopback: whole or streamed answers, a log of what was asked, faults on demand."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sprint.demo.http_messages import Answer, Fault, HangUp, Request, Seen, basic_credentials, json_answer

__all__ = ["Answer", "Fault", "HangUp", "LoopbackServer", "Request", "Seen", "json_answer"]

_BODY_KEPT = 4_000_000


class LoopbackServer:
    """Serves `handle` on 127.0.0.1 at a free port from `start` to `stop`.

    `secrets` are the tokens looked for in Authorization headers, to say in `requests` who brought one.
    """

    def __init__(self, handle: Callable[[Request], Answer], secrets: Callable[[], list[str]] = list) -> None:
        self.requests: list[Seen] = []
        self.faults: list[Fault] = []
        self.stopping = threading.Event()
        self._handle = handle
        self._secrets = secrets
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            still_open = list(self._sockets)
        for connection in still_open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def wait(self, seconds: float) -> None:
        """Wait, but never longer than the server lives. Raises HangUp once it stops."""
        if self.stopping.wait(seconds):
            raise HangUp

    def connection_made(self, connection: socket.socket) -> None:
        with self._lock:
            self._sockets.add(connection)

    def connection_lost(self, connection: socket.socket) -> None:
        with self._lock:
            self._sockets.discard(connection)

    def answer(self, request: Request) -> Answer:
        """The answer to a request, spoiled where a fault says so. Raises HangUp for no answer at all."""
        fault = self._fault_for(request)
        if fault is None:
            return self._handle(request)
        if fault.call is not None:
            fault.call()
        if fault.hang:
            self.wait(fault.hang)
        spoiled = fault.drop or fault.status
        true_answer = self._handle(request) if fault.after or fault.truncate or not spoiled else Answer()
        if fault.drop:
            _exhaust(true_answer)
            raise HangUp
        if fault.truncate:
            return Answer(true_answer.status, _first_half(true_answer), true_answer.headers)
        if not fault.status:
            return true_answer
        _exhaust(true_answer)
        body = fault.body.encode() if isinstance(fault.body, str) else fault.body
        return Answer(fault.status, body, dict(fault.headers))

    def log(self, request: Request, status: int, seconds: float) -> None:
        headers = request.headers
        body = (request._kept or b"")[:_BODY_KEPT]
        seen = Seen(
            request.method,
            request.path,
            request.query,
            headers,
            body,
            self._brings_token(headers.get("authorization", "")),
            status,
            seconds,
        )
        with self._lock:
            self.requests.append(seen)

    def _fault_for(self, request: Request) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                spent = fault.times is not None and fault.hits >= fault.skip + fault.times
                if spent or not fault.matches(request.method, request.target):
                    continue
                fault.hits += 1
                if fault.hits > fault.skip:
                    return fault
        return None

    def _brings_token(self, authorization: str) -> bool:
        return any(secret in authorization + basic_credentials(authorization) for secret in self._secrets())


def _exhaust(answer: Answer) -> None:
    if not isinstance(answer.body, bytes):
        for _ in answer.body:
            pass


def _first_half(answer: Answer) -> Generator[bytes, None, None]:
    whole = answer.body if isinstance(answer.body, bytes) else b"".join(answer.body)
    yield whole[: len(whole) // 2]


def _read_the_rest(request: Request) -> None:
    """What is left of a body would be taken for the next request."""
    for _ in request.pieces():
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    owner: LoopbackServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are part of the play; anything else is a fault of ours and is shown."""
        if not isinstance(sys.exception(), (ConnectionError, HangUp)):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.owner.connection_made(self.connection)

    def finish(self) -> None:
        self.server.owner.connection_lost(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """The log of requests is kept for whoever asks, not printed."""

    def serve(self) -> None:
        """Answer one request. It is in the log before its answer is whole: who got that can look there."""
        owner = self.server.owner
        started = time.monotonic()
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, self.rfile)
        status = 0
        try:
            answer = owner.answer(request)
            status = answer.status
            end = self._begin(answer, request)
            _read_the_rest(request)
        except (HangUp, ConnectionError):
            self.close_connection = True
            end = b""
        finally:
            owner.log(request, status, time.monotonic() - started)
        with contextlib.suppress(ConnectionError):
            self.wfile.write(end)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = serve  # noqa: N815 - http.server's names

    def _begin(self, answer: Answer, request: Request) -> bytes:
        """Send an answer but for its end, which is returned."""
        headers = dict(answer.headers)
        if not isinstance(answer.body, bytes):
            headers["Transfer-Encoding"] = "chunked"
        elif answer.status not in (204, 304):
            headers["Content-Length"] = str(len(answer.body))
        reason = HTTPStatus(answer.status).phrase if answer.status in set(HTTPStatus) else "Status"
        head = [f"HTTP/1.1 {answer.status} {reason}", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
        start = "\r\n".join(head).encode("latin-1")
        if isinstance(answer.body, bytes):
            return start + (b"" if request.method == "HEAD" else answer.body)
        self.wfile.write(start)
        with contextlib.closing(answer.body) as pieces:
            for piece in filter(None, pieces):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        return b"0\r\n\r\n"
