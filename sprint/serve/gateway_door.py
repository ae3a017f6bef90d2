"""/gateway/RUN: a run's gateway, as it is in the sandbox, for an agent on a machine elsewhere.

What comes with the run's own key is passed on to the run's gateway, a process with the meter, the limits and
the list of what may be asked; this is a pipe to it. Once that process has ended nothing answers any more.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import httpx2
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from sprint.errors import SprintError
from sprint.gateway import own_process
from sprint.gateway.exchange import Refused
from sprint.gateway.models.run_key import is_brought
from sprint.runs import RunStore

PREFIX = "/gateway"
MOST = 64  # requests under way at once, of all runs
# Of one connection, or of the machines between.
_NOT_PASSED_ON = frozenset(
    {
        *(
            "connection",
            "keep-alive",
            "proxy-connection",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "expect",
        ),
        *("content-length", "host", "cookie", "proxy-authorization", "via", "forwarded", "x-real-ip"),
        *("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"),
    }
)
_WRITE_SECONDS = 60.0
_NO_KEY = "not this run's key, or the run is over"


class NobodyThere(SprintError):
    """The run's gateway does not answer."""


class Door:
    """Passes requests on. To be used in one event loop."""

    def __init__(self) -> None:
        self._busy = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # unused: it is a socket of this machine

    async def passed_on(self, request: Request, store: RunStore, run_id: str) -> Response:
        """Raises Refused, and NobodyThere where the key is right and the gateway away."""
        folder = _folder(request.headers, store, run_id)
        if self._busy >= MOST:
            raise Refused(503, "too many requests at once")
        self._busy += 1
        try:
            return await self._answered(request, folder)
        except BaseException:
            self._busy -= 1
            raise

    async def _answered(self, request: Request, folder: Path) -> Response:
        descriptor = _opened(folder)
        try:
            socket = f"/proc/self/fd/{descriptor}/{own_process.SOCKET}"  # an address itself holds 107 bytes
            way = httpx2.AsyncHTTPTransport(uds=socket, verify=self._context)
            answer = await way.handle_async_request(_request(request))
        except httpx2.TransportError as error:
            raise NobodyThere(f"the gateway of {folder.parent.name} does not answer: {error}") from error
        finally:
            os.close(descriptor)

        async def ended() -> None:
            self._busy -= 1
            await answer.aclose()
            await way.aclose()

        return _Streamed(answer.aiter_raw(), answer.status_code, _passed_on(answer.headers), ended)


class _Streamed(StreamingResponse):
    """Tells when it has ended, however it did."""

    def __init__(
        self,
        pieces: AsyncIterator[bytes],
        status: int,
        headers: Mapping[str, str],
        ended: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(pieces, status, headers)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._ended()


def _folder(headers: Mapping[str, str], store: RunStore, run_id: str) -> Path:
    """That of the run's gateway. Raises Refused for whoever does not bring its key."""
    try:
        folder = store.folder(run_id) / own_process.FOLDER
        key = own_process.key_of(folder).key
    except SprintError:
        raise Refused(401, _NO_KEY) from None
    if not is_brought(headers, key):
        raise Refused(401, _NO_KEY)
    return folder


def _opened(folder: Path) -> int:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise Refused(401, _NO_KEY) from error


def _request(request: Request) -> httpx2.Request:
    parts = request.scope["raw_path"].split(b"/", 3)
    if len(parts) < 4:  # a slash before it was written as %2F
        raise Refused(404, "no path of the gateway's")
    query, has_body = request.scope["query_string"], request.method == "POST"
    target = b"/" + parts[3] + (b"?" + query if query else b"")
    headers = {**_passed_on(request.headers), "host": "gateway"}
    if has_body and "content-length" in request.headers and "transfer-encoding" not in request.headers:
        headers["content-length"] = request.headers["content-length"]
    timeouts = {"connect": 5.0, "read": None, "write": _WRITE_SECONDS, "pool": 5.0}
    return httpx2.Request(
        request.method,
        "http://gateway",
        headers=headers,
        content=request.stream() if has_body else None,
        extensions={"timeout": timeouts, "target": target},
    )


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items() if name.lower() not in _NOT_PASSED_ON}
