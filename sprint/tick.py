"""One tick for one repository: settle what is under way, pick an issue, claim it, run it."""

from __future__ import annotations

import logging
from contextlib import closing, nullcontext

from msgspec import Struct

from sprint import assign, capacity, follow, publish
from sprint.backlog import Backlog
from sprint.beside import Beside
from sprint.claim import Board
from sprint.context import Context
from sprint.domain import Claim, Issue, Phase, Pick, Purpose, Run, replace
from sprint.errors import Busy, ConfigError, ForgeError, SprintError
from sprint.lock import lock, lock_path
from sprint.new_run import claim_issue, written_down
from sprint.settle import Ahead, Mirrored, settle, settle_task, taken_over
from sprint.settle.lost import look_for_lost
from sprint.settle.repository import blocked
from sprint.tick_report import TickReport

_RACES = 20  # how many issues a tick may lose to other hosts before it leaves the rest to them

_log = logging.getLogger(__name__)


def tick(
    context: Context,
    *,
    only: int | None = None,
    pull: int | None = None,
    force: bool = False,
    by_hand: bool = False,
    early: Beside[Board] | None = None,
) -> TickReport:
    """Settle what is under way, then begin what there is room for.

    `only` is the one issue, `pull` the one pull request of ours that is wanted. `by_hand`: also where a known
    fault of the repository stops claims, to see whether it is mended. `early`: the claims, read meanwhile;
    only where no run is under way.

    The caller holds the lock of the repository's configured name. Raises Busy where somebody else has that of
    its present one, SprintError on failures, and KeyboardInterrupt.
    """
    repo, name = context.repo_config, context.repository.name
    is_renamed = name != repo.name
    own_lock = lock(lock_path(context.config.paths.cache, repo.forge, name)) if is_renamed else nullcontext()
    with own_lock:
        report, board = _settle_all(context)
        look_for_lost(context)
        if report.trouble or any(run.issue == only for run in (*report.settled, *report.waiting) if only):
            return report
        if not (by_hand or only or pull) and (reason := blocked(context)):
            return replace(report, idle=reason)
        board = board or (early.result() if early else None)
        return _with_new_runs(context, report, board, Wanted(only, pull, force))


def _settle_all(context: Context) -> tuple[TickReport, Board | None]:
    """Detached runs first: an attached one may take this process for an hour.

    Also the board as it was read for that, where it still tells which issues are worked on.
    """
    taken_over.take_over(context)
    under_way = sorted(_under_way(context), key=lambda run: _is_attached(context, run))
    board = context.claims.board() if under_way else None
    claims = board.claims if board else {}
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
    report = TickReport(context.repository.name, settled, waiting, trouble=trouble)
    return report, None if settled else board


def _is_attached(context: Context, run: Run) -> bool:
    if run.purpose is Purpose.TASK:
        return False
    try:
        return context.worker_of(run).attached
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
    """Bring one run as far as it can come. The caller holds the lock of the run's repository. Raises Busy
    where another process is at a task."""
    if run.purpose is Purpose.TASK:
        return settle_task(context, run)
    return _settled(context, run, context.claims.read().get(run.issue or 0))


def _settled(context: Context, run: Run, claim: Claim | None) -> Run:
    if run.purpose is Purpose.TASK:
        try:
            return settle_task(context, run)
        except Busy:  # whoever sent it settles it
            return run
    if not _is_attached(context, run):
        run, claim, is_ours = taken_over.whose(context, run, claim)
        if not is_ours:
            return run
    if run.repo in (context.repository.name, context.repo_config.name):
        return settle(context, run, claim)
    # A tick that began before the repository was renamed has the lock of the old name.
    with lock(lock_path(context.config.paths.cache, run.forge, run.repo)):
        run = context.store.load(run.id)
        return run if run.phase is Phase.SETTLED else settle(context, run, claim)


class Wanted(Struct, frozen=True):
    """What a person asked for: an issue, perhaps against all that speaks against it, or a pull request."""

    issue: int | None = None
    pull: int | None = None
    force: bool = False


def _with_new_runs(context: Context, report: TickReport, board: Board | None, wanted: Wanted) -> TickReport:
    """Begin runs until `pick.at_once` are under way here, or one has come to its end. `board`: as it was read
    just now, if it was."""
    is_attached = context.worker(context.repo_config.worker).attached
    if is_attached and (resting := [run for run in report.waiting if _is_attached(context, run)]):
        return replace(report, idle=f"run {resting[0].id} is under way")
    if reason := capacity.why_not_now(context.sharing, context.repo_config, context.repository):
        return replace(report, idle=reason)
    board = board or context.claims.board()
    if board.pause:
        return replace(report, idle=board.pause.says(context.repository.name))
    backlog = Backlog(context, only=wanted.issue, force=wanted.force)
    report, mirrored = _followed(context, report, board.claims, backlog, wanted.pull)
    if wanted.pull and not report.run:
        said = [one.says for one in report.followed] or [f"#{wanted.pull} is no open pull request of ours"]
        return replace(report, idle=said[0])
    if wanted.pull or (report.run and report.run.phase is Phase.SETTLED):
        return report
    claims = board.claims if report.run is None else context.claims.read()
    with closing(Ahead(context, mirrored if report.run is None else None)) as ahead:
        return _begun(context, report, claims, backlog, ahead)


def _followed(
    context: Context, report: TickReport, claims: dict[int, Claim], backlog: Backlog, only: int | None
) -> tuple[TickReport, Mirrored | None]:
    """Our pull requests come before new issues: begin the rounds that they need and there is room for.

    Also the mirror, where it was brought up to date for that.
    """
    if not (context.repo_config.follow.enabled or only) or backlog.only:
        return report, None
    followed = follow.look(context, claims, backlog.open_pulls, only=only)
    backlog.waits_for_us = {one.number: one.waits_for_us for one in followed.decisions}
    report = replace(report, followed=followed.decisions)
    own = {run.issue for run in report.waiting}
    for needed in followed.needed:
        if len(capacity.worked_on(claims, own)) >= context.repo_config.pick.at_once:
            break
        if (begun := follow.begin(context, needed)) is None:
            continue
        run = settle(context, *begun, is_new=True)
        report = replace(report, run=run)
        if run.phase is Phase.SETTLED:
            break
        own.add(run.issue)
        report = replace(report, waiting=(*report.waiting, run))
    return report, followed.mirrored


def _begun(
    context: Context, report: TickReport, claims: dict[int, Claim], backlog: Backlog, ahead: Ahead
) -> TickReport:
    own = {run.issue for run in report.waiting}
    lost = 0
    while (
        backlog.only or len(unsettled := capacity.worked_on(claims, own)) < context.repo_config.pick.at_once
    ):
        pick = backlog.pick(claims)
        backlog.keep(pick)
        backlog.forget_closed(claims)
        report = replace(report, passed_over=pick.passed_over)
        if pick.issue is None:
            return replace(report, idle=pick.why_none)
        try:
            made = _claimed(context, pick, pick.issue, claims.get(pick.issue.number), backlog.force, ahead)
        except Busy as error:  # each sprite has its run, or other hosts' runs keep what is left for today
            return replace(report, idle=str(error))
        if made is None:
            _log.info("#%d: another host claimed it first", pick.issue.number)
            backlog.pass_over(pick.issue, "another host claimed it first")
            claims, lost = context.claims.read(), lost + 1
            if lost == _RACES:
                return replace(report, idle="other hosts were faster each time")
            continue
        run = settle(context, *made, is_new=True, ahead=ahead)
        report = replace(report, run=run)
        if run.phase is Phase.SETTLED or backlog.only:
            return report
        own.add(run.issue)
        report = replace(report, waiting=(*report.waiting, run))
    return report if report.run else replace(report, idle=capacity.crowd(claims, unsettled))


def _claimed(
    context: Context, pick: Pick, issue: Issue, previous: Claim | None, is_forced: bool, ahead: Ahead
) -> tuple[Run, Claim] | None:
    """What a run on that issue needs is there, and it is claimed; None where another host was faster."""
    worker = assign.able(context, assign.wanted(context, issue))
    context.sandbox.probe()
    publish.check(context.forge, context.repository, context.repo_config.publish)
    seen = context.discussions.digest(issue)
    run = written_down(context, issue, worker, is_forced)
    ahead.begin(run)
    made = claim_issue(context, pick, issue, run, seen, previous)
    if made is None:
        ahead.drop()  # first: killed in between, the next tick finds the run, and what was made for it
        context.store.discard(run.id)
    return made
