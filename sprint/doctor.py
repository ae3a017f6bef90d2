"""`sprint doctor`: everything that a tick needs, checked one by one, with the remedy where it fails."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from sprint import (
    check_command,
    credentials,
    environment,
    files,
    git,
    push_trial,
    repo_pause,
    sandbox,
    sharing,
)
from sprint.claim import CLAIMS
from sprint.clean_text import safe_line
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
from sprint.context import open_context
from sprint.credentials.endpoints import model_endpoints
from sprint.domain import Endpoint, Finding, Grade, Repository, replace
from sprint.errors import Busy, SprintError
from sprint.first_look import fit_repository, forge_of
from sprint.follow import prospects
from sprint.forge import Forge, Rights
from sprint.policy import ci
from sprint.retention import usage
from sprint.sandbox import toolchains
from sprint.surroundings import Surroundings

if TYPE_CHECKING:
    from sprint.worker import Services

_OLDEST_GIT = (2, 39)
_MOST_CI = 20  # files that are named


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
        said = json.dumps(_as_data(finding)) if as_json else _in_words(finding, around.out)
        print(said, file=around.out, flush=True)
    return 1 if sick else 0


def _in_words(finding: Finding, out: TextIO) -> str:
    """One line, which a terminal gets between words and indented where it is narrower."""
    line = f"{finding.grade:4}  {finding.what}: {finding.says}"
    if not out.isatty():
        return line
    width = max(shutil.get_terminal_size().columns, 40)
    return textwrap.fill(
        line, width, subsequent_indent=" " * 8, break_long_words=False, break_on_hyphens=False
    )


def _as_data(finding: Finding) -> Mapping[str, str]:
    return {"grade": finding.grade, "what": finding.what, "says": finding.says}


def _findings(
    config: Config, repos: Sequence[RepoConfig], around: Surroundings, *, deep: bool
) -> Iterator[Finding]:
    yield Finding(Grade.OK, "configuration", str(config.source or "no file: found in the environment"))
    yield _check("git", _git)
    if config.fleet:
        yield _check("fleet", lambda: _fleet(config, around))
    for box in dict.fromkeys(repo.sandbox for repo in (repos or [config.defaults])):
        yield _check(f"sandbox {box.kind}", lambda box=box: _sandbox(box))  # type: ignore[misc]
    yield Finding(Grade.OK, "toolchains", ", ".join(toolchains.found().shown) or "those of the system alone")
    yield from _indexes(config, repos, around)
    results = _check("results", lambda: _writable(config.paths.results))
    yield results
    yield _check("disk", lambda: ", ".join(map(str, usage(config))))
    if not repos:
        yield Finding(Grade.WARNING, "repositories", "none configured; name one: sprint doctor OWNER/REPO")
    for repo in repos:
        yield from _repository(config, repo, around, deep=deep)
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

    yield _check(f"worker {name}", free)
    if config.key == "file":
        says = "its model's key lies on the sprite, where the agent can read it: give it a limit of its own"
        yield Finding(Grade.WARNING, f"worker {name}", says)
    if config.git == "token":
        says = "the agent gets the token that fetches its repository: let that read this one and nothing else"
        yield Finding(Grade.WARNING, f"worker {name}", says)


def _check(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(Grade.OK, what, check())
    except SprintError as error:
        return Finding(Grade.FAULT, what, str(error))


def _public(config: Config, around: Surroundings) -> Finding:
    """Without it nothing comes at once, and only runs whose gateway is reached there cannot begin."""
    from sprint.worker.sprite import public_way

    def answers() -> str:
        public_way.check(config.public, around)
        return f"`sprint serve --public` answers at {config.public.url}"

    found = _check("public.url", answers)
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


def _repository(config: Config, repo: RepoConfig, around: Surroundings, *, deep: bool) -> Iterator[Finding]:
    try:
        forge = forge_of(config, repo, around)
        repository = fit_repository(forge, repo)
        rights = forge.rights(repository.name)
    except SprintError as error:
        yield Finding(Grade.FAULT, repo.name, str(error).removeprefix(f"{repo.name}: "))
        return
    yield Finding(
        Grade.OK, repo.name, f"reachable at {forge.url}, base {repo.base or repository.default_branch}"
    )
    yield from _rights(repo.name, forge, rights)
    remote, branch = forge.remote(repository), repo.publish.branch.format(number=0)
    yield _check(f"{repo.name} git", lambda: _git_server(remote))
    by_fork = repo.publish.via == "fork"
    if by_fork:
        yield _check(f"{repo.name} fork", lambda: _fork(forge, repository))
    else:
        yield _rules(f"{repo.name} branch rules", forge, repository.name, branch, deep=deep)
    if repo.publish.sign:
        yield _check(f"{repo.name} signing", lambda: _signing(Path(repo.publish.sign)))
    yield from _followed(repo, forge, repository)
    yield from _at_base(config, repo, forge, repository, deep=deep)
    if deep:
        yield from _pushes(repo, forge, repository, branch)
        yield from _examined(config, repo, around)


def _followed(repo: RepoConfig, forge: Forge, repository: Repository) -> Iterator[Finding]:
    try:
        yield from prospects.examine(repo, forge, repository)
    except SprintError as error:
        yield Finding(Grade.FAULT, f"{repo.name} follow-ups", str(error))


def _signing(key: Path) -> str:
    git.try_signing(key)
    return f"commits are signed with {key}; give the forge its public key as one of the account for signing"


def _fork(forge: Forge, repository: Repository) -> str:
    found = forge.find_fork(repository)
    there = f"{found.name} is there" if found else "it is made with the first pull request"
    return f"branches go to a fork of {forge.whoami()}: {there}"


def _at_base(
    config: Config, repo: RepoConfig, forge: Forge, repository: Repository, *, deep: bool
) -> Iterator[Finding]:
    """What the base's files tell: which CI our branches start, and, unless it is all tried, which commands
    there would be."""
    base = repo.base or repository.default_branch
    try:
        with tempfile.TemporaryDirectory(prefix="sprint-doctor-") as folder:
            scratch = Path(folder, "base.git")
            git.init_bare(scratch)
            git.fetch(scratch, forge.remote(repository), f"+refs/heads/{base}:refs/heads/base", depth=1)
            yield from _ci(repo, forge, scratch)
            if not deep:
                yield from _found(config, repo, scratch)
    except SprintError as error:
        yield Finding(Grade.FAULT, f"{repo.name} base", str(error))


def _ci(repo: RepoConfig, forge: Forge, scratch: Path) -> Iterator[Finding]:
    """One line for each file by which CI acts on our work before anybody has looked at it."""
    what, by_fork = f"{repo.name} CI", repo.publish.via == "fork"
    branch = repo.publish.branch.format(number=0)
    found = list(ci.started(scratch, "refs/heads/base", branch, by_fork=by_fork, of_forge=forge.workflows))
    for one in found[:_MOST_CI]:
        grade = Grade.WARNING if one.has_secrets else Grade.OK
        yield Finding(grade, what, f"{one.system}: {safe_line(one.path)}: {one.says}")
    if len(found) > _MOST_CI:
        yield Finding(Grade.OK, what, f"and {len(found) - _MOST_CI} files more")
    if not found:
        yield Finding(Grade.OK, what, "no file at the base starts any with our branches")
    elif not by_fork:
        says = "our branches are in the repository itself: CI has its secrets (publish.via: fork keeps them)"
        yield Finding(Grade.OK, what, says)


def _examined(config: Config, repo: RepoConfig, around: Surroundings) -> Iterator[Finding]:
    """Set-up and checks as they are, run."""
    try:
        for finding in check_command.examine(open_context(config, repo, around)):
            yield replace(finding, what=f"{repo.name} {finding.what}")
    except SprintError as error:
        yield Finding(Grade.FAULT, f"{repo.name} checks", str(error))


def _found(config: Config, repo: RepoConfig, scratch: Path) -> Iterator[Finding]:
    """Which commands there would be, told from the base's files; nothing is run."""
    files = environment.of_commit(scratch, "refs/heads/base")
    found = environment.found_in(repo, files, sandbox.make(repo.sandbox), config.paths.cache)
    for what, commands in (("set-up", found.setup), ("build", found.build)):
        if commands:
            yield Finding(Grade.OK, f"{repo.name} {what}", "; ".join(commands))
    if found.checks:
        says = f"{'; '.join(found.checks)} (not run: `sprint check {repo.name}` does)"
        yield Finding(Grade.OK, f"{repo.name} checks", says)
    else:
        says = "none found: no change can be proven; name them as `checks` of it in sprint.yaml"
        yield Finding(Grade.WARNING, f"{repo.name} checks", says)


def _rules(what: str, forge: Forge, repo: str, branch: str, *, deep: bool) -> Finding:
    try:
        against = forge.branch_rules(repo, branch)
    except SprintError as error:
        return Finding(Grade.FAULT, what, str(error))
    if against is None:
        more = "" if deep else "; `sprint doctor --deep` tries a push"
        return Finding(Grade.OK, what, f"the forge does not tell this account{more}")
    if against:
        return Finding(Grade.WARNING, what, f"pushes of {branch} may be refused: {'; '.join(against)}")
    return Finding(Grade.OK, what, f"none against {branch}")


def _pushes(repo: RepoConfig, forge: Forge, repository: Repository, branch: str) -> Iterator[Finding]:
    name, base = repo.name, repo.base or repository.default_branch
    remote = forge.remote(repository)
    home: Repository | None = repository
    if repo.publish.via == "fork":
        try:
            home = forge.find_fork(repository)
        except SprintError:  # told by its own line
            home = None
    if home is not None:
        yield Finding(
            Grade.OK,
            f"{name} deep",
            f"pushes {base}'s own commit to {branch} and removes it, then a claim; this may start CI",
        )
        where = forge.remote(home)
        yield _check(f"{name} push", lambda: push_trial.try_branch(remote, base, branch, where))
    yield _check(f"{name} claim", lambda: push_trial.try_claim(remote))


def _rights(name: str, forge: Forge, rights: Rights) -> Iterator[Finding]:
    if forge.token is None:
        yield Finding(Grade.FAULT, f"{name} token", "there is none; set token_file or token_env of its forge")
        return
    needed = {"push": rights.can_push, "comment": rights.can_comment}
    lacking = [right for right, has in needed.items() if has is False]
    if lacking:
        says = f"the token of {rights.login} may not {' or '.join(lacking)}; it needs {forge.rights_needed}"
        yield Finding(Grade.FAULT, f"{name} token", says)
        return
    untold = [right for right, has in needed.items() if has is None]
    says = f"{rights.login} may push and comment"
    if untold:
        says = f"{rights.login}; the forge does not tell whether it may {' or '.join(untold)}"
    yield Finding(Grade.OK if not untold else Grade.WARNING, f"{name} token", says)


def _git_server(remote: git.Remote) -> str:
    refs = git.ls_remote(remote, "refs/heads/*", "refs/sprint/*")
    claims = sum(ref.startswith(CLAIMS) for ref in refs)
    branches = sum(ref.startswith("refs/heads/") for ref in refs)
    paused = "; paused: `sprint resume` has hosts begin runs again" if repo_pause.REF in refs else ""
    return f"{_count(branches, 'branch', 'es')}, {_count(claims, 'claim', 's')} at {remote.url}{paused}"


def _count(number: int, thing: str, plural: str) -> str:
    return f"{number} {thing}{plural if number != 1 else ''}"


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
