"""Carries the work of an earlier attempt into a run that begins."""

from __future__ import annotations

import logging

from sprint import workspace
from sprint.domain import Phase
from sprint.scope import earlier_work
from sprint.settle.under_way import UnderWay

_log = logging.getLogger(__name__)


def carry(current: UnderWay) -> UnderWay:
    """Put the earlier patch into the checkout where it still applies; after `leftovers` are noted."""
    carried_from = _carried(current)
    if carried_from == current.run.carried_from:
        return current
    return current.advance(Phase.CLAIMED, carried_from=carried_from)


def _carried(current: UnderWay) -> str:
    """The run whose work is in the checkout now, or ""."""
    run, context = current.run, current.context
    if run.issue is None or run.attempt < 2:
        return ""
    work = earlier_work(context.store, context.claims.history(run.issue), run)
    if work is None or not workspace.apply_patch(current.space, context.sandbox, work.patch, work.scratch):
        return ""
    _log.info("#%s: the work of run %s is carried on", run.issue, work.run_id)
    return work.run_id
