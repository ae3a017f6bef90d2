"""Faults that the next issue would meet as well: they are the repository's, and stop claims there.

Noted in results/health/ (see health.repository_health): while one blocks, no issue is begun.
"""

from __future__ import annotations

from sprint import git, health
from sprint.context import Context
from sprint.errors import ForgeError, SprintError
from sprint.health import RepositoryTrouble
from sprint.settle.under_way import UnderWay


class SetupFailsAtBase(SprintError):
    """The project's set-up fails before anybody has worked on it."""


def blocked(context: Context) -> str:
    """Why no issue is begun here now, or "". Costs a request only where a fault is known."""
    repo, results = context.repo_config, context.config.paths.results
    name, its_hash = context.repository.name, health.config_hash(repo)
    if health.repository_block(results, repo.forge, name, config_hash=its_hash) is None:
        return ""
    heads = git.ls_remote(context.remote, f"refs/heads/{context.base}")
    base_sha = heads.get(f"refs/heads/{context.base}", "")
    block = health.repository_block(results, repo.forge, name, base_sha=base_sha, config_hash=its_hash)
    if block is None or block.until is None:
        return ""
    return f"{block.kind.words}: {block.reason}; tried again after {block.until:%Y-%m-%d %H:%M} UTC"


def set_up_failed(current: UnderWay, reason: str) -> SetupFailsAtBase:
    """Note it, and what to raise: the run has not begun, and the issue has no part in it."""
    _note(current, RepositoryTrouble.SETUP, reason)
    return SetupFailsAtBase(
        f"{current.run.repo}: {reason}; mend it, or `setup` in the configuration: `sprint run "
        f"{current.run.repo} --issue N` tries at once"
    )


def set_up_works(current: UnderWay) -> None:
    _clear(current, RepositoryTrouble.SETUP)


def push_refused(current: UnderWay, reason: str) -> ForgeError | None:
    """Note it. What to raise where the issue before met the same, so that it is not this one's fault."""
    noted = _note(current, RepositoryTrouble.PUSH, reason)
    if noted.until is None:
        return None
    return ForgeError(f"{current.run.repo}: {reason}; it refused the issue before as well: see its rules")


def push_works(current: UnderWay) -> None:
    _clear(current, RepositoryTrouble.PUSH)


def _note(current: UnderWay, kind: RepositoryTrouble, reason: str) -> health.RepositoryHealth:
    context = current.context
    return health.note_repository_fault(
        context.config.paths.results,
        context.repo_config.forge,
        context.repository.name,
        kind,
        reason,
        issue=current.run.issue or 0,
        base_sha=current.run.base_sha,
        config_hash=health.config_hash(context.repo_config),
    )


def _clear(current: UnderWay, kind: RepositoryTrouble) -> None:
    context = current.context
    health.clear_repository(
        context.config.paths.results, context.repo_config.forge, context.repository.name, kind
    )
