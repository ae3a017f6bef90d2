"""Looks around before the work begins: what the forge, the claims and the mirror tell about one issue."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

from sprint import git
from sprint.context import Context
from sprint.domain import Claim, Comment, Issue, Run, Workspace
from sprint.errors import SprintError
from sprint.pick import COMMENT_MARKER
from sprint.scope.carried import earlier_work as earlier_work
from sprint.scope.history import history
from sprint.scope.layout import layout
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
        carried=earlier_work(context.store, attempts, run),
        guide=_guide(mirror, run.base_sha),
        history=history(context.forge, context.repository.name, issue, mirror, run.base_sha, run.base_branch),
        layout=layout(mirror, run.base_sha),
        setup=run.environment.setup if run.environment else (),
        checks=run.base_checks,
        tools=tools,
        forge_kind=context.forge.kind,
        root=str(PurePosixPath(checkout).parent),
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
    if comment.author in (owner, context.forge.whoami()):
        return True
    return bool(context.forge.can_write(context.repository.name, comment.author))


def _guide(mirror: Path, commit: str) -> str:
    """The repository's own words to agents, as committed at the base."""
    for name in _GUIDES:
        blob = git.resolve(mirror, f"{commit}:{name}", kind="blob")
        if blob is not None:
            return git.read_blobs(mirror, [blob], _GUIDE_CAP).get(blob, b"").decode("utf-8", "replace")
    return ""
