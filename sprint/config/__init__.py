"""The configuration: sprint.yaml, parsed and validated once, frozen after."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from sprint.config.schema import (
    FORGE_SITES,
    WORKER_KINDS,
    AgentWorkerConfig,
    ClaudeWorkerConfig,
    CodexWorkerConfig,
    CommandWorkerConfig,
    Config,
    ForgeConfig,
    ForgeKind,
    GatewayConfig,
    HermesWorkerConfig,
    KimiCodeWorkerConfig,
    Limits,
    LocalWorkerConfig,
    ModelConfig,
    MonitorConfig,
    NotifyConfig,
    OpencodeWorkerConfig,
    Paths,
    PickConfig,
    Price,
    PublishConfig,
    RepoConfig,
    SandboxConfig,
    SandboxKind,
    WorkerConfig,
)
from sprint.config.values import (
    absolute,
    check_branch_pattern,
    check_host,
    check_line,
    check_not_secret,
    check_variable,
    is_branch,
    merged,
    server_url,
    typed,
    web_address,
)
from sprint.domain import is_repo_name
from sprint.errors import ConfigError

__all__ = [
    "AgentWorkerConfig",
    "ClaudeWorkerConfig",
    "CodexWorkerConfig",
    "CommandWorkerConfig",
    "Config",
    "ForgeConfig",
    "ForgeKind",
    "GatewayConfig",
    "HermesWorkerConfig",
    "KimiCodeWorkerConfig",
    "Limits",
    "LocalWorkerConfig",
    "ModelConfig",
    "MonitorConfig",
    "NotifyConfig",
    "OpencodeWorkerConfig",
    "Paths",
    "PickConfig",
    "Price",
    "PublishConfig",
    "RepoConfig",
    "SandboxConfig",
    "SandboxKind",
    "WorkerConfig",
    "find",
    "forges_of_environment",
    "load",
    "resolve",
]

FILE_NAME = "sprint.yaml"
_SIZE_CAP = 1_000_000
_SECTIONS = ("limits", "sandbox", "gateway", "pick", "publish")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_OWN_PARAMETERS = frozenset(
    {"model", "messages", "tools", "stream", "stream_options", "temperature", "max_tokens"}
)
# What names the address of a kind of forge in the environment.
_ADDRESS_VARIABLES: dict[ForgeKind, str] = {"gitea": "GITEA_URL"}


class _File(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys that a file may have, before a look into them."""

    forges: dict[str, Any] | None = None
    model: dict[str, Any] | None = None
    workers: dict[str, Any] | None = None
    defaults: dict[str, Any] | None = None
    repos: list[Any] | None = None
    gateway: dict[str, Any] | None = None
    pick: dict[str, Any] | None = None
    publish: dict[str, Any] | None = None
    paths: dict[str, Any] | None = None
    monitor: dict[str, Any] | None = None
    notify: dict[str, Any] | None = None


def load(path: Path | None, *, environ: Mapping[str, str], cwd: Path, home: Path) -> Config:
    """The configuration from `path`, else the first file that `find` finds, else from the environment alone.

    Paths in it come out absolute: relative to the file, or to `cwd` where there is none. Raises ConfigError.
    """
    source = find(path, environ=environ, cwd=cwd, home=home)
    if source is None:
        return _from_raw({}, None, environ, cwd, home)
    name = source.name if source.parent == cwd else str(source)
    raw = _read(source, name)
    try:
        return _from_raw(raw, source, environ, source.parent, home)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error


def find(path: Path | None, *, environ: Mapping[str, str], cwd: Path, home: Path) -> Path | None:
    """Where the file is: `path`, $SPRINT_CONFIG, the working directory, the user's configuration folder."""
    named = {"--config": path, "SPRINT_CONFIG": environ.get("SPRINT_CONFIG", "").strip() or None}
    for origin, value in named.items():
        if value is not None:
            chosen = Path(os.path.abspath(absolute(value, cwd, home, origin)))  # noqa: PTH100 - keeps links
            if not chosen.is_file():
                raise ConfigError(f"{origin}: there is no file {chosen}")
            return chosen
    xdg = Path(environ.get("XDG_CONFIG_HOME") or "-")
    folder = xdg if xdg.is_absolute() else home / ".config"
    return next((file for file in (cwd / FILE_NAME, folder / "sprint" / FILE_NAME) if file.is_file()), None)


def _read(source: Path, name: str) -> object:
    from sprint.strict_yaml import parse

    try:
        with source.open("rb") as file:
            data = file.read(_SIZE_CAP + 1)
        if len(data) > _SIZE_CAP:
            raise ConfigError(f"{name}: larger than {_SIZE_CAP} bytes; this is no configuration")
        return parse(data.decode("utf-8-sig"), name)
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}; see its owner and mode") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def _from_raw(raw: object, source: Path | None, environ: Mapping[str, str], base: Path, home: Path) -> Config:
    _explain_misplaced(raw)
    file = typed({} if raw is None else raw, _File, "")
    detected = {str(kind): found for kind, found in forges_of_environment(environ).items()}
    detected = {} if file.forges else detected
    forges = {name: _forge(name, value, base, home) for name, value in (file.forges or {}).items()}
    forges = forges or detected
    model = (
        None if file.model is None else _model(typed(file.model, ModelConfig, "model"), "model", base, home)
    )
    below: dict[str, Any] = {
        "gateway": file.gateway or {},
        "pick": file.pick or {},
        "publish": file.publish or {},
    }
    _check_gateway(typed(below["gateway"], GatewayConfig, "gateway"), "gateway")
    typed(below["pick"], PickConfig, "pick")
    _check_publish(typed(below["publish"], PublishConfig, "publish"), "publish")
    own = _sections(file.defaults or {})
    if "name" in own:
        raise ConfigError("defaults.name: a name belongs to one repository; move it under repos")
    _check_repo(typed({**own, "name": ""}, RepoConfig, "defaults"), forges, "defaults")
    below = _laid_over(below, own)
    if not below.get("forge"):
        below["forge"] = next(iter(forges)) if detected or len(forges) == 1 else ""
    repos = [
        _repo(value, below, forges, f"repos[{index}]", base, home)
        for index, value in enumerate(file.repos or [])
    ]
    _refuse_twice(repos)
    workers = {"local": LocalWorkerConfig(), **_workers(file.workers or {}, base, home)}
    default = _with_paths(typed({**below, "name": ""}, RepoConfig, "defaults"), "defaults", base, home)
    for at, repo in (("defaults", default), *((f"repos[{index}]", repo) for index, repo in enumerate(repos))):
        if repo.worker not in workers:
            names = ", ".join(workers)
            raise ConfigError(f"{at}.worker: no worker is called {repo.worker!r}; there are {names}")
    paths = typed(file.paths or {}, Paths, "paths")
    return Config(
        forges=forges,
        model=model,
        repos=tuple(repos),
        workers=workers,
        defaults=default,
        paths=Paths(
            results=absolute(paths.results, base, home, "paths.results"),
            cache=absolute(paths.cache, base, home, "paths.cache"),
            workspaces=absolute(paths.workspaces, base, home, "paths.workspaces"),
        ),
        monitor=_monitor(file.monitor or {}),
        notify=_notify(file.notify or {}, base, home),
        source=source,
    )


def _monitor(raw: Mapping[str, Any]) -> MonitorConfig:
    if "gateway" in raw:  # as the key was called before 0.2
        if "hermes_server" in raw:
            raise ConfigError("monitor: gateway, the old name of hermes_server, is there beside it; keep one")
        raw = {("hermes_server" if key == "gateway" else key): value for key, value in raw.items()}
    monitor = typed(raw, MonitorConfig, "monitor")
    address = monitor.hermes_server
    return replace(monitor, hermes_server=address and web_address(address, "monitor.hermes_server"))


def _notify(raw: object, base: Path, home: Path) -> NotifyConfig:
    notify = typed(raw, NotifyConfig, "notify")
    return replace(
        notify,
        urls_file=_secret_place(notify.urls_file, notify.urls_env, "urls", "notify", base, home),
    )


def _explain_misplaced(raw: object) -> None:
    for key in raw if isinstance(raw, dict) else ():
        if key not in _File.__struct_fields__ and key in RepoConfig.__struct_fields__:
            raise ConfigError(f"unknown key {key}; put it under defaults, or under one of repos")


def forges_of_environment(environ: Mapping[str, str]) -> dict[ForgeKind, ForgeConfig]:
    """The forges that need no file, by their kind; the first one is the default. Whether there is a token
    shows later. Raises ConfigError where a variable holds no address."""
    named = {
        kind: ForgeConfig(kind=kind, url=server_url(url, variable))
        for kind, variable in _ADDRESS_VARIABLES.items()
        if (url := environ.get(variable, "").strip())
    }
    return {**named, **{kind: ForgeConfig(kind=kind) for kind in FORGE_SITES}}


def _forge(name: str, value: object, base: Path, home: Path) -> ForgeConfig:
    at = f"forges.{name}"
    _check_name(name, at)
    forge = typed(value, ForgeConfig, at)
    if not forge.site:
        raise ConfigError(f"{at}.url: a {forge.kind} forge needs its address, as in https://git.example.org")
    url = server_url(forge.url, f"{at}.url") if forge.url else ""
    return replace(
        forge,
        url="" if re.sub(r"^https://(www|api)\.", "https://", url) == FORGE_SITES.get(forge.kind) else url,
        token_file=_secret_place(forge.token_file, forge.token_env, "token", at, base, home),
    )


def _check_name(name: str, at: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise ConfigError(f"{at}: a name is made of letters, digits, dots, dashes and underscores")


def _workers(raw: Mapping[str, Any], base: Path, home: Path) -> dict[str, WorkerConfig]:
    workers = {}
    for name, value in raw.items():
        at = f"workers.{name}"
        _check_name(name, at)
        kind = value.get("kind") if isinstance(value, dict) else None
        if kind not in WORKER_KINDS:
            raise ConfigError(f"{at}.kind: expected one of {', '.join(WORKER_KINDS)}, got {kind!r}")
        worker: WorkerConfig = typed(value, WORKER_KINDS[kind], at)
        if isinstance(worker, AgentWorkerConfig) and worker.program:
            worker = replace(worker, program=str(absolute(worker.program, base, home, f"{at}.program")))
        workers[name] = worker
    for name, worker in workers.items():
        for other in worker.fallbacks if isinstance(worker, AgentWorkerConfig) else ():
            if other != "local" and other not in workers:
                raise ConfigError(f"workers.{name}.fallbacks: no worker is called {other!r}")
    return workers


def _secret_place(file: str, variable: str, what: str, at: str, base: Path, home: Path) -> str:
    """The absolute path of a secret's file, or "" where it is in an environment variable or detected."""
    if file and variable:
        raise ConfigError(f"{at}: {what}_file and {what}_env are both there; keep one")
    check_variable(variable, f"{at}.{what}_env")
    check_not_secret(file, f"{at}.{what}_file")
    return str(absolute(file, base, home, f"{at}.{what}_file")) if file.strip() else ""


def _model(model: ModelConfig, at: str, base: Path, home: Path) -> ModelConfig:
    fallbacks = [
        _model(fallback, f"{at}.fallbacks[{index}]", base, home)
        for index, fallback in enumerate(model.fallbacks)
    ]
    if own := _OWN_PARAMETERS.intersection(model.extra):
        raise ConfigError(f"{at}.extra: {', '.join(sorted(own))}: sprint itself says that; take it out")
    return replace(
        model,
        base_url=model.base_url and web_address(model.base_url, f"{at}.base_url"),
        api_key_file=_secret_place(model.api_key_file, model.api_key_env, "api_key", at, base, home),
        fallbacks=tuple(fallbacks),
    )


def _sections(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A repository's keys with `sandbox: none` written out and empty sections taken as absent."""
    own = {key: value for key, value in raw.items() if value is not None or key not in _SECTIONS}
    if isinstance(own.get("sandbox"), str):
        own["sandbox"] = {"kind": own["sandbox"]}
    return own


def _repo(
    raw: object, below: Mapping[str, Any], forges: Mapping[str, ForgeConfig], at: str, base: Path, home: Path
) -> RepoConfig:
    if isinstance(raw, str):
        forge, colon, name = raw.rpartition(":")
        raw = {"name": name, "forge": forge} if colon else {"name": name}
    own = _sections(raw) if isinstance(raw, dict) else raw
    _check_repo(repo := typed(own, RepoConfig, at), forges, at)
    if not is_repo_name(repo.name):
        raise ConfigError(f"{at}.name: {repo.name!r} is not OWNER/REPO")
    assert isinstance(own, dict)
    repo = typed(_laid_over(below, own), RepoConfig, at)
    if not repo.forge:
        names = ", ".join(forges)
        raise ConfigError(f"{at}.forge: there are several ({names}); name one here or in defaults.forge")
    return _with_paths(repo, at, base, home)


def _laid_over(below: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A repository's keys over the defaults'; what is protected adds up, so that nothing is lost by it."""
    result = merged(below, own)
    lists = [keys["publish"]["protected"] for keys in (below, own) if "protected" in keys.get("publish", {})]
    if lists:
        result["publish"]["protected"] = [path for paths in lists for path in paths]
    return result


def _check_repo(repo: RepoConfig, forges: Mapping[str, ForgeConfig], at: str) -> None:
    if repo.forge and repo.forge not in forges:
        raise ConfigError(f"{at}.forge: no forge is called {repo.forge!r}; there are {', '.join(forges)}")
    if repo.base and not is_branch(repo.base):
        raise ConfigError(f"{at}.base: {repo.base!r} is no branch name that git accepts")
    for key, commands in (("setup", repo.setup), ("build", repo.build), ("checks", repo.checks)):
        for index, command in enumerate(commands or ()):
            if not command.strip() or "\0" in command:
                raise ConfigError(f"{at}.{key}[{index}]: expected a command")
    _check_gateway(repo.gateway, f"{at}.gateway")
    _check_publish(repo.publish, f"{at}.publish")


def _check_gateway(gateway: GatewayConfig, at: str) -> None:
    for name, address in asdict(gateway.indexes).items():
        if address not in ("", "none"):
            web_address(address, f"{at}.indexes.{name}")
    for index, host in enumerate(gateway.go_hosts):
        check_host(host, f"{at}.go_hosts[{index}]")
    for index, host in enumerate(gateway.connect):
        check_host(host, f"{at}.connect[{index}]", may_be_suffix=True)


def _check_publish(publish: PublishConfig, at: str) -> None:
    check_branch_pattern(publish.branch, f"{at}.branch")
    check_line(publish.author_name, f"{at}.author_name", "<>")
    check_line(publish.author_email, f"{at}.author_email", "<> ")
    for key, paths in (("protected", publish.protected), ("allow", publish.allow)):
        for index, path in enumerate(paths):
            check_line(path, f"{at}.{key}[{index}]")
            if path.startswith("/"):
                raise ConfigError(
                    f"{at}.{key}[{index}]: paths begin at the repository's root, without a slash"
                )


def _with_paths(repo: RepoConfig, at: str, base: Path, home: Path) -> RepoConfig:
    readable = [
        str(absolute(path, base, home, f"{at}.sandbox.readable[{index}]"))
        for index, path in enumerate(repo.sandbox.readable)
    ]
    return replace(repo, sandbox=replace(repo.sandbox, readable=tuple(readable)))


def _refuse_twice(repos: list[RepoConfig]) -> None:
    first: dict[tuple[str, str], int] = {}
    for index, repo in enumerate(repos):
        earlier = first.setdefault((repo.forge, repo.name.lower()), index)
        if earlier != index:
            raise ConfigError(f"repos[{index}]: {repo.name} is repos[{earlier}] already; keep one")


def resolve(config: Config, name: str) -> RepoConfig:
    """The repository that OWNER/REPO or FORGE:OWNER/REPO on the command line means.

    Its configured entry where there is one, else the defaults with that name. Raises ConfigError.
    """
    forge, _, repo_name = name.strip().rpartition(":")
    if not is_repo_name(repo_name):
        raise ConfigError(f"{name!r} is no repository; write OWNER/REPO or FORGE:OWNER/REPO")
    if forge and forge not in config.forges:
        raise ConfigError(f"{name}: no forge is called {forge!r}; there are {', '.join(config.forges)}")
    same = [repo for repo in config.repos if repo.name.lower() == repo_name.lower()]
    preferred = forge or (config.defaults.forge if len(same) != 1 else same[0].forge)
    for repo in same:
        if repo.forge == preferred:
            return repo
    if not preferred:
        raise ConfigError(
            f"{name}: on which forge? Write FORGE:{repo_name}; there are {', '.join(config.forges)}"
        )
    return replace(config.defaults, name=repo_name, forge=preferred)
