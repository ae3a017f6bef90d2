"""A run that begins now: its record, and the claim on its issue."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime, timedelta

from sprint import runs
from sprint.clean_text import safe_line
from sprint.context import Context
from sprint.domain import Claim, Issue, Pick, Run, replace
from sprint.errors import Busy
from sprint.logs import run_log

_log = logging.getLogger(__name__)


def new_run(context: Context, issue: Issue | None, worker: str) -> Run:
    """A run of this host that begins now, None: for a task that no issue asks for; nothing is written."""
    now = datetime.now(UTC)
    name, limits = context.repository.name, context.repo_config.limits
    return Run(
        id=runs.new_id(now, name, issue.number if issue else None),
        forge=context.repo_config.forge,
        repo=name,
        issue=issue.number if issue else None,
        title=issue.title if issue else "",
        attempt=1,
        host=context.host,
        pid=os.getpid(),
        started_at=now,
        deadline=now + timedelta(minutes=limits.minutes + limits.check_minutes * (limits.check_rounds + 2)),
        worker=worker,
        issue_url=issue.html_url if issue else "",
        labels=issue.labels if issue else (),
    )


def room_for(context: Context, run: Run) -> None:
    """Write a run down, and keep what it may spend. Raises Busy where other hosts' runs leave too little."""
    context.store.create(run)
    if refused := context.sharing.reserve(run, context.repo_config.limits):
        context.store.discard(run.id)
        raise Busy(refused)


def written_down(context: Context, issue: Issue, worker: str, forced: bool) -> Run:
    """A new run on an issue, on the disk before anything follows from it. Raises Busy where the day's ceiling
    has no room for it."""
    run = replace(new_run(context, issue, worker), forced=forced)
    room_for(context, run)
    return run


def claim_issue(
    context: Context, pick: Pick, issue: Issue, run: Run, seen: str, previous: Claim | None
) -> tuple[Run, Claim] | None:
    """Claim the issue, of which `seen` is the digest, for a run that is written down; None where another host
    was faster, and the run is to be discarded."""
    claim = context.claims.take(issue.number, run.id, seen, previous, run.started_at)
    if claim is None:
        return None
    run = replace(run, attempt=claim.attempt)
    context.store.save(run)
    with run_log(context.store.folder(run.id), run):
        for passed in pick.passed_over:
            _log.info("passed over #%d %s: %s", passed.number, safe_line(passed.title), passed.reason)
        _log.info("#%d: claimed: %s", issue.number, safe_line(issue.title))
    return run, claim
