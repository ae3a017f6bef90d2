"""Where the file is, and what it comes to: every section checked, every path absolute."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from sprint.config.repositories import (
    check_gateway,
    check_publish,
    check_repo,
    laid_over,
    refuse_twice,
    repo_section,
    with_paths,
    written_out,
)
from sprint.config.schema import (
    Config,
    FollowConfig,
    ForgeConfig,
    GatewayConfig,
    ModelConfig,
    Paths,
    PickConfig,
    PublishConfig,
    RepoConfig,
    ScheduleConfig,
    WorkerConfig,
    agent_of_kind,
    worker_names,
)
from sprint.config.sections import (
    backend_sections,
    fleet_section,
    forge_section,
    forges_of_environment,
    model_section,
    monitor_section,
    notify_section,
    public_section,
    worker_sections,
)
from sprint.config.small_files import text_in
from sprint.config.values import absolute, typed
from sprint.domain import replace
from sprint.errors import ConfigError
from sprint.surroundings import Surroundings

FILE_NAME = "sprint.yaml"


class _File(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys that a file may have, before a look into them."""

    forges: dict[str, Any] | None = None
    model: dict[str, Any] | None = None
    workers: dict[str, Any] | None = None
    backends: dict[str, Any] | None = None
    defaults: dict[str, Any] | None = None
    repos: list[Any] | None = None
    gateway: dict[str, Any] | None = None
    pick: dict[str, Any] | None = None
    publish: dict[str, Any] | None = None
    follow: dict[str, Any] | None = None
    paths: dict[str, Any] | None = None
    monitor: dict[str, Any] | None = None
    notify: dict[str, Any] | None = None
    schedule: dict[str, Any] | None = None
    fleet: dict[str, Any] | None = None
    public: dict[str, Any] | None = None


def load(path: Path | None, around: Surroundings) -> Config:
    """The configuration from `path`, else the first file that `find` finds, else from the environment alone.

    Paths in it come out absolute: relative to the file, or to `cwd` where there is none. Raises ConfigError.
    """
    source = find(path, around)
    if source is None:
        return _from_raw({}, None, around)
    name = source.name if source.parent == around.cwd else str(source)
    raw = _read(source, name)
    try:
        return _from_raw(raw, source, replace(around, cwd=source.parent))
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error


def find(path: Path | None, around: Surroundings) -> Path | None:
    """Where the file is: `path`, $SPRINT_CONFIG, the working directory, the user's configuration folder."""
    named = {"--config": path, "SPRINT_CONFIG": around.get("SPRINT_CONFIG") or None}
    for origin, value in named.items():
        if value is not None:
            chosen = Path(os.path.abspath(absolute(value, around, origin)))  # noqa: PTH100 - keeps links
            if not chosen.is_file():
                raise ConfigError(f"{origin}: there is no file {chosen}; `sprint init` writes one")
            return chosen
    places = (around.cwd / FILE_NAME, around.user_config / "sprint" / FILE_NAME)
    return next((file for file in places if file.is_file()), None)


def _read(source: Path, name: str) -> object:
    from sprint.strict_yaml import parse

    return parse(text_in(source, name), name)


def _from_raw(raw: object, source: Path | None, around: Surroundings) -> Config:
    """`around` with the folder that paths are relative to as its working directory."""
    _explain_misplaced(raw)
    file = typed({} if raw is None else raw, _File, "")
    forges = _forges(file, around)
    model = None if file.model is None else typed(file.model, ModelConfig, "model")
    below = _below_all(file, forges)
    repos = [
        repo_section(value, below, forges, f"repos[{index}]", around)
        for index, value in enumerate(file.repos or [])
    ]
    refuse_twice(repos)
    default = with_paths(typed({**below, "name": ""}, RepoConfig, "defaults"), "defaults", around)
    return Config(
        forges=forges,
        model=None if model is None else model_section(model, "model", around),
        repos=tuple(repos),
        workers=_workers(file, default, repos, around),
        backends=backend_sections(file.backends or {}, around),
        defaults=default,
        paths=_paths(file, around),
        monitor=monitor_section(file.monitor or {}, around),
        notify=notify_section(file.notify or {}, around),
        schedule=typed(file.schedule or {}, ScheduleConfig, "schedule"),
        fleet=None if file.fleet is None else fleet_section(file.fleet, around),
        public=public_section(file.public or {}, around),
        source=source,
    )


def _forges(file: _File, around: Surroundings) -> dict[str, ForgeConfig]:
    if file.forges:
        return {name: forge_section(name, value, around) for name, value in file.forges.items()}
    return {str(kind): found for kind, found in forges_of_environment(around.environ).items()}


def _below_all(file: _File, forges: Mapping[str, ForgeConfig]) -> dict[str, Any]:
    """What holds for each repository that does not say otherwise."""
    below: dict[str, Any] = {
        "gateway": file.gateway or {},
        "pick": file.pick or {},
        "publish": file.publish or {},
        "follow": file.follow or {},
    }
    check_gateway(typed(below["gateway"], GatewayConfig, "gateway"), "gateway")
    typed(below["pick"], PickConfig, "pick")
    typed(below["follow"], FollowConfig, "follow")
    check_publish(typed(below["publish"], PublishConfig, "publish"), "publish")
    own = written_out(file.defaults or {})
    if "name" in own:
        raise ConfigError("defaults.name: a name belongs to one repository; move it under repos")
    check_repo(typed({**own, "name": ""}, RepoConfig, "defaults"), forges, "defaults")
    below = laid_over(below, own)
    if not below.get("forge"):
        is_plain = len(forges) == 1 or not file.forges
        below["forge"] = next(iter(forges), "") if is_plain else ""
    return below


def _workers(
    file: _File, default: RepoConfig, repos: Sequence[RepoConfig], around: Surroundings
) -> dict[str, WorkerConfig]:
    """Those of the file, and those that a repository names by their kind."""
    workers = worker_sections(file.workers or {}, around)
    for at, repo in (("defaults", default), *((f"repos[{index}]", repo) for index, repo in enumerate(repos))):
        if repo.worker not in workers and (agent := agent_of_kind(repo.worker)):
            workers[repo.worker] = agent
        if repo.worker not in workers:
            names = worker_names(workers)
            raise ConfigError(f"{at}.worker: no worker is called {repo.worker!r}; there are {names}")
    return workers


def _paths(file: _File, around: Surroundings) -> Paths:
    paths = typed(file.paths or {}, Paths, "paths")
    return replace(
        paths,
        results=absolute(paths.results, around, "paths.results"),
        cache=absolute(paths.cache, around, "paths.cache"),
        workspaces=absolute(paths.workspaces, around, "paths.workspaces"),
    )


def _explain_misplaced(raw: object) -> None:
    for key in raw if isinstance(raw, dict) else ():
        if key not in _File.__struct_fields__ and key in RepoConfig.__struct_fields__:
            raise ConfigError(f"unknown key {key}; put it under defaults, or under one of repos")
