"""A worker's first hand-over is answered with what a reviewer would see, unless it looked at that itself."""

from __future__ import annotations

import logging
from collections.abc import Callable

from sprint import transcript
from sprint.domain import CheckStatus, Ending, Phase, WorkerResult, replace
from sprint.settle.under_way import UnderWay, Work
from sprint.settle.work import inspection
from sprint.worker import check_runs, review

_CONFIRM = "write the summary again"
_CAME_TO_NOTHING = (Ending.ERROR, Ending.LIMIT, Ending.OFF_RAILS)

_log = logging.getLogger(__name__)


def asked_for(
    current: UnderWay, work: Work, result: WorkerResult, resume: Callable[[UnderWay, str, int], UnderWay]
) -> UnderWay | None:
    """Send the review to the worker, once in a run; None where there is nothing to tell, or it was told."""
    run = current.run
    if result.ending is not Ending.IMPLEMENTED or result.is_reviewed or run.reviewed or run.rounds:
        return None
    runnable = [check.command for check in run.base_checks if check.status is not CheckStatus.NOT_RUN]
    checks = check_runs.told_by(transcript.read(current.folder), runnable)
    found = inspection(current, work)
    if review.is_plain(found, checks):
        return None
    _log.info("%s: the worker is shown what a reviewer would see", run.about)
    current = current.advance(Phase.WORKED, tree=work.imported.tree, reviewed=result)
    return resume(current, review.text(found, checks, _CONFIRM), run.rounds)


def upheld(current: UnderWay, work: Work, result: WorkerResult) -> WorkerResult:
    """What counts after a review: the first hand-over, where the second brought neither words nor work."""
    first, run = current.run.reviewed, current.run
    if first is None or run.rounds:
        return result
    if result.ending in _CAME_TO_NOTHING and work.imported.tree == run.tree:
        return replace(first, model=result.model, usage=result.usage)
    if result.ending is Ending.IMPLEMENTED and not result.summary:
        return replace(result, summary=first.summary)
    return result
