"""Looks around before the work begins: what the forge, the claims and the mirror tell about one issue."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path, PurePosixPath

from sprint import git
from sprint.context import Context
from sprint.domain import Claim, Comment, Issue, Run, Workspace, replace
from sprint.errors import SprintError
from sprint.pick import COMMENT_MARKER
from sprint.scope.carried import earlier_work as earlier_work
from sprint.scope.closed import closed_pull
from sprint.scope.history import history
from sprint.scope.layout import files_of, layout
from sprint.task import Task

_GUIDES = ("AGENTS.md", "CLAUDE.md")
_GUIDE_CAP = 1_000_000  # bytes; a larger file is no guide


def task_for(context: Context, run: Run, issue: Issue, mirror: Path, *, tools: tuple[str, ...] = ()) -> Task:
    """The task of a run on an issue, whose base commit is in `mirror`. A dry run has no workspace yet."""
    checkout = context.sandbox.inside(Workspace(Path(run.workspace))) if run.workspace else "/work/repo"
    attempts = tuple(_in_full(context, claim) for claim in context.claims.history(issue.number))
    return Task(
        run=run,
        config=context.repo_config,
        issue=issue,
        comments=tuple(_heard(context, issue)),
        attempts=attempts,
        carried=None if run.is_follow_up else earlier_work(context.store, attempts, run),
        guide=_guide(mirror, run.base_sha),
        history=()
        if run.is_follow_up
        else history(context.forge, context.repository.name, issue, mirror, run.base_sha, run.base_branch),
        layout=layout(mirror, run.base_sha),
        setup=run.environment.setup if run.environment else (),
        checks=run.base_checks,
        tools=tools,
        forge_kind=context.forge.kind,
        root=str(PurePosixPath(checkout).parent),
        closed=None if run.is_follow_up else closed_pull(context, attempts),
        occasion=context.store.occasion(run.id) if run.is_follow_up else None,
    )


def own_task(context: Context, run: Run, mirror: Path, *, tools: tuple[str, ...] = ()) -> Task:
    """The task that an operator gave in their own words, which its worker knows; there is no issue."""
    nobodys = Issue(0, run.title, "", "", run.started_at, run.started_at)
    return Task(
        run=run,
        config=context.repo_config,
        issue=nobodys,
        guide=_guide(mirror, run.base_sha),
        layout=layout(mirror, run.base_sha),
        setup=run.environment.setup if run.environment else (),
        checks=run.base_checks,
        tools=tools,
        forge_kind=context.forge.kind,
    )


def _in_full(context: Context, claim: Claim) -> Claim:
    """How an earlier attempt ended: of its own this host knows more than it tells everybody."""
    with suppress(SprintError):
        run = context.store.load(claim.run)
        if (run.repo, run.issue) == (context.repository.name, claim.issue) and run.detail:
            return replace(claim, detail=run.detail)
    return claim


def _heard(context: Context, issue: Issue) -> list[Comment]:
    """Comments of people with write access, and of everybody where only members can comment."""
    if not issue.comments:
        return []
    comments = context.forge.comments(context.repository.name, issue.number)
    return [c for c in comments if COMMENT_MARKER not in c.body and _has_a_say(context, c)]


def _has_a_say(context: Context, comment: Comment) -> bool:
    if context.repository.private or comment.trusted is not None:
        return context.repository.private or bool(comment.trusted)
    owner = context.repository.name.split("/")[0]
    known = (owner, context.forge.whoami(), *context.repo_config.pick.trusted)
    if comment.author.lower() in [name.lower() for name in known]:
        return True
    return bool(context.forge.can_write(context.repository.name, comment.author))


def _guide(mirror: Path, commit: str) -> str:
    """The repository's own words to agents, as committed at the base."""
    files = files_of(mirror, commit)
    for name in _GUIDES:
        if name in files:
            blob = files[name][1]
            return git.read_blobs(mirror, [blob], _GUIDE_CAP).get(blob, b"").decode("utf-8", "replace")
    return ""
