"""Takes a run from the phase it is in to its end, whichever process began it.

Each step can be killed and done again: what it did is on the forge, in the mirror or in run.json, and it
looks there before it does anything twice.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sprint import prompts, workspace
from sprint.claim import Lease
from sprint.context import Context
from sprint.domain import Ending, Liveness, Outcome, Phase, Prompt, Run
from sprint.errors import SprintError
from sprint.logs import run_log
from sprint.scope import prompt_for
from sprint.settle.begin import begin
from sprint.settle.conclude import conclude, row_of
from sprint.settle.propose import not_wanted, propose
from sprint.settle.prove import keep_patch, prove
from sprint.settle.under_way import NO_PROMPT, UnderWay
from sprint.worker import check as check_worker

__all__ = ["row_of", "settle"]

MAX_CONTINUED = 3
PATIENCE = timedelta(hours=24)  # how long proven work waits for a forge that is down

_log = logging.getLogger(__name__)


def settle(context: Context, run: Run) -> Run:
    """Bring a run as far as it can come now; returns it settled, or as it is where work goes on elsewhere.

    Raises SprintError where the forge, the sandbox or the model fails: the run stays, for a later tick.
    """
    with run_log(context.store.folder(run.id), run):
        return _settled(context, run)


def _settled(context: Context, run: Run) -> Run:
    claim = context.claims.read().get(run.number)
    if claim is None or claim.state != "claimed" or claim.run != run.id:
        return _without_claim(context, run)
    run = replace(run, attempt=claim.attempt)  # a tick that died right after it took the claim noted none
    with Lease(context.claims, claim, lambda: not_wanted(context, run)) as lease:
        current = UnderWay(context, lease, run)
        if run.pid != os.getpid():
            current = _taken_up(current)
        while current.run.phase is not Phase.CONCLUDED:
            before = current.run
            try:
                current = _STEPS[before.phase](current)
            except SprintError:
                _withdraw_if_not_begun(context, lease, run)
                raise
            if current.run is before:
                return before
    # Only now, when nobody renews the claim any more: a release that lost to a renewal would be lost.
    return conclude(context, lease.claim, current.run)


def _without_claim(context: Context, run: Run) -> Run:
    """The claim never came to be, was taken over, or was released already by a tick that died after it."""
    if run.phase is Phase.CLAIMED:
        context.store.discard(run.id)
        return replace(run, phase=Phase.SETTLED)
    if run.phase is not Phase.CONCLUDED:
        current = UnderWay(context, None, run)
        keep_patch(current)
        run = current.concluded(Outcome.CANCELLED, "another host took the issue over").run
    return conclude(context, None, run)


def _withdraw_if_not_begun(context: Context, lease: Lease, run: Run) -> None:
    """What keeps a run from beginning is the operator's to mend, and costs the issue no attempt."""
    run = context.store.load(run.id)
    if run.phase is Phase.CLAIMED and context.claims.withdraw(lease.claim, datetime.now(UTC)):
        workspace.remove_all_of(context.config.paths.workspaces, run.id)
        context.store.discard(run.id)


def _taken_up(current: UnderWay) -> UnderWay:
    """Another process began this run and is gone: count it, so that no run is taken up for ever."""
    current.held_lease.renew()
    run = current.run
    if run.phase is Phase.CONCLUDED or current.worker.poll(run, current.folder) is not Liveness.DONE:
        return current
    if run.phase is not Phase.VERIFIED and (reason := current.reason_to_stop()):
        keep_patch(current)
        return current.concluded(Outcome.CANCELLED, reason)
    if run.phase in (Phase.CLAIMED, Phase.WORKING):
        check_worker(run.worker, current.context.endpoints)  # a model that is away is no fault of the run's
    if run.phase is Phase.VERIFIED:
        is_hopeless = datetime.now(UTC) > run.started_at + PATIENCE
    else:
        is_hopeless = run.continued >= MAX_CONTINUED
    current = current.advance(run.phase, continued=run.continued + 1)
    if is_hopeless:
        if run.continued <= MAX_CONTINUED:  # else it is this that its process dies of
            keep_patch(current)
        times = run.continued + 1
        return current.concluded(Outcome.INTERRUPTED, f"its process ended before its work did, {times} times")
    _log.info("#%d: taking run %s up where another process left it", run.issue, run.id)
    return current


def _await_worker(current: UnderWay) -> UnderWay:
    """Phase working: a worker that is done hands over; one that died without a word is set to work again."""
    run = current.run
    liveness = current.worker.poll(run, current.folder)
    if liveness is Liveness.UNKNOWN and datetime.now(UTC) > run.deadline:
        current.worker.stop(run, current.folder)
        return current.concluded(Outcome.WORKER_LOST, "the worker did not answer before its deadline")
    if liveness is not Liveness.DONE:
        return current
    result = current.worker.result(run, current.folder)
    if result.ending is Ending.INTERRUPTED and run.pid != os.getpid() and current.has_workspace:
        return _resume(current, prompts.render("interrupted"), run.rounds, _prompt(current))
    return current.advance(Phase.WORKED, result=result)


def _prompt(current: UnderWay) -> Prompt:
    """For a worker that died before it had its prompt on the disk."""
    context = current.context
    return prompt_for(
        context, current.run, context.forge.issue(context.repository.name, current.run.number), current.mirror
    )


def _resume(current: UnderWay, message: str, rounds: int, prompt: Prompt = NO_PROMPT) -> UnderWay:
    current = current.advance(Phase.WORKING, pid=os.getpid(), rounds=rounds)
    current.worker.resume(current.job(prompt), message)
    return current


def _prove(current: UnderWay) -> UnderWay:
    return prove(current, _resume)


_STEPS: dict[Phase, Callable[[UnderWay], UnderWay]] = {
    Phase.CLAIMED: begin,
    Phase.WORKING: _await_worker,
    Phase.WORKED: _prove,
    Phase.VERIFIED: propose,
}
