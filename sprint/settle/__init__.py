"""Takes a run from the phase it is in as far as it can come now, whichever process began it.

Each step can be killed and done again: what it did is on the forge, in the mirror or in run.json, and it
looks there before it does anything twice. Asked in this order: is the claim still ours, is the work still
wanted, is the deadline past; only then how the worker is.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace

from sprint import prompts
from sprint.context import Context
from sprint.domain import Claim, Ending, Liveness, Outcome, Phase, Prompt, Run
from sprint.errors import SprintError
from sprint.logs import run_log
from sprint.renewal import Lease
from sprint.settle import lease as leases
from sprint.settle.begin import begin, start
from sprint.settle.conclude import conclude, row_of
from sprint.settle.early import ended_early, unwanted
from sprint.settle.pauses import paused, taken_up
from sprint.settle.propose import propose
from sprint.settle.prove import prove
from sprint.settle.spending import record_growth
from sprint.settle.under_way import NO_PROMPT, UnderWay
from sprint.settle.wanted import Wanted
from sprint.worker import Status

__all__ = ["row_of", "settle"]

_log = logging.getLogger(__name__)


def settle(context: Context, run: Run, claim: Claim | None, *, is_new: bool = False) -> Run:
    """Bring a run as far as it can come now; returns it settled, or as it is where work goes on elsewhere.

    `claim` is the issue's as the server had it in this tick; `is_new`: this process has just begun the run.
    Raises SprintError where the forge, the sandbox or the model fails, and KeyboardInterrupt: the run rests
    then, and a later tick goes on with it.
    """
    with run_log(context.store.folder(run.id), run):
        if claim is None or claim.state != "claimed" or claim.run != run.id:
            return _without_claim(context, run)
        run = replace(run, attempt=claim.attempt)  # a tick that died right after it took the claim noted none
        wanted, length = Wanted(context, run), leases.length(context, run)
        with Lease(context.claims, claim, wanted.in_full, length, wanted.at_a_glance) as lease:
            current = UnderWay(context, lease, run)
            try:
                current = _brought_on(current if is_new else taken_up(current))
            except (SprintError, KeyboardInterrupt) as error:
                paused(current, error)
                raise
        # Only now, when nobody renews the claim any more: a release that lost to a renewal would be lost.
        if current.run.phase is not Phase.CONCLUDED:
            return current.run
        return conclude(context, lease.claim, current.run)


def _without_claim(context: Context, run: Run) -> Run:
    """The claim never came to be, was taken over, or was released already by a tick that died after it."""
    if run.phase is Phase.CLAIMED:
        context.store.discard(run.id)
        return replace(run, phase=Phase.SETTLED)
    if run.phase is not Phase.CONCLUDED:
        run = ended_early(UnderWay(context, None, run), "another host took the issue over").run
    return conclude(context, None, run)


def _brought_on(current: UnderWay) -> UnderWay:
    while current.run.phase is not Phase.CONCLUDED:
        before = current
        current = _step(current)
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
    try:
        current.worker.stop(current.run)
        result = current.worker.collect(current.job())
    except SprintError as error:
        _log.warning("run %s: what its worker has cannot be had: %s", current.run.id, error)
        return _lost(current)
    current = record_growth(current, result.usage)
    if result.ending is not Ending.IMPLEMENTED:
        minutes = current.context.repo_config.limits.minutes
        result = replace(result, ending=Ending.LIMIT, detail=f"limits.minutes: {minutes:g} minutes are over")
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
    result = current.worker.collect(current.job())
    current = record_growth(current, result.usage)
    if result.ending is Ending.INTERRUPTED and current.worker.attached and current.has_workspace:
        return _resumed(current, prompts.render("interrupted"), current.run.rounds, current.prompt())
    return current.advance(Phase.WORKED, result=result)


def _resumed(current: UnderWay, message: str, rounds: int, prompt: Prompt = NO_PROMPT) -> UnderWay:
    current = current.advance(Phase.WORKING, pid=os.getpid(), rounds=rounds)
    current.worker.resume(current.job(prompt), message)
    return current.with_status(None if current.worker.attached else Status(Liveness.RUNNING))


def _prove(current: UnderWay) -> UnderWay:
    return prove(current, _resumed)


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
