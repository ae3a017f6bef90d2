"""What a detached worker spends, recorded by the growth since it was last asked."""

from __future__ import annotations

from sprint import spend
from sprint.domain import Usage
from sprint.settle.under_way import UnderWay


def record_growth(current: UnderWay, usage: Usage | None) -> UnderWay:
    """Add to the day's spend what the worker has used since the last time; an attached one does it itself."""
    if usage is None or current.worker.attached or usage == current.run.spent:
        return current
    grown = (usage.cost_usd or 0.0) - (current.run.spent.cost_usd or 0.0)
    # Noted first: a tick that dies in between leaves a little out, and never counts it twice.
    current = current.advance(current.run.phase, spent=usage)
    if grown > 0:
        spend.record(current.context.config.paths.results, current.run.id, grown)
    return current
