"""`sprint doctor`: everything that a tick needs, checked one by one, with the remedy where it fails."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sprint import credentials, files, git, sandbox, sharing
from sprint.config import (
    AgentWorkerConfig,
    Config,
    HermesWorkerConfig,
    LocalWorkerConfig,
    RepoConfig,
    SandboxConfig,
    SpriteWorkerConfig,
    agent_of_kind,
    resolve,
)
from sprint.credentials.endpoints import model_endpoints
from sprint.doctor.checked import checked
from sprint.doctor.repository_findings import examine_repository
from sprint.domain import Endpoint, Finding, Grade, replace
from sprint.errors import Busy, SprintError
from sprint.retention import usage
from sprint.sandbox import toolchains
from sprint.surroundings import Surroundings
from sprint.terminal_text import fitted

if TYPE_CHECKING:
    from sprint.worker import Services

_OLDEST_GIT = (2, 39)


def doctor(
    config: Config,
    names: Sequence[str],
    around: Surroundings,
    *,
    deep: bool = False,
    as_json: bool = False,
) -> int:
    """Print a line for each check as it is made; returns 1 where anything would stop a tick, else 0.

    `deep`: also what costs money or time, or is on the server for a moment. `as_json`: a line is an object.
    """
    repos = [resolve(config, name) for name in names] or list(config.repos)
    sick = False
    for finding in _findings(config, repos, around, deep=deep):
        sick = sick or finding.grade is Grade.FAULT
        line = f"{finding.grade:4}  {finding.what}: {finding.says}"
        said = json.dumps(_as_data(finding)) if as_json else fitted(line, around.out, indent=8)
        print(said, file=around.out, flush=True)
    return 1 if sick else 0


def _as_data(finding: Finding) -> Mapping[str, str]:
    return {"grade": finding.grade, "what": finding.what, "says": finding.says}


def _findings(
    config: Config, repos: Sequence[RepoConfig], around: Surroundings, *, deep: bool
) -> Iterator[Finding]:
    yield Finding(Grade.OK, "configuration", str(config.source or "no file: found in the environment"))
    yield checked("git", _git)
    if config.fleet:
        yield checked("fleet", lambda: _fleet(config, around))
    for box in dict.fromkeys(repo.sandbox for repo in (repos or [config.defaults])):
        yield checked(f"sandbox {box.kind}", lambda box=box: _sandbox(box))  # type: ignore[misc]
    yield Finding(Grade.OK, "toolchains", ", ".join(toolchains.found().shown) or "those of the system alone")
    yield from _indexes(config, repos, around)
    results = checked("results", lambda: _writable(config.paths.results))
    yield results
    yield checked("disk", lambda: ", ".join(map(str, usage(config))))
    if not repos:
        yield Finding(Grade.WARNING, "repositories", "none configured; name one: sprint doctor OWNER/REPO")
    for repo in repos:
        yield from examine_repository(config, repo, around, deep=deep)
    yield from _agents(config, around, deep=deep)
    if config.public.url:
        yield _public(config, around)
    if config.backends:
        from sprint.sprite import examining

        yield from examining.examine(config, around, deep=deep)
    if any(isinstance(config.workers[repo.worker], LocalWorkerConfig) for repo in repos or [config.defaults]):
        remember = config.paths.results if results.grade is Grade.OK else None
        seconds = max(repo.limits.first_token_seconds for repo in (repos or [config.defaults]))
        try:
            endpoints = model_endpoints(config, around)
        except SprintError as error:
            yield Finding(Grade.FAULT, "model", str(error))
            return
        yield from _models(endpoints, remember, seconds, deep=deep)


def _indexes(config: Config, repos: Sequence[RepoConfig], around: Surroundings) -> Iterator[Finding]:
    """What set-up reaches; one answer for all repositories that are configured alike."""
    asked = [repo for repo in (repos or [config.defaults]) if repo.sandbox.setup_network != "none"]
    if not asked:
        return
    from sprint.gateway.clients import Machine
    from sprint.gateway.packages import told_indexes

    for gateway in dict.fromkeys(repo.gateway for repo in asked):
        yield from told_indexes(gateway, Machine(around, config.paths.cache))


def _agents(config: Config, around: Surroundings, *, deep: bool) -> Iterator[Finding]:
    agents = {name: one for name, one in config.workers.items() if isinstance(one, AgentWorkerConfig)}
    remote = {name: one for name, one in config.workers.items() if isinstance(one, SpriteWorkerConfig)}
    if not agents and not remote:
        return
    from sprint.runs import RunStore
    from sprint.worker import Services
    from sprint.worker.agents import way
    from sprint.worker.agents.examine import examine

    results = config.paths.results
    services = Services(
        lambda: model_endpoints(config, around),
        RunStore(results),
        results,
        config.defaults.limits,
        around,
        config,
    )
    for name, far in remote.items():
        yield from _on_sprites(name, far, services)
    route = way.route(services)
    box = sandbox.make(config.defaults.sandbox)
    for name, one in agents.items():
        key = None
        if isinstance(one, HermesWorkerConfig) and one.outside_sandbox:
            try:
                key = credentials.hermes_server_key(one, around)
            except SprintError as error:
                yield Finding(Grade.FAULT, f"worker {name}", str(error))
        yield from examine(name, one, box, route, server_key=key, deep=deep)


def _on_sprites(name: str, config: SpriteWorkerConfig, services: Services) -> Iterator[Finding]:
    from sprint.worker.agents.catalogue import AGENTS
    from sprint.worker.kinds import make

    if (agent := agent_of_kind(config.agent)) and (remark := AGENTS[type(agent)].REMARK):
        yield Finding(Grade.WARNING, f"worker {name}", f"agent {config.agent}: {remark}")

    def free() -> str:
        try:
            make(config, services).check()
        except Busy as error:
            return str(error)
        return "a sprite is free and has what it needs, or can be made"

    yield checked(f"worker {name}", free)
    if config.key == "file":
        says = "its model's key lies on the sprite, where the agent can read it: give it a limit of its own"
        yield Finding(Grade.WARNING, f"worker {name}", says)
    if config.git == "token":
        says = "the agent gets the token that fetches its repository: let that read this one and nothing else"
        yield Finding(Grade.WARNING, f"worker {name}", says)


def _public(config: Config, around: Surroundings) -> Finding:
    """Without it nothing comes at once, and only runs whose gateway is reached there cannot begin."""
    from sprint.worker.sprite import public_way

    def answers() -> str:
        public_way.check(config.public, around)
        return f"`sprint serve --public` answers at {config.public.url}"

    found = checked("public.url", answers)
    return found if found.grade is Grade.OK else replace(found, grade=Grade.WARNING)


def _git() -> str:
    words = git.git("version").out.strip()
    version = tuple(int(number) for number in re.findall(r"\d+", words)[:2])
    if version < _OLDEST_GIT:
        raise SprintError(f"{words} is too old: install {'.'.join(map(str, _OLDEST_GIT))} or newer")
    return words


def _sandbox(box: SandboxConfig) -> str:
    made = sandbox.make(box)
    made.probe()
    return "a command ran in it" if made.is_confined else "commands run without isolation, as configured"


def _writable(results: Path) -> str:
    files.check_folder(results)
    return str(results)


def _fleet(config: Config, around: Surroundings) -> str:
    with sharing.packages():
        from sprint.fleet import fleet_command

        return fleet_command.examine(config, around)


def _models(
    endpoints: Sequence[Endpoint], results: Path | None, seconds: float, *, deep: bool
) -> Iterator[Finding]:
    """Each finding as it is made. One sound model is enough for a tick, whichever of them it is."""
    from sprint.model.probe import examine

    sound = 0
    for index, endpoint in enumerate(endpoints):
        what = f"{'fallback ' if index else ''}model {endpoint.name}"
        faults = 0
        for finding in examine(endpoint, what, results, seconds=seconds, deep=deep):
            is_fault = finding.grade is Grade.FAULT
            faults += is_fault
            yield replace(finding, grade=Grade.WARNING) if is_fault and len(endpoints) > 1 else finding
        sound += not faults
    if len(endpoints) > 1 and not sound:
        yield Finding(Grade.FAULT, "model", f"none of the {len(endpoints)} configured can be used")
