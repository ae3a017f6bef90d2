"""The sections that stand once in a file: what their types do not say is checked, paths come out absolute."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from msgspec.structs import replace

from sprint.config.schema import (
    BACKEND_KINDS,
    FORGE_SITES,
    WORKER_KINDS,
    AgentWorkerConfig,
    BackendConfig,
    FleetConfig,
    ForgeConfig,
    ForgeKind,
    HermesWorkerConfig,
    LocalBackendConfig,
    LocalWorkerConfig,
    ModelConfig,
    MonitorConfig,
    NotifyConfig,
    PublicConfig,
    SpritesBackendConfig,
    SpriteWorkerConfig,
    SshBackendConfig,
    WorkerConfig,
)
from sprint.config.values import (
    absolute,
    check_not_secret,
    check_variable,
    is_loopback,
    server_url,
    typed,
    web_address,
)
from sprint.errors import ConfigError
from sprint.surroundings import Surroundings

K = TypeVar("K", bound=str)
T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_OWN_PARAMETERS = frozenset(
    {"model", "messages", "tools", "stream", "stream_options", "temperature", "max_tokens"}
)
# What names the address of a kind of forge in the environment.
_ADDRESS_VARIABLES: dict[ForgeKind, str] = {"gitea": "GITEA_URL"}


def forges_of_environment(environ: Mapping[str, str]) -> dict[ForgeKind, ForgeConfig]:
    """The forges that need no file, by their kind; the first one is the default. Whether there is a token
    shows later. Raises ConfigError where a variable holds no address."""
    named = {
        kind: ForgeConfig(kind=kind, url=server_url(url, variable))
        for kind, variable in _ADDRESS_VARIABLES.items()
        if (url := environ.get(variable, "").strip())
    }
    return {**named, **{kind: ForgeConfig(kind=kind) for kind in FORGE_SITES}}


def forge_section(name: str, value: object, around: Surroundings) -> ForgeConfig:
    at = f"forges.{name}"
    _check_name(name, at)
    forge = typed(value, ForgeConfig, at)
    if not forge.site:
        raise ConfigError(f"{at}.url: a {forge.kind} forge needs its address, as in https://git.example.org")
    url = server_url(forge.url, f"{at}.url") if forge.url else ""
    return replace(
        forge,
        url="" if re.sub(r"^https://(www|api)\.", "https://", url) == FORGE_SITES.get(forge.kind) else url,
        token_file=_secret_place(forge.token_file, forge.token_env, "token", at, around),
        webhook_secret_file=_secret_place(forge.webhook_secret_file, "", "webhook_secret", at, around),
    )


def worker_sections(raw: Mapping[str, Any], around: Surroundings) -> dict[str, WorkerConfig]:
    """By name; "local" is there whether or not it is named."""
    workers: dict[str, WorkerConfig] = {"local": LocalWorkerConfig()}
    for name, value in raw.items():
        at = f"workers.{name}"
        _check_name(name, at)
        worker = _of_its_kind(value, WORKER_KINDS, at)
        if isinstance(worker, HermesWorkerConfig):
            worker = _hermes(worker, at, around)
        if isinstance(worker, SpriteWorkerConfig):
            worker = _on_sprites(worker, at, around)
        if isinstance(worker, AgentWorkerConfig) and worker.program:
            worker = replace(worker, program=str(absolute(worker.program, around, f"{at}.program")))
        workers[name] = worker
    for name, worker in workers.items():
        for other in worker.fallbacks if isinstance(worker, AgentWorkerConfig) else ():
            if other not in workers:
                raise ConfigError(f"workers.{name}.fallbacks: no worker is called {other!r}")
    return workers


def backend_sections(raw: Mapping[str, Any], around: Surroundings) -> dict[str, BackendConfig]:
    backends = {}
    for name, value in raw.items():
        at = f"backends.{name}"
        _check_name(name, at)
        backend = _of_its_kind(value, BACKEND_KINDS, at)
        if isinstance(backend, LocalBackendConfig):
            backend = replace(backend, path=str(absolute(backend.path, around, f"{at}.path")))
        elif isinstance(backend, SshBackendConfig):
            backend = _ssh(backend, at, around)
        elif isinstance(backend, SpritesBackendConfig):
            backend = replace(
                backend,
                base_url=web_address(backend.base_url, f"{at}.base_url").rstrip("/"),
                token_file=_secret_place(backend.token_file, backend.token_env, "token", at, around),
            )
        backends[name] = backend
    return backends


def _on_sprites(worker: SpriteWorkerConfig, at: str, around: Surroundings) -> SpriteWorkerConfig:
    if (worker.agent == "command") is not bool(worker.command.strip()):
        raise ConfigError(f"{at}.command: goes with `agent: command`, and that with it")
    if worker.mode == "persistent" and not worker.sprites:
        raise ConfigError(f"{at}.sprites: name at least one; it is made where it is missing")
    for name in worker.sprites:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name):
            raise ConfigError(f"{at}.sprites: {name!r} is no name: lower-case letters, digits and hyphens")
    try:
        worker.name.format(repo="", issue="")
    except (KeyError, IndexError, ValueError):
        raise ConfigError(f"{at}.name: {worker.name!r}: it may hold {{repo}} and {{issue}}") from None
    if (worker.key == "file") is not bool(worker.key_file):
        raise ConfigError(f"{at}.key_file: goes with `key: file`, and that with it; use a limited key")
    if (worker.git == "token") is not bool(worker.git_token_file):
        raise ConfigError(
            f"{at}.git_token_file: goes with `git: token`, and that with it; use one that can only read"
        )
    if worker.composition and worker.mode == "ephemeral":
        raise ConfigError(f"{at}.composition: it names sprites that are kept; that is no `mode: ephemeral`")
    if (worker.composition and "/" in worker.composition) or worker.composition.endswith((".yaml", ".yml")):
        worker = replace(worker, composition=str(absolute(worker.composition, around, f"{at}.composition")))
    return replace(
        worker,
        key_file=_secret_place(worker.key_file, "", "key", at, around),
        git_token_file=_secret_place(worker.git_token_file, "", "git_token", at, around),
    )


def _ssh(backend: SshBackendConfig, at: str, around: Surroundings) -> SshBackendConfig:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@:%\[\]-]*", backend.host):
        raise ConfigError(f"{at}.host: {backend.host!r}: write user@host, or a name that ssh knows")
    if not 0 <= backend.port < 65536:
        raise ConfigError(f"{at}.port: {backend.port} is no port: 1 to 65535, or 0 for ssh's own choice")
    if not backend.path or backend.path.startswith(("~", "-")) or ".." in backend.path.split("/"):
        raise ConfigError(f"{at}.path: {backend.path!r}: name a folder from the home there, as in sprites")

    def file(given: str, key: str) -> str:
        return given and str(absolute(given, around, f"{at}.{key}"))

    return replace(
        backend,
        identity_file=file(backend.identity_file, "identity_file"),
        config_file=file(backend.config_file, "config_file"),
    )


def _hermes(worker: HermesWorkerConfig, at: str, around: Surroundings) -> HermesWorkerConfig:
    if worker.via == "server" and not worker.outside_sandbox:
        raise ConfigError(
            f"{at}.via: hermes' server works on this machine itself, outside the sandbox; say so with "
            "`outside_sandbox: true`, or use `via: cli`"
        )
    server = web_address(worker.server, f"{at}.server").rstrip("/")
    if urlsplit(server).hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ConfigError(
            f"{at}.server: it has to see the workspace: it is one on this machine, at localhost"
        )
    key_file = _secret_place(worker.server_key_file, worker.server_key_env, "server_key", at, around)
    return replace(worker, server=server, server_key_file=key_file)


def model_section(model: ModelConfig, at: str, around: Surroundings) -> ModelConfig:
    fallbacks = [
        model_section(fallback, f"{at}.fallbacks[{index}]", around)
        for index, fallback in enumerate(model.fallbacks)
    ]
    if own := _OWN_PARAMETERS.intersection(model.extra):
        raise ConfigError(f"{at}.extra: {', '.join(sorted(own))}: sprint itself says that; take it out")
    return replace(
        model,
        base_url=model.base_url and web_address(model.base_url, f"{at}.base_url"),
        api_key_file=_secret_place(model.api_key_file, model.api_key_env, "api_key", at, around),
        fallbacks=tuple(fallbacks),
    )


def monitor_section(raw: Mapping[str, Any], around: Surroundings) -> MonitorConfig:
    if "gateway" in raw:  # as the key was called before 0.2
        if "hermes_server" in raw:
            raise ConfigError("monitor: gateway, the old name of hermes_server, is there beside it; keep one")
        raw = {("hermes_server" if key == "gateway" else key): value for key, value in raw.items()}
    monitor = typed(raw, MonitorConfig, "monitor")
    address = monitor.hermes_server
    return replace(
        monitor,
        hermes_server=address and web_address(address, "monitor.hermes_server"),
        share=monitor.share and str(absolute(monitor.share, around, "monitor.share")),
        address=monitor.address and web_address(monitor.address, "monitor.address").rstrip("/"),
    )


def notify_section(raw: object, around: Surroundings) -> NotifyConfig:
    notify = typed(raw, NotifyConfig, "notify")
    return replace(
        notify,
        urls_file=_secret_place(notify.urls_file, notify.urls_env, "urls", "notify", around),
    )


def fleet_section(raw: object, around: Surroundings) -> FleetConfig:
    fleet = typed(raw, FleetConfig, "fleet")
    file = _secret_place(fleet.database_file, fleet.database_env, "database", "fleet", around)
    if not (file or fleet.database_env):
        raise ConfigError("fleet: where is its database? Name the file that holds the URL in database_file")
    return replace(fleet, database_file=file)


def public_section(raw: object, around: Surroundings) -> PublicConfig:
    public = typed(raw, PublicConfig, "public")
    at = "public.url" if public.url else "WEBHOOK_BASE_URL"
    url = public.url or around.get("WEBHOOK_BASE_URL")
    url = url and web_address(url, at)
    if url.startswith("http:") and not is_loopback(urlsplit(url).hostname or ""):
        raise ConfigError(f"{at}: what is sent there goes over the network: it has to be an https address")
    if bool(public.certificate) is not bool(public.certificate_key):
        raise ConfigError("public.certificate: goes with certificate_key, and that with it")
    if public.certificate and public.proxy:
        raise ConfigError("public.proxy: TLS is the proxy's or our own; keep it, or the certificate")
    certificate, key = (
        given and str(absolute(given, around, f"public.{name}"))
        for name, given in (("certificate", public.certificate), ("certificate_key", public.certificate_key))
    )
    return replace(public, url=url, certificate=certificate, certificate_key=key)


def _of_its_kind(value: object, kinds: Mapping[K, type[T]], at: str) -> T:
    """A section whose `kind` tells what else it may hold."""
    kind: Any = value.get("kind") if isinstance(value, dict) else None
    if kind not in kinds:
        raise ConfigError(f"{at}.kind: expected one of {', '.join(kinds)}, got {kind!r}")
    return typed(value, kinds[kind], at)


def _check_name(name: str, at: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise ConfigError(f"{at}: a name is made of letters, digits, dots, dashes and underscores")


def _secret_place(file: str, variable: str, what: str, at: str, around: Surroundings) -> str:
    """The absolute path of a secret's file, or "" where it is in an environment variable or detected."""
    if file and variable:
        raise ConfigError(f"{at}: {what}_file and {what}_env are both there; keep one")
    check_variable(variable, f"{at}.{what}_env")
    check_not_secret(file, f"{at}.{what}_file")
    return str(absolute(file, around, f"{at}.{what}_file")) if file.strip() else ""
