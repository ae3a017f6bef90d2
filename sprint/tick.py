"""One tick for one repository: settle what is under way, pick an issue, claim it, run it."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Mapping, Set
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sprint import assign, runs, spend
from sprint.backlog import Backlog
from sprint.clean_text import safe_line
from sprint.context import Context
from sprint.domain import Claim, Issue, PassedOver, Phase, Pick, Run
from sprint.errors import ConfigError, ForgeError, SprintError
from sprint.lock import lock
from sprint.logs import run_log
from sprint.settle import settle
from sprint.settle.lost import look_for_lost
from sprint.settle.repository import blocked

_MANY_CLAIMS = 100
_REMEMBERED = timedelta(days=30)
_FORGOTTEN_AT_ONCE = 5
_FARTHEST = timedelta(days=30)
_RACES = 20  # how many issues a tick may lose to other hosts before it leaves the rest to them

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TickReport:
    """What a tick did, for a person or a program. `waiting` are the runs that are still under way, `run` the
    newest that it began, `trouble` the first failure that left a run where it was."""

    repo: str
    settled: tuple[Run, ...] = ()
    waiting: tuple[Run, ...] = ()
    run: Run | None = None
    idle: str = ""  # why there was nothing to do
    passed_over: tuple[PassedOver, ...] = ()
    trouble: SprintError | None = None


def tick(
    context: Context, *, only: int | None = None, force: bool = False, by_hand: bool = False
) -> TickReport:
    """Settle what is under way, then begin what there is room for.

    `by_hand`: also where a known fault of the repository stops claims, to see whether it is mended.

    The caller holds the lock of the repository's configured name. Raises Busy where somebody else has that of
    its present one, SprintError on failures, and KeyboardInterrupt.
    """
    repo, name = context.repo_config, context.repository.name
    is_renamed = name != repo.name
    own_lock = lock(lock_path(context.config.paths.cache, repo.forge, name)) if is_renamed else nullcontext()
    with own_lock:
        report = _settle_all(context)
        look_for_lost(context)
        if report.trouble or any(run.issue == only for run in (*report.settled, *report.waiting) if only):
            return report
        if not (by_hand or only) and (reason := blocked(context)):
            return replace(report, idle=reason)
        return _with_new_runs(context, report, only, force)


def _settle_all(context: Context) -> TickReport:
    """Detached runs first: an attached one may take this process for an hour."""
    under_way = sorted(_under_way(context), key=lambda run: _is_attached(context, run))
    claims = context.claims.read() if under_way else {}
    known: list[Run] = []
    trouble = None
    for run in under_way:
        try:
            known.append(_settled(context, run, claims.get(run.issue or 0)))
        except SprintError as error:
            _log.debug("run %s stays under way", run.id, exc_info=True)
            trouble = trouble or error
            if context.store.exists(run.id):
                known.append(context.store.load(run.id))
    settled = tuple(run for run in known if run.phase is Phase.SETTLED)
    waiting = tuple(run for run in known if run.phase is not Phase.SETTLED)
    return TickReport(context.repository.name, settled, waiting, trouble=trouble)


def _is_attached(context: Context, run: Run) -> bool:
    try:
        return context.worker(run.worker).attached
    except ConfigError:  # it is no longer configured, which `settle` says
        return True


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


def settle_run(context: Context, run: Run) -> Run:
    """Bring one run as far as it can come. The caller holds the lock of the run's repository."""
    return settle(context, run, context.claims.read().get(run.issue or 0))


def _settled(context: Context, run: Run, claim: Claim | None) -> Run:
    if run.repo in (context.repository.name, context.repo_config.name):
        return settle(context, run, claim)
    # A tick that began before the repository was renamed has the lock of the old name.
    with lock(lock_path(context.config.paths.cache, run.forge, run.repo)):
        run = context.store.load(run.id)
        return run if run.phase is Phase.SETTLED else settle(context, run, claim)


def _with_new_runs(context: Context, report: TickReport, only: int | None, force: bool) -> TickReport:
    """Begin runs until `pick.at_once` are under way here, or one has come to its end."""
    is_attached = context.worker(context.repo_config.worker).attached
    if is_attached and (resting := [run for run in report.waiting if _is_attached(context, run)]):
        return replace(report, idle=f"run {resting[0].id} is under way")
    if reason := why_not_now(context):
        return replace(report, idle=reason)
    board = context.claims.board()
    if board.pause:
        return replace(report, idle=board.pause.says(context.repository.name))
    return _begun(context, report, board.claims, Backlog(context, only=only, force=force))


def _begun(context: Context, report: TickReport, claims: dict[int, Claim], backlog: Backlog) -> TickReport:
    own = {run.issue for run in report.waiting}
    lost = 0
    while backlog.only or len(unsettled := _unsettled(claims, own)) < context.repo_config.pick.at_once:
        pick = backlog.pick(claims)
        forget_closed(context, claims, backlog)
        report = replace(report, passed_over=pick.passed_over)
        if pick.issue is None:
            return replace(report, idle=pick.why_none)
        worker = assign.able(context, assign.wanted(context, pick.issue))
        context.sandbox.probe()
        previous = claims.get(pick.issue.number)
        made = _claim(context, pick, pick.issue, worker, previous, backlog.force)
        if made is None:
            _log.info("#%d: another host claimed it first", pick.issue.number)
            backlog.pass_over(pick.issue, "another host claimed it first")
            claims, lost = context.claims.read(), lost + 1
            if lost == _RACES:
                return replace(report, idle="other hosts were faster each time")
            continue
        run = settle(context, *made, is_new=True)
        report = replace(report, run=run)
        if run.phase is Phase.SETTLED or backlog.only:
            return report
        own.add(run.issue)
        report = replace(report, waiting=(*report.waiting, run))
    return report if report.run else replace(report, idle=_crowd(claims, unsettled))


def _unsettled(claims: Mapping[int, Claim], own: Set[int | None]) -> Set[int | None]:
    """The issues that are worked on, on all hosts. A claim for longer than any run lasts is a forged one."""
    now = datetime.now(UTC)
    claimed = {
        number
        for number, claim in claims.items()
        if claim.state == "claimed" and now < claim.expires < now + _FARTHEST
    }
    return claimed | own


def _crowd(claims: Mapping[int, Claim], unsettled: Set[int | None]) -> str:
    said = []
    for number in sorted(number for number in unsettled if number):
        claim = claims.get(number)
        until = f"until {claim.expires:%Y-%m-%d %H:%M} UTC" if claim else ""
        said.append(f"#{number} is claimed by {claim.host} {until}" if claim else f"#{number} is under way")
    return f"{'; '.join(said)} (pick.at_once)"


def forget_closed(context: Context, claims: Mapping[int, Claim], backlog: Backlog) -> None:
    """Where claims have become many, remove some of long closed issues: each fetch reads them all."""
    if len(claims) <= _MANY_CLAIMS:
        return
    long_ago = datetime.now(UTC) - _REMEMBERED
    old = [
        claim for claim in backlog.unlisted(claims) if claim.state == "released" and claim.expires < long_ago
    ]
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


def _claim(
    context: Context, pick: Pick, issue: Issue, worker: str, previous: Claim | None, forced: bool
) -> tuple[Run, Claim] | None:
    """Write the run down, then claim the issue for it; None where another host was faster."""
    seen = context.discussions.digest(issue)
    run = replace(new_run(context, issue, worker), forced=forced)
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
    return run, claim


def new_run(context: Context, issue: Issue, worker: str) -> Run:
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
        worker=worker,
        issue_url=issue.html_url,
        labels=issue.labels,
    )


def lock_path(cache: Path, forge: str, repo: str) -> Path:
    return cache / "locks" / forge / f"{repo}.lock"
