"""Takes a run from the phase it is in as far as it can come now, whichever process began it.

Each step can be killed and done again: what it did is on the forge, in the mirror or in run.json, and it
looks there before it does anything twice. Asked in this order: is the claim still ours, is the work still
wanted, is the deadline past; only then how the worker is.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from sprint import prompts, workspace
from sprint.context import Context
from sprint.domain import Claim, Ending, Liveness, Outcome, Phase, Prompt, Run, replace
from sprint.errors import EndedEarly, SprintError
from sprint.lock import lock
from sprint.logs import run_log
from sprint.renewal import Lease
from sprint.settle import lease as leases
from sprint.settle.ahead import Ahead, Mirrored, mirroring
from sprint.settle.begin import begin, start
from sprint.settle.conclude import conclude, row_of
from sprint.settle.early import ended_early, unwanted
from sprint.settle.pauses import paused, taken_up
from sprint.settle.propose import propose
from sprint.settle.prove import prove, prove_update
from sprint.settle.regained import regained
from sprint.settle.spending import exceeded, over_limits, record_growth
from sprint.settle.under_way import NO_PROMPT, UnderWay
from sprint.settle.wanted import Wanted
from sprint.settle.work import job_of
from sprint.worker import Status
from sprint.worker.sprite import asked

__all__ = ["Ahead", "Mirrored", "mirroring", "row_of", "settle", "settle_task"]

_TASK_LOCK = "task.lock"

_log = logging.getLogger(__name__)


def settle(
    context: Context,
    run: Run,
    claim: Claim | None,
    *,
    is_new: bool = False,
    ahead: Ahead | None = None,
) -> Run:
    """Bring a run as far as it can come now; returns it settled, or as it is where work goes on elsewhere.

    `claim` is the issue's as the server had it in this tick, None for a task; `is_new`: this process has just
    begun the run, and perhaps what it begins with. Raises SprintError where the forge, the sandbox or the
    model fails, and KeyboardInterrupt: the run rests then, and a later tick goes on with it.
    """
    with run_log(context.store.folder(run.id), run):
        if run.issue is not None:
            if claim is None or claim.state != "claimed" or claim.run != run.id:
                return _without_claim(context, run, claim)
            run = replace(run, attempt=claim.attempt)  # a tick that died right after it took it noted none
        wanted, length = Wanted(context, run), leases.length(context, run)
        with Lease(context.claims, claim, wanted.in_full, length, wanted.at_a_glance) as lease:
            current = UnderWay(context, lease, run, ahead=ahead)
            try:
                current = _brought_on(current if is_new else taken_up(current))
            except (SprintError, KeyboardInterrupt) as error:
                paused(current, error)
                raise
        # Only now, when nobody renews the claim any more: a release that lost to a renewal would be lost.
        if current.run.phase is not Phase.CONCLUDED:
            return current.run
        return conclude(context, lease.claim if claim else None, current.run)


def settle_task(context: Context, run: Run, *, is_new: bool = False) -> Run:
    """The same for an operator's own task, which no claim keeps from a second process: its lock does.

    Raises Busy where another process is at it.
    """
    with lock(context.store.folder(run.id) / _TASK_LOCK, what=f"settles task {run.id}"):
        run = context.store.load(run.id)
        if run.phase is Phase.CLAIMED and not asked.is_noted(context.store.folder(run.id)):
            context.store.discard(run.id)
            return replace(run, phase=Phase.SETTLED)
        return run if run.phase is Phase.SETTLED else settle(context, run, None, is_new=is_new)


def _without_claim(context: Context, run: Run, claim: Claim | None) -> Run:
    """The claim never came to be, was taken over, or was released already by a tick that died after it."""
    if run.phase is Phase.CLAIMED:
        workspace.remove_all_of(context.config.paths.workspaces, run.id)
        context.store.discard(run.id)
        return replace(run, phase=Phase.SETTLED)
    if run.phase is not Phase.CONCLUDED:
        run = ended_early(UnderWay(context, None, run), "another host took the issue over").run
    is_released = claim is not None and (claim.state, claim.run) == ("released", run.id)
    return conclude(context, None, run, released=claim if is_released else None)


def _brought_on(current: UnderWay) -> UnderWay:
    while current.run.phase is not Phase.CONCLUDED:
        before = current
        try:
            current = _step(current)
        except EndedEarly as ended:
            run = current.context.store.load(current.run.id)
            current = ended_early(replace(current, run=run), str(ended))
        if current.run is before.run and current.status is before.status:
            break  # work goes on elsewhere
    return current


def _step(current: UnderWay) -> UnderWay:
    liveness = None
    if current.run.phase is Phase.WORKING:
        if current.status is None:
            if ended := unwanted(current, look=not current.worker.attached):
                return ended
            return _asked(current)
        liveness = current.status.liveness
        if current.is_late and not current.worker.attached:
            return _late(current, liveness)
        if liveness is Liveness.RUNNING and (over := over_limits(current)):
            return _cut(current, over)
    return STEPS[current.run.phase, liveness](current)


def _asked(current: UnderWay) -> UnderWay:
    """With the worker's status; asked once a tick."""
    try:
        status = current.worker.poll(current.run)
    except SprintError as error:
        _log.warning("run %s: its worker does not answer: %s", current.run.id, error)
        status = Status(Liveness.UNKNOWN)
    return record_growth(current.with_status(status), status.usage)


def _late(current: UnderWay, liveness: Liveness) -> UnderWay:
    """Past its deadline a worker is stopped, and what it has is taken as it is."""
    if liveness is Liveness.DONE:
        return _collect(current)
    if liveness is Liveness.UNKNOWN:
        return _lost(current)
    if liveness is Liveness.ABSENT:
        return current.concluded(Outcome.INTERRUPTED, "its worker could not be begun before its deadline")
    minutes = current.context.repo_config.limits.minutes
    try:
        return _cut(current, f"limits.minutes: {minutes:g} minutes are over")
    except SprintError as error:
        _log.warning("run %s: what its worker has cannot be had: %s", current.run.id, error)
        return _lost(current)


def _cut(current: UnderWay, limit: str) -> UnderWay:
    """Stop the worker and take what it has, unless it came to its end meanwhile. Raises SprintError."""
    current.worker.stop(current.run)
    current = regained(current)
    result = current.worker.collect(job_of(current))
    current = record_growth(current, result.usage)
    if result.ending is not Ending.IMPLEMENTED:
        result = replace(result, ending=Ending.LIMIT, detail=limit)
    return current.advance(Phase.WORKED, result=result)


def _lost(current: UnderWay) -> UnderWay:
    current.context.store.mark_lost(current.run.id)
    return current.concluded(Outcome.WORKER_LOST, "the worker did not answer before its deadline")


def _leave(current: UnderWay) -> UnderWay:
    return current


def _start(current: UnderWay) -> UnderWay:
    """A tick died between noting that work begins and beginning it."""
    return start(current, current.prompt())


def _collect(current: UnderWay) -> UnderWay:
    current = current if current.worker.attached else regained(current)
    result = current.worker.collect(job_of(current))
    current = record_growth(current, result.usage)
    if result.ending is Ending.INTERRUPTED and current.worker.attached and current.has_workspace:
        return _resumed(current, prompts.render("interrupted"), current.run.rounds, current.prompt())
    if result.wants_more and not current.is_late:
        if not (over := exceeded(current)):
            return _resumed(current, prompts.render("interrupted"), current.run.rounds)
        result = replace(result, detail=over)
    return current.advance(Phase.WORKED, result=result)


def _resumed(current: UnderWay, message: str, rounds: int, prompt: Prompt = NO_PROMPT) -> UnderWay:
    current = current.advance(Phase.WORKING, pid=os.getpid(), rounds=rounds)
    current.worker.resume(job_of(current, prompt), message)
    return current.with_status(None if current.worker.attached else Status(Liveness.RUNNING))


def _prove(current: UnderWay) -> UnderWay:
    return prove_update(current) if current.run.is_update else prove(current, _resumed)


# What is done next. The worker is asked only while it works: every other phase is in our hands.
STEPS: dict[tuple[Phase, Liveness | None], Callable[[UnderWay], UnderWay]] = {
    (Phase.CLAIMED, None): begin,
    (Phase.WORKING, Liveness.ABSENT): _start,
    (Phase.WORKING, Liveness.RUNNING): _leave,
    (Phase.WORKING, Liveness.UNKNOWN): _leave,
    (Phase.WORKING, Liveness.DONE): _collect,
    (Phase.WORKED, None): _prove,
    (Phase.VERIFIED, None): propose,
}
