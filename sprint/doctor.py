"""`sprint doctor`: everything that a tick needs, checked one by one, with the remedy where it fails."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from sprint import check_command, credentials, environment, files, git, push_trial, repo_pause, sandbox
from sprint.claim import CLAIMS
from sprint.config import AgentWorkerConfig, Config, RepoConfig, SandboxConfig, resolve
from sprint.context import fit_repository, forge_of, open_context
from sprint.domain import Endpoint, Finding, Grade, Repository
from sprint.errors import SprintError
from sprint.forge import Forge, Rights

_OLDEST_GIT = (2, 39)


def doctor(
    config: Config,
    names: Sequence[str],
    environ: Mapping[str, str],
    home: Path,
    out: TextIO,
    *,
    deep: bool = False,
) -> int:
    """Print a line for each check as it is made; returns 1 where anything would stop a tick, else 0.

    `deep`: also what costs money or time, or is on the server for a moment.
    """
    repos = [resolve(config, name) for name in names] or list(config.repos)
    sick = False
    for finding in _findings(config, repos, environ, home, deep=deep):
        sick = sick or finding.grade is Grade.FAULT
        print(f"{finding.grade:4}  {finding.what}: {finding.says}", file=out, flush=True)
    return 1 if sick else 0


def _findings(
    config: Config, repos: Sequence[RepoConfig], environ: Mapping[str, str], home: Path, *, deep: bool
) -> Iterator[Finding]:
    yield Finding(Grade.OK, "configuration", str(config.source or "no file: found in the environment"))
    yield _check("git", _git)
    for box in dict.fromkeys(repo.sandbox for repo in (repos or [config.defaults])):
        yield _check(f"sandbox {box.kind}", lambda box=box: _sandbox(box))  # type: ignore[misc]
    results = _check("results", lambda: _writable(config.paths.results))
    yield results
    if not repos:
        yield Finding(Grade.WARNING, "repositories", "none configured; name one: sprint doctor OWNER/REPO")
    for repo in repos:
        yield from _repository(config, repo, environ, home, deep=deep)
    yield from _agents(config, environ, home)
    if any(repo.worker == "local" for repo in (repos or [config.defaults])):
        remember = config.paths.results if results.grade is Grade.OK else None
        seconds = max(repo.limits.first_token_seconds for repo in (repos or [config.defaults]))
        try:
            endpoints = credentials.model_endpoints(config, environ, home)
        except SprintError as error:
            yield Finding(Grade.FAULT, "model", str(error))
            return
        yield from _models(endpoints, remember, seconds, deep=deep)


def _agents(config: Config, environ: Mapping[str, str], home: Path) -> Iterator[Finding]:
    agents = {name: one for name, one in config.workers.items() if isinstance(one, AgentWorkerConfig)}
    if not agents:
        return
    from sprint.worker.agents import way
    from sprint.worker.agents.examine import examine

    route = way.route(lambda: credentials.model_endpoints(config, environ, home))
    box = sandbox.make(config.defaults.sandbox)
    for name, one in agents.items():
        yield from examine(name, one, box, route)


def _check(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(Grade.OK, what, check())
    except SprintError as error:
        return Finding(Grade.FAULT, what, str(error))


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


def _repository(
    config: Config, repo: RepoConfig, environ: Mapping[str, str], home: Path, *, deep: bool
) -> Iterator[Finding]:
    try:
        forge = forge_of(config, repo, environ, home)
        repository = fit_repository(forge, repo)
        rights = forge.rights(repository.name)
    except SprintError as error:
        yield Finding(Grade.FAULT, repo.name, str(error))
        return
    yield Finding(
        Grade.OK, repo.name, f"reachable at {forge.url}, base {repo.base or repository.default_branch}"
    )
    yield from _rights(repo.name, forge, rights)
    remote, branch = forge.remote(repository), repo.publish.branch.format(number=0)
    yield _check(f"{repo.name} git", lambda: _git_server(remote))
    yield _rules(f"{repo.name} branch rules", forge, repository.name, branch)
    if deep:
        yield from _pushes(repo.name, remote, repo.base or repository.default_branch, branch)
        yield from _examined(config, repo, environ, home)
    else:
        yield from _found(config, repo, forge, repository)


def _examined(config: Config, repo: RepoConfig, environ: Mapping[str, str], home: Path) -> Iterator[Finding]:
    """Set-up and checks as they are, run."""
    try:
        for finding in check_command.examine(open_context(config, repo, environ, home)):
            yield replace(finding, what=f"{repo.name} {finding.what}")
    except SprintError as error:
        yield Finding(Grade.FAULT, f"{repo.name} checks", str(error))


def _found(config: Config, repo: RepoConfig, forge: Forge, repository: Repository) -> Iterator[Finding]:
    """Which commands there would be, told from the base's files; nothing is run."""
    base = repo.base or repository.default_branch
    try:
        with tempfile.TemporaryDirectory(prefix="sprint-doctor-") as folder:
            scratch = Path(folder, "base.git")
            git.init_bare(scratch)
            git.fetch(scratch, forge.remote(repository), f"+refs/heads/{base}:refs/heads/base", depth=1)
            files = environment.of_commit(scratch, "refs/heads/base")
            found = environment.found_in(repo, files, sandbox.make(repo.sandbox), config.paths.cache)
    except SprintError as error:
        yield Finding(Grade.FAULT, f"{repo.name} checks", str(error))
        return
    for what, commands in (("set-up", found.setup), ("build", found.build)):
        if commands:
            yield Finding(Grade.OK, f"{repo.name} {what}", "; ".join(commands))
    if found.checks:
        says = f"{'; '.join(found.checks)} (not run: `sprint check {repo.name}` does)"
        yield Finding(Grade.OK, f"{repo.name} checks", says)
    else:
        says = "none found: no change can be proven; name them as `checks` of it in sprint.yaml"
        yield Finding(Grade.WARNING, f"{repo.name} checks", says)


def _rules(what: str, forge: Forge, repo: str, branch: str) -> Finding:
    try:
        against = forge.branch_rules(repo, branch)
    except SprintError as error:
        return Finding(Grade.FAULT, what, str(error))
    if against is None:
        return Finding(
            Grade.OK, what, "the forge does not tell this account; `sprint doctor --deep` tries a push"
        )
    if against:
        return Finding(Grade.WARNING, what, f"pushes of {branch} may be refused: {'; '.join(against)}")
    return Finding(Grade.OK, what, f"none against {branch}")


def _pushes(name: str, remote: git.Remote, base: str, branch: str) -> Iterator[Finding]:
    yield Finding(
        Grade.OK,
        f"{name} deep",
        f"pushes {base}'s own commit to {branch} and removes it, then a claim; this may start CI",
    )
    yield _check(f"{name} push", lambda: push_trial.try_branch(remote, base, branch))
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
