"""The HTTP server below what is served: uvicorn on sockets that are listening already."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from asyncio import TimerHandle, Transport
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from sprint.errors import ConfigError

MOST_CONNECTIONS = 1000
HEAD_SECONDS = 15.0  # that a request may take to say what it is
_STOP_SECONDS = 5
_LOOK_SECONDS = 0.2


class Servable(Protocol):
    """Something to be served. `stop` ends what it streams and keeps."""

    app: ASGIApp

    def stop(self) -> None: ...


@dataclass(frozen=True)
class Part:
    """One of those served by this process, on its own socket. The files, of PEM, are for TLS."""

    site: Servable
    listener: socket.socket
    certificate: str = ""
    certificate_key: str = ""


def run(parts: Sequence[Part]) -> None:
    """Serve until SIGTERM or SIGINT, then answer what was asked and return. Raises ConfigError."""
    servers = [server_of(part.site, part.certificate, part.certificate_key) for part in parts]
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn hands the signal on once it has stopped
        asyncio.run(_serve_all(servers, parts))


async def _serve_all(servers: Sequence[uvicorn.Server], parts: Sequence[Part]) -> None:
    """All of them stop with the first one, which is the one that signals come to."""
    with uvicorn.Server.capture_signals(servers[0]):
        async with asyncio.TaskGroup() as group:
            for server, part in zip(servers, parts, strict=True):
                group.create_task(serve(server, part.site, part.listener))
            while not servers[0].should_exit:
                await asyncio.sleep(_LOOK_SECONDS)
            for server in servers:
                server.should_exit = True


class _Server(uvicorn.Server):
    """Leaves signals to whoever has started it."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return contextlib.nullcontext()


class _Impatient(H11Protocol):
    """Hangs up on whoever does not say what it wants: connections are few, and anybody may open one."""

    _hurry: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._be_patient()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._be_patient()
        elif self._hurry is None:
            self._hurry = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _be_patient(self) -> None:
        if self._hurry is not None:
            self._hurry.cancel()
            self._hurry = None


def server_of(site: Servable, certificate: str = "", certificate_key: str = "") -> uvicorn.Server:
    """Raises ConfigError where there is no TLS by these files."""
    tls: dict[str, Any] = {"ssl_certfile": certificate, "ssl_keyfile": certificate_key} if certificate else {}
    config = uvicorn.Config(
        site.app,
        log_config=None,
        log_level="warning",
        access_log=False,  # a login link has the token in it
        proxy_headers=False,
        server_header=False,
        lifespan="off",
        http=_Impatient,
        ws="none",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=_STOP_SECONDS,
        **tls,
    )
    try:
        config.load()
    except OSError as error:  # ssl's own errors are some
        raise ConfigError(
            f"public.certificate: no TLS with {certificate}: {error.strerror or error}"
        ) from error
    return _Server(config)


async def serve(server: uvicorn.Server, site: Servable, listener: socket.socket) -> None:
    ending = asyncio.create_task(_end_streams(server, site))
    await server.serve(sockets=[listener])
    ending.cancel()


async def _end_streams(server: uvicorn.Server, site: Servable) -> None:
    """Streams would keep a server waiting that is to stop; browsers come back to whoever listens next."""
    while not server.should_exit:
        await asyncio.sleep(_LOOK_SECONDS)
    site.stop()
