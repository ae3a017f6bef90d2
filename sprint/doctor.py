"""`sprint doctor`: everything that a tick needs, checked one by one, with the remedy where it fails."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from sprint import check_command, credentials, environment, files, git, sandbox
from sprint.config import Config, RepoConfig, SandboxConfig, resolve
from sprint.context import fit_repository, forge_of, open_context
from sprint.domain import Endpoint, Finding, Grade, Repository
from sprint.errors import SprintError
from sprint.forge import Forge, Rights

_OLDEST_GIT = (2, 39)
_GITEA_REMEDY = "give the account write access and the token write:repository, write:issue, read:user"
_REMEDY = {
    "gitea": _GITEA_REMEDY,
    "forgejo": _GITEA_REMEDY,
    "github": "give the account write access and the token contents, issues and pull requests (or `repo`)",
}


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

    `deep`: also what costs money or time.
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
    if any(repo.worker == "local" for repo in (repos or [config.defaults])):
        remember = config.paths.results if results.grade is Grade.OK else None
        seconds = max(repo.limits.first_token_seconds for repo in (repos or [config.defaults]))
        try:
            endpoints = credentials.model_endpoints(config, environ, home)
        except SprintError as error:
            yield Finding(Grade.FAULT, "model", str(error))
            return
        yield from _models(endpoints, remember, seconds, deep=deep)


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
    sandbox.make(box).probe()
    return "a command ran in it" if box.kind != "none" else "commands run without isolation, as configured"


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
    yield _check(f"{repo.name} git", lambda: _git_server(forge, repository.clone_url))
    if deep:
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
            remote = git.Remote(repository.clone_url, forge.token)
            git.fetch(scratch, remote, f"+refs/heads/{base}:refs/heads/base", depth=1)
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


def _rights(name: str, forge: Forge, rights: Rights) -> Iterator[Finding]:
    if forge.token is None:
        yield Finding(Grade.FAULT, f"{name} token", "there is none; set token_file or token_env of its forge")
        return
    needed = {"push": rights.can_push, "comment": rights.can_comment}
    lacking = [right for right, has in needed.items() if has is False]
    if lacking:
        says = f"the token of {rights.login} may not {' or '.join(lacking)}; {_REMEDY[forge.kind]}"
        yield Finding(Grade.FAULT, f"{name} token", says)
        return
    untold = [right for right, has in needed.items() if has is None]
    says = f"{rights.login} may push and comment"
    if untold:
        says = f"{rights.login}; the forge does not tell whether it may {' or '.join(untold)}"
    yield Finding(Grade.OK if not untold else Grade.WARNING, f"{name} token", says)


def _git_server(forge: Forge, url: str) -> str:
    refs = git.ls_remote(git.Remote(url, forge.token), "refs/heads/*", "refs/sprint/*")
    claims = sum(ref.startswith("refs/sprint/") for ref in refs)
    return f"{_count(len(refs) - claims, 'branch', 'es')}, {_count(claims, 'claim', 's')} at {url}"


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
