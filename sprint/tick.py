"""One tick for one repository: settle what is under way, pick an issue, claim it, run it."""

from __future__ import annotations

import logging
import os
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sprint import runs, spend, worker
from sprint.clean_text import safe_line
from sprint.context import Context
from sprint.domain import Claim, Issue, PassedOver, Phase, Pick, Run
from sprint.errors import ForgeError
from sprint.lock import lock
from sprint.logs import run_log
from sprint.pick import choose, issue_digest
from sprint.settle import settle

_MANY_CLAIMS = 100
_REMEMBERED = timedelta(days=30)
_FORGOTTEN_AT_ONCE = 5
_RACES = 3  # how often a tick that lost an issue to another host looks for the next one

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TickReport:
    """What a tick did, for a person or a program."""

    repo: str
    settled: tuple[Run, ...] = ()
    run: Run | None = None
    idle: str = ""  # why there was nothing to do
    passed_over: tuple[PassedOver, ...] = ()


def tick(context: Context, *, only: int | None = None, force: bool = False) -> TickReport:
    """One tick. Raises Busy where another one holds the repository's lock, SprintError on failures."""
    cache, name = context.config.paths.cache, context.repository.name
    with lock(lock_path(cache, context.repo_config.forge, name)):
        context.sandbox.probe()
        settled: list[Run] = []
        for unsettled in _under_way(context):
            run = _settled(context, unsettled)
            if run.phase is not Phase.SETTLED:
                return TickReport(name, tuple(settled), run=run, idle=f"run {run.id} is under way")
            settled.append(run)
        return replace(_new_run(context, only, force), settled=tuple(settled))


def _under_way(context: Context) -> list[Run]:
    """This host's unsettled runs here, also those from before the repository was given another name."""
    found = context.store.under_way(context.repo_config.forge, context.host)
    return [run for run in found if run.repo == context.repository.name or _is_former_name(context, run.repo)]


def _is_former_name(context: Context, name: str) -> bool:
    if name == context.repo_config.name:
        return True  # as it is configured: the forge itself led us from there to the present name
    if any((repo.forge, repo.name) == (context.repo_config.forge, name) for repo in context.config.repos):
        return False
    try:
        return context.forge.repository(name).name == context.repository.name
    except ForgeError as error:
        if error.status != 404:
            raise
        return False


def _settled(context: Context, run: Run) -> Run:
    if run.repo == context.repository.name:
        return settle(context, run)
    # A tick that began before the repository was renamed has the lock of the old name.
    with lock(lock_path(context.config.paths.cache, run.forge, run.repo)):
        run = context.store.load(run.id)
        return run if run.phase is Phase.SETTLED else settle(context, run)


def _new_run(context: Context, only: int | None, force: bool) -> TickReport:
    name = context.repository.name
    if reason := why_not_now(context):
        return TickReport(name, idle=reason)
    for _ in range(_RACES):
        claims = context.claims.read()
        forget_closed(context, claims)
        pick = pick_issue(context, claims, only=only, force=force)
        if pick.issue is None:
            return TickReport(name, idle=pick.why_none, passed_over=pick.passed_over)
        worker.check(context.repo_config.worker, context.endpoints)
        run = _claim(context, pick, pick.issue, claims.get(pick.issue.number), force)
        if run is not None:
            run = settle(context, run)
            return TickReport(name, run=run, passed_over=pick.passed_over)
        _log.info("#%d: another host claimed it first", pick.issue.number)
    return TickReport(name, idle="other hosts were faster each time")


def forget_closed(context: Context, claims: dict[int, Claim]) -> None:
    """Where claims have become many, remove some of long closed issues: each fetch reads them all."""
    if len(claims) <= _MANY_CLAIMS:
        return
    long_ago = datetime.now(UTC) - _REMEMBERED
    old = [claim for claim in claims.values() if claim.state == "released" and claim.expires < long_ago]
    for claim in random.sample(old, min(len(old), _FORGOTTEN_AT_ONCE)):
        try:
            is_open = context.forge.issue(context.repository.name, claim.issue).is_open
        except ForgeError as error:
            if error.status not in (404, 410):
                raise
            is_open = False
        if not is_open:
            context.claims.forget(claim)


def why_not_now(context: Context) -> str:
    """Why no new run may start whatever the backlog holds, or ""."""
    if context.repository.open_issues == 0:
        return "no open issues"
    ceiling = context.repo_config.limits.usd_per_day
    if ceiling is not None:
        spent = spend.spent_today(context.config.paths.results)
        if spent >= ceiling:
            return f"today's ceiling is reached: ${spent:.2f} of ${ceiling:.2f}"
    return ""


def pick_issue(context: Context, claims: dict[int, Claim], *, only: int | None, force: bool) -> Pick:
    """The oldest fit issue, with what the forge and the claims say now; the list is read page by page."""
    forge, name = context.forge, context.repository.name
    pulls = forge.open_pulls(name)
    return choose(
        [forge.issue(name, only)] if only is not None else forge.oldest_issues(name),
        policy=context.repo_config.pick,
        repository=context.repository,
        claims=claims,
        open_pulls=pulls,
        me=forge.whoami(),
        branch_pattern=context.repo_config.publish.branch,
        blockers=lambda issue: forge.open_blockers(name, issue),
        can_write=lambda user: forge.can_write(name, user),
        seen=lambda issue: digest(context, issue),
        reviewed=lambda pull: forge.is_reviewed(name, pull),
        now=datetime.now(UTC),
        only=only,
        force=force,
    )


def digest(context: Context, issue: Issue) -> str:
    comments = context.forge.comments(context.repository.name, issue.number) if issue.comments else []
    return issue_digest(issue, comments)


def _claim(context: Context, pick: Pick, issue: Issue, previous: Claim | None, forced: bool) -> Run | None:
    """Write the run down, then claim the issue for it; None where another host was faster."""
    seen = digest(context, issue)
    run = replace(new_run(context, issue), forced=forced)
    context.store.create(run)
    claim = context.claims.take(issue.number, run.id, seen, previous, run.started_at)
    if claim is None:
        context.store.discard(run.id)
        return None
    run = replace(run, attempt=claim.attempt)
    context.store.save(run)
    with run_log(context.store.folder(run.id), run):
        for passed in pick.passed_over:
            _log.info("passed over #%d %s: %s", passed.number, safe_line(passed.title), passed.reason)
        _log.info("#%d: claimed: %s", issue.number, safe_line(issue.title))
    return run


def new_run(context: Context, issue: Issue) -> Run:
    """A run of this host that begins now; nothing is written."""
    now = datetime.now(UTC)
    name, limits = context.repository.name, context.repo_config.limits
    return Run(
        id=runs.new_id(now, name, issue.number),
        forge=context.repo_config.forge,
        repo=name,
        issue=issue.number,
        title=issue.title,
        attempt=1,
        host=context.host,
        pid=os.getpid(),
        started_at=now,
        deadline=now + timedelta(minutes=limits.minutes + limits.check_minutes * (limits.check_rounds + 2)),
        worker=context.repo_config.worker,
        issue_url=issue.html_url,
    )


def lock_path(cache: Path, forge: str, repo: str) -> Path:
    return cache / "locks" / forge / f"{repo}.lock"
