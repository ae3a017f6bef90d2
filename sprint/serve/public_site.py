"""What others call: sprites, forges, and agents elsewhere that ask their model. It shows nothing of anything.

Who calls is known by a signature or a key; whoever has neither learns nothing, not even which runs there are.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sprint.config import Config
from sprint.errors import SprintError
from sprint.gateway.exchange import Refused
from sprint.runs import RunStore
from sprint.serve import forge_hooks, gateway_door, sprite_hooks
from sprint.serve.forge_hooks import ForgeHooks
from sprint.serve.gateway_door import Door, NobodyThere
from sprint.serve.tick_starter import TickStarter
from sprint.surroundings import Surroundings

BODY_SECONDS = 15.0
_BODIES = 64  # read at once
_THREADS = 4
_READ_ON = 4  # times as much as is kept
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

_log = logging.getLogger(__name__)


class PublicSite:
    """`app` is to be served; `stop` ends what it keeps. Raises ConfigError for a secret that is not there."""

    def __init__(self, config: Config, around: Surroundings) -> None:
        self.ticks = TickStarter(config, around)
        self._has_proxy = config.public.proxy
        self._store = RunStore(config.paths.results)
        self._hooks = ForgeHooks(config, around)
        self._door = Door()
        self._bodies = 0
        self._threads = ThreadPoolExecutor(_THREADS, "sprint-called")  # a slow forge must not stop the page
        routes = [
            Route("/webhooks/sprite/{run}", self._sprite, methods=["POST"]),
            Route("/api/webhooks/sprite/{run}", self._sprite, methods=["POST"]),
            Route("/webhooks/forge", self._forge, methods=["POST"]),
            Route(f"{gateway_door.PREFIX}/{{run}}/{{path:path}}", self._gateway, methods=["GET", "POST"]),
            Route("/healthz", _healthz),
        ]
        handlers = {Refused: _refused, SprintError: _failed, ClientDisconnect: _gone}
        self.app: ASGIApp = Starlette(routes=routes, exception_handlers=handlers)

    def stop(self) -> None:
        self.ticks.stop()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _sprite(self, request: Request) -> Response:
        body = await self._body(request, sprite_hooks.BODY_BYTES)
        run_id = request.path_params["run"]
        taken = await asyncio.to_thread(sprite_hooks.take, self._store, run_id, request.headers, body)
        if not taken.is_new:
            return _says("known already")
        self.ticks.ask(taken.run.forge, taken.run.repo, taken.run.id)
        return _says("taken", 202)

    async def _forge(self, request: Request) -> Response:
        body = await self._body(request, forge_hooks.BODY_BYTES)
        loop = asyncio.get_running_loop()
        event = await loop.run_in_executor(self._threads, self._hooks.event, request.headers, body)
        if event.repo is None or event.why_not:
            return _says(f"no tick: {event.why_not}")
        self.ticks.ask(event.repo.forge, event.repo.name)
        return _says("a tick begins", 202)

    async def _gateway(self, request: Request) -> Response:
        self._check_way(request)
        if request.method == "HEAD":  # an agent looks whether anybody is there
            return _says("")
        run_id = request.path_params["run"]
        try:
            return await self._door.passed_on(request, self._store, run_id)
        except NobodyThere as error:
            _log.warning("%s", error)
            run = await asyncio.to_thread(self._store.load, run_id)
            self.ticks.ask(run.forge, run.repo)  # which has it begin again
            raise Refused(503, "the run's gateway is away") from error

    def _check_way(self, request: Request) -> None:
        """A key never comes over a network in the clear. Without TLS of our own this listens on loopback."""
        told = request.headers.get("x-forwarded-proto", "")
        is_forwarded = bool(told) or "x-forwarded-for" in request.headers or "forwarded" in request.headers
        if request.url.scheme == "https" and not self._has_proxy:
            return
        if (is_forwarded and not self._has_proxy) or told not in ("", "https"):
            raise Refused(403, "only over https: `public.proxy` says that a proxy with TLS is there")

    async def _body(self, request: Request, most: int) -> bytes:
        """Raises Refused for one that is too long, or too slow."""
        if self._bodies >= _BODIES:
            raise Refused(503, "too many at once")
        self._bodies += 1
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await _read(request, most)
        except TimeoutError:
            raise Refused(408, "too slow") from None
        finally:
            self._bodies -= 1


async def _read(request: Request, most: int) -> bytes:
    """What is a little too long is read to its end: who is hung up on while it sends may miss the answer."""
    body, size = bytearray(), 0
    async for part in request.stream():
        size += len(part)
        if size <= most:
            body += part
        elif size > _READ_ON * most:
            break
    if size > most:
        raise Refused(413, f"{most} bytes at most")
    return bytes(body)


def _says(text: str, status: int = 200) -> Response:
    return PlainTextResponse(f"{text}\n" if text else "", status, _HEADERS)


async def _healthz(request: Request) -> Response:
    return _says("ok")


async def _refused(request: Request, error: Exception) -> Response:
    """A connection of which something is unread is closed with it."""
    assert isinstance(error, Refused)
    answer = _says(error.reason, error.status)
    if error.status in (408, 413, 503):
        answer.headers["Connection"] = "close"
    return answer


async def _failed(request: Request, error: Exception) -> Response:
    _log.warning("%s", error)
    return _says("it could not be done now", 503)


async def _gone(request: Request, error: Exception) -> Response:
    return _says("")
