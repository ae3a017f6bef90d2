"""The end of work that is not wanted any more: the worker stopped, what it has kept as a patch."""

from __future__ import annotations

import logging

from sprint.domain import Ending, Outcome, Phase, WorkerResult
from sprint.errors import ForgeError, SprintError
from sprint.settle.prove import keep_patch
from sprint.settle.spending import record_growth
from sprint.settle.under_way import UnderWay
from sprint.settle.wanted import not_wanted
from sprint.settle.work import job_of

_log = logging.getLogger(__name__)


def unwanted(current: UnderWay, *, look: bool) -> UnderWay | None:
    """The run ended early, where somebody asks for that or its work is wanted no longer; else None.

    `look`: the forge is asked, where nobody has watched the issue meanwhile.
    """
    reason = current.reason_to_stop()
    if look and not reason:
        try:
            reason = not_wanted(current.context, current.run)
        except ForgeError as error:  # before anything is published it is asked again
            _log.info("run %s: whether it is still wanted cannot be told: %s", current.run.id, error)
    return ended_early(current, reason) if reason else None


def ended_early(current: UnderWay, reason: str) -> UnderWay:
    """Stop the worker, collect what there is, and conclude: as cancelled, or by handing in what is sound
    where whoever stopped it asked for that."""
    result = _stopped(current)
    if result is not None:
        current = record_growth(current, result.usage)
    request = current.context.store.asked_to_stop(current.run.id)
    if request is not None and request.hand_in and current.lease is not None:
        result = result or WorkerResult(Ending.CANCELLED)
        ended = WorkerResult(
            Ending.CANCELLED, result.summary, request.why, model=result.model, usage=result.usage
        )
        return current.advance(Phase.WORKED, result=ended)
    keep_patch(current)
    return current.concluded(Outcome.CANCELLED, reason, result=result)


def _stopped(current: UnderWay) -> WorkerResult | None:
    if current.run.phase is not Phase.WORKING:
        return current.run.result
    try:
        current.worker.stop(current.run)
        return current.worker.collect(job_of(current))
    except SprintError as error:
        _log.warning("run %s: its worker could not be stopped and emptied: %s", current.run.id, error)
        return None
