"""What `sprint doctor` says of one repository: who may do what there, and what its base and its CI tell."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from sprint import check_command, environment, git, push_trial, repo_pause, sandbox
from sprint.claim import CLAIMS
from sprint.clean_text import safe_line
from sprint.config import Config, RepoConfig
from sprint.context import open_context
from sprint.doctor.checked import checked
from sprint.domain import Finding, Grade, Repository, replace
from sprint.errors import SprintError
from sprint.first_look import fit_repository, forge_of
from sprint.follow import prospects
from sprint.forge import Forge, Rights
from sprint.policy import ci
from sprint.surroundings import Surroundings

_MOST_CI = 20  # files that are named
_PATIENCE = 5.0  # seconds: somebody waits to be told


def examine_repository(
    config: Config, repo: RepoConfig, around: Surroundings, *, deep: bool
) -> Iterator[Finding]:
    try:
        forge = forge_of(config, repo, around, patience=_PATIENCE)
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
    yield checked(f"{repo.name} git", lambda: _git_server(remote))
    by_fork = repo.publish.via == "fork"
    if by_fork:
        yield checked(f"{repo.name} fork", lambda: _fork(forge, repository))
    else:
        yield _rules(f"{repo.name} branch rules", forge, repository.name, branch, deep=deep)
    if repo.publish.sign:
        yield checked(f"{repo.name} signing", lambda: _signing(Path(repo.publish.sign)))
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
        yield checked(f"{name} push", lambda: push_trial.try_branch(remote, base, branch, where))
    yield checked(f"{name} claim", lambda: push_trial.try_claim(remote))


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
