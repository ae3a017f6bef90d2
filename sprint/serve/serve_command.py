"""`sprint serve`: listens until it is told to stop. `site`, and what it stands on, need the extra `serve`."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sprint import credentials, files, schedule
from sprint.config import Config
from sprint.config.values import is_loopback
from sprint.domain import Secret
from sprint.errors import ConfigError, SprintError, how_to_install
from sprint.proc import hostname
from sprint.schedule import systemd
from sprint.surroundings import Surroundings

PORT, PUBLIC_PORT = 8765, 8766
UNIT = "sprint-serve.service"
_SHORTEST_TOKEN = 16  # characters

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What was asked for. `names` are further host names by which browsers reach it; `public` is
    the ADDRESS:PORT at which others may call, "" for none."""

    host: str = "127.0.0.1"
    port: int = PORT
    token_file: Path | None = None
    names: tuple[str, ...] = ()
    systemd: bool = False
    public: str = ""


def serve(config: Config, options: Options, around: Surroundings) -> int:
    """Serve until SIGTERM or Ctrl-C; returns 0. Raises SprintError where it cannot listen or may not."""
    token = _token(options)
    public = _public_place(config, options) if options.public else None
    if options.systemd:
        _write_unit(config, options, around)
        return 0
    try:
        from sprint.serve.http_server import Part, run
        from sprint.serve.public_site import PublicSite
        from sprint.serve.site import Site
    except ModuleNotFoundError as error:
        if error.name not in ("httpx2", "starlette", "uvicorn"):
            raise
        raise ConfigError(f"sprint serve needs more than is installed: {how_to_install('serve')}") from error
    site = Site(config, around, token, ("localhost", hostname(), options.host, *options.names))
    with contextlib.ExitStack() as held:
        parts = [Part(site, held.enter_context(_listening(options.host, options.port)))]
        if public is not None:
            listener = held.enter_context(_listening(*public, "--public"))
            tls = (config.public.certificate, config.public.certificate_key)
            parts.append(Part(PublicSite(config, around), listener, *tls))
        _say_where(parts[0].listener, token is not None, around)
        if public is not None:
            _say_where_public(parts[1].listener, config, around)
        run(parts)
    return 0


def _token(options: Options) -> Secret | None:
    """Raises ConfigError where there must be one and is none, or one that can be guessed."""
    if options.token_file is None:
        if is_loopback(options.host):
            return None
        raise ConfigError(
            f"--host {options.host} can be reached from other machines: give --token-file FILE, with a token "
            "that you made, such as by `openssl rand -hex 32`"
        )
    secret = credentials.token_in_file(options.token_file.expanduser(), "--token-file").secret
    if len(secret.reveal()) < _SHORTEST_TOKEN:
        raise ConfigError(f"--token-file {options.token_file}: give it {_SHORTEST_TOKEN} characters or more")
    return secret


def _public_place(config: Config, options: Options) -> tuple[str, int]:
    """Host and port. Raises ConfigError where what comes there would come in the clear."""
    given = options.public if ":" in options.public else f"{options.public}:{PUBLIC_PORT}"
    try:
        parts = urlsplit(f"//{given}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or port is None:
        raise ConfigError(
            f"--public {options.public}: expected ADDRESS:PORT, such as 127.0.0.1:{PUBLIC_PORT}"
        )
    public = config.public
    if public.certificate:
        return host, port
    if not is_loopback(host):
        raise ConfigError(
            f"--public {host} can be reached from other machines: name public.certificate and its key, or "
            "listen on 127.0.0.1 behind a reverse proxy with TLS and say `public: {proxy: true}`"
        )
    if public.url.startswith("https:") and not public.proxy:
        raise ConfigError(
            "public.url is an https address: name public.certificate and certificate_key, or say that a "
            "reverse proxy with TLS is there with `public: {proxy: true}`"
        )
    return host, port


def _listening(host: str, port: int, flag: str = "--port") -> socket.socket:
    at = f"{host} port {port}"
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server((address[0], port), family=family, backlog=256)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SprintError(f"cannot listen on {at}: it is taken; choose another with {flag}") from error
        flags = flag if flag != "--port" else "--host or --port"
        raise SprintError(
            f"cannot listen on {at}: {error.strerror or error}; choose another {flags}"
        ) from error


def _say_where(listener: socket.socket, has_token: bool, around: Surroundings) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    login = "/login (or /login?token=, with the token behind it)" if has_token else "/"
    around.out.write(f"serving http://{shown}:{port}{login}; stop with Ctrl-C\n")
    around.out.flush()


def _say_where_public(listener: socket.socket, config: Config, around: Surroundings) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    reached = f", reached at {config.public.url}" if config.public.url else "; public.url tells sprites where"
    around.out.write(f"call-backs, webhooks and gateways of runs at {shown}{reached}\n")
    around.out.flush()


def _write_unit(config: Config, options: Options, around: Surroundings) -> None:
    """Write systemd's user unit, and say how to start it. Raises SprintError for somebody else's file."""
    if config.source is None:
        raise ConfigError("a unit needs a configuration: name it with --config; `sprint init` writes one")
    path = systemd.folder(around) / UNIT
    files.check_own(path, os.fsencode(_mark(config.source)), f"`sprint serve` for {config.source}")
    files.make_folder(path.parent, mode=0o755)
    files.replace(path, _unit(config.source, options, around).encode("utf-8", "surrogateescape"), mode=0o644)
    around.out.write(
        f"wrote {path}\nstart it: systemctl --user daemon-reload && systemctl --user enable --now {UNIT}\n"
        "to have it run while you are not logged in: loginctl enable-linger\n"
    )


def _mark(source: Path) -> str:
    return f"# `sprint serve --systemd` made this file for {source}\n"


def _unit(source: Path, options: Options, around: Surroundings) -> str:
    argv = [*schedule.program(), "--config", str(source.absolute()), "serve"]
    argv += ["--host", options.host, "--port", str(options.port)]
    if options.token_file is not None:
        argv += ["--token-file", str(around.cwd / options.token_file.expanduser())]
    for name in options.names:
        argv += ["--name", name]
    if options.public:
        argv += ["--public", options.public]
    command = " ".join(map(systemd.quoted, argv))
    return (
        f"{_mark(source)}[Unit]\nDescription=sprint: the live page\nAfter=network.target\n\n"
        f"[Service]\nExecStart=:{command}\nRestart=on-failure\nRestartSec=5\nKillMode=process\n"
        "NoNewPrivileges=yes\n\n[Install]\nWantedBy=default.target\n"
    )
