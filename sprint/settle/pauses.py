"""A pause is no failure: a run that rests through no fault of its issue, and how it goes on.

Only a process that dies or is stopped again and again without getting on, or a rest of more than
`limits.paused_hours`, ends a run; then what is sound is handed in.
"""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime, timedelta

from sprint import transcript, workspace
from sprint.domain import Ending, Liveness, Outcome, Phase, Run, WorkerResult, replace
from sprint.errors import ForgeError, SprintError, Stopped
from sprint.settle import lease as leases
from sprint.settle.early import unwanted
from sprint.settle.propose import propose
from sprint.settle.prove import keep_patch
from sprint.settle.under_way import UnderWay

MOST_CUT_SHORT = 5  # in a row, without a turn, a set-up command or a check that ended
MOST_DEATHS = 10  # in all, for one that dies at the same place may do a turn each time before it

_log = logging.getLogger(__name__)


def paused(current: UnderWay, error: BaseException) -> None:
    """Note that the run rests, and have its claim last until the next ticks. What keeps a run from beginning
    at all is the operator's to mend: then it is as if it had never been picked."""
    context = current.context
    run = context.store.load(current.run.id)
    if run.phase in (Phase.CONCLUDED, Phase.SETTLED):
        return
    is_cut_short = isinstance(error, KeyboardInterrupt | Stopped)
    if run.phase is Phase.CLAIMED and not is_cut_short:
        _withdraw(current)
        return
    why = "it was told to stop" if is_cut_short else str(error)
    run = _resting(run, why, is_cut_short=is_cut_short, steps=transcript.steps(current.folder))
    context.store.save(run)
    _log.log(
        logging.WARNING if is_cut_short else logging.INFO,  # an error is told by whoever it comes to
        "run %s rests: %s; `sprint run %s` goes on with it, `sprint stop %s` gives it up",
        *(run.id, why, run.repo, run.id),
    )
    _keep_claim(replace(current, run=run))


def _resting(run: Run, why: str, *, is_cut_short: bool, steps: int, since: datetime | None = None) -> Run:
    since = since or datetime.now(UTC)
    has_got_on = steps > run.steps or run.stuck_since is None
    return replace(
        run,
        paused_since=run.paused_since or since,
        paused_why=why[:500],
        stuck_since=since if has_got_on else run.stuck_since,
        pauses=(0 if has_got_on else run.pauses) + is_cut_short,
        steps=steps,
    )


def _withdraw(current: UnderWay) -> None:
    context, run = current.context, current.run
    is_withdrawn = run.issue is None or context.claims.withdraw(
        current.held_lease.claim, datetime.now(UTC), run.trigger
    )
    if is_withdrawn:
        workspace.remove_all_of(context.config.paths.workspaces, run.id)
        context.store.discard(run.id)


def _keep_claim(current: UnderWay) -> None:
    try:
        current.held_lease.rest(leases.while_paused(current.context))
    except SprintError as error:
        _log.info("run %s: its claim could not be renewed: %s", current.run.id, error)


def taken_up(current: UnderWay) -> UnderWay:
    """Another process began this run. Raises SprintError where what it waits for is still away."""
    run = current.run
    if run.phase is Phase.CONCLUDED:
        return current
    if not current.worker.attached:
        return _detached_taken_up(current)
    if run.phase is Phase.WORKING and current.worker.poll(run).liveness is Liveness.RUNNING:
        return current  # its process lives, under the repository's former name
    if run.paused_since is None:  # it died without a word
        since = _last_sign(current)
        steps = transcript.steps(current.folder)
        run = _resting(run, "its process ended without a word", is_cut_short=True, steps=steps, since=since)
        run = replace(run, continued=run.continued + 1)
        current.context.store.save(run)
        current = replace(current, run=run)
    if why := _hopeless(current):
        return _given_up(current, why)
    # Proven work may be merged by now, which closes the issue: `propose` looks for that first.
    if run.phase is not Phase.VERIFIED and (ended := unwanted(current, look=True)):
        return ended
    if run.phase in (Phase.CLAIMED, Phase.WORKING):
        current.worker.check()
    if current.has_workspace:
        workspace.cover_again(current.space)
    current.held_lease.renew()
    rested = max((datetime.now(UTC) - (run.paused_since or datetime.now(UTC))).total_seconds(), 0.0)
    _log.info("%s: taking run %s up where another process left it", run.about, run.id)
    return current.advance(
        run.phase,
        pid=os.getpid(),
        paused_since=None,
        paused_s=run.paused_s + rested,
        deadline=run.deadline + timedelta(seconds=rested),
    )


def _detached_taken_up(current: UnderWay) -> UnderWay:
    """Its worker went on meanwhile, and its deadline ends it; only what is in our hands can be stuck."""
    if current.run.phase is not Phase.WORKING and (why := _hopeless(current)):
        return _given_up(current, why)
    return current.advance(current.run.phase, paused_since=None) if current.run.paused_since else current


def _last_sign(current: UnderWay) -> datetime:
    """When a process that died had last written something."""
    files = [current.folder / transcript.NAME, current.folder / "run.json"]
    times = [path.stat().st_mtime for path in files if path.exists()]
    return min(datetime.fromtimestamp(max(times, default=0.0), UTC), datetime.now(UTC))


def _hopeless(current: UnderWay) -> str:
    """Why the run rests no longer but ends, or ""."""
    run, hours = current.run, current.context.repo_config.limits.paused_hours
    if run.pauses >= MOST_CUT_SHORT:
        return (
            f"its process ended {run.pauses} times in a row before a turn, a set-up command or a check had: "
            "the tick is given less time than the step needs"
        )
    if run.continued >= MOST_DEATHS:
        return f"its process died {run.continued} times without a word"
    if run.stuck_since and datetime.now(UTC) > run.stuck_since + timedelta(hours=hours):
        return f"it rested for more than {hours:g} hours: {run.paused_why}"
    return ""


def _given_up(current: UnderWay, why: str) -> UnderWay:
    """What is sound is handed in, unless looking for that is what its process dies of."""
    run = current.run
    is_deadly = run.pauses > MOST_CUT_SHORT
    current = current.advance(run.phase, pid=os.getpid(), pauses=max(run.pauses, MOST_CUT_SHORT) + 1)
    if run.phase is Phase.VERIFIED and not is_deadly and run.pauses < MOST_CUT_SHORT:
        return _last_try(current, why)
    if run.phase is Phase.WORKING and not is_deadly and current.has_workspace:
        usage, model = transcript.usage(current.folder)
        result = WorkerResult(Ending.INTERRUPTED, detail=why, model=model, usage=usage)
        return current.advance(Phase.WORKED, result=result)
    if not is_deadly:
        keep_patch(current)
    return current.concluded(Outcome.INTERRUPTED, why)


def _last_try(current: UnderWay, why: str) -> UnderWay:
    """Proven work that waited too long for its forge is tried to be handed in before it is given up."""
    try:
        return propose(current)
    except ForgeError as error:
        _log.warning("run %s: its work could not be handed in: %s", current.run.id, error)
        keep_patch(current)
        return current.concluded(Outcome.INTERRUPTED, why)
