"""What is served: the report, runs, their files, metrics. Asking changes nothing, and takes no lock."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Collection
from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qs

from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from sprint.config import Config
from sprint.domain import Secret
from sprint.errors import SprintError
from sprint.monitor.html import page
from sprint.runs import RunStore
from sprint.serve import guard, report_live, run_live
from sprint.serve.feed import Feed
from sprint.surroundings import Surroundings

_SCRIPT = Path(__file__).parent / "live.js"
_LONGEST_LOGIN = 20_000  # bytes
_FILE_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"


class Site:
    """The pages and their feeds. `app` is to be served; `stop` ends what it streams."""

    def __init__(
        self, config: Config, around: Surroundings, token: Secret | None, names: Collection[str]
    ) -> None:
        self.report = report_live.ReportLooks(config, around)
        self.runs = report_live.RunsLooks(config, around)
        self.feeds: dict[str, Feed] = {}  # of runs that somebody looks at
        self.report_feed = Feed(self.report.look, report_live.SECONDS)
        self._store = RunStore(config.paths.results)
        self._pages = run_live.RunPages(self._store)
        self._token = token
        routes = [
            Route("/", self._report_page),
            Route("/events", self._report_events),
            Route(report_live.RUNS, self._runs_page),
            Route("/runs/{run}", self._run_page),
            Route("/runs/{run}/events", self._run_events),
            Route("/runs/{run}/files/{name:path}", self._run_file),
            Route("/metrics", self._metrics),
            Route("/healthz", _healthz),
            Route("/live.js", _script),
            Route(guard.LOGIN, self._login, methods=["GET", "POST"]),
        ]
        inner = Starlette(routes=routes, exception_handlers={SprintError: _not_there, 404: _not_there})
        self.app: ASGIApp = guard.Guard(inner, token, names)

    def stop(self) -> None:
        for feed in (self.report_feed, *self.feeds.values()):
            feed.stop()

    async def _report_page(self, request: Request) -> Response:
        rendered = await asyncio.to_thread(self.report.now)
        return await _page(request, rendered.page)

    async def _report_events(self, request: Request) -> Response:
        return _events(request, self.report_feed.follow(_last_id(request)))

    async def _metrics(self, request: Request) -> Response:
        rendered = await asyncio.to_thread(self.report.now)
        return Response(rendered.metrics, media_type=CONTENT_TYPE_LATEST)

    async def _runs_page(self, request: Request) -> Response:
        return await _page(request, await asyncio.to_thread(self.runs.now))

    async def _run_page(self, request: Request) -> Response:
        made = await asyncio.to_thread(self._pages.page, request.path_params["run"])
        return await _page(request, made)

    async def _run_events(self, request: Request) -> Response:
        run = await asyncio.to_thread(self._store.load, request.path_params["run"])
        return _events(
            request, self._follow_run(run.id, run_live.RunLooks(self._store, run), _last_id(request))
        )

    async def _follow_run(self, run_id: str, looks: run_live.RunLooks, last_id: str) -> AsyncIterator[bytes]:
        feed = self.feeds.get(run_id)
        if feed is None:
            feed = self.feeds[run_id] = Feed(looks.look, run_live.SECONDS, looks.close)
        try:
            async for event in feed.follow(last_id):
                yield event
        finally:
            if not feed.viewers and self.feeds.get(run_id) is feed:
                del self.feeds[run_id]

    async def _run_file(self, request: Request) -> Response:
        folder = self._store.folder(request.path_params["run"])
        path = await asyncio.to_thread(run_live.file_of, folder, request.path_params["name"])
        if path is None:
            raise SprintError("There is no such file.")
        headers = {"Content-Security-Policy": _FILE_POLICY}
        return FileResponse(path, media_type="text/plain", headers=headers)

    async def _login(self, request: Request) -> Response:
        """By a link that has the token in it, or by the form."""
        if self._token is None:
            return PlainTextResponse("No token is asked for here.\n", 404)
        given = request.query_params.get("token", "")
        if request.method == "POST":
            given = await _form_token(request)
        if given and guard.is_token(self._token, given):
            return guard.let_in(self._token)
        status = 401 if given else 200
        return await _page(request, page.render("login", is_served=True, is_wrong=bool(given)), status)


async def _form_token(request: Request) -> str:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST_LOGIN:
            return "too long"
    return (parse_qs(body.decode("utf-8", "replace")).get("token") or ["none"])[0].strip()


async def _page(request: Request, data: bytes, status: int = 200) -> Response:
    headers = {"Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        data = await asyncio.to_thread(_packed, data)
        headers["Content-Encoding"] = "gzip"
    return Response(data, status, headers, "text/html")


@lru_cache(8)  # a page that many look at is packed once
def _packed(data: bytes) -> bytes:
    return gzip.compress(data, 6, mtime=0)


def _events(request: Request, stream: AsyncIterator[bytes]) -> Response:
    if request.method == "HEAD":  # whose answer must end
        return Response(media_type="text/event-stream")
    return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


def _last_id(request: Request) -> str:
    return str(request.headers.get("last-event-id", ""))


async def _healthz(request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def _script(request: Request) -> Response:
    return FileResponse(_SCRIPT, media_type="text/javascript")


async def _not_there(request: Request, error: Exception) -> Response:
    why = str(error) if isinstance(error, SprintError) else "There is no such page."
    if "text/html" in request.headers.get("accept", ""):
        return await _page(request, page.render("missing", is_served=True, why=why), 404)
    return PlainTextResponse(f"{why}\n", 404)
