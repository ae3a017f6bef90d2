"""What a detached worker spends, recorded by the growth since it was last asked."""

from __future__ import annotations

import logging

from sprint import spend
from sprint.budget import Budget
from sprint.domain import Usage
from sprint.errors import SprintError
from sprint.settle.under_way import UnderWay

_log = logging.getLogger(__name__)


def record_growth(current: UnderWay, usage: Usage | None) -> UnderWay:
    """Add to the day's spend what the worker has used since the last time, unless it does so itself."""
    if usage is None or current.worker.records_spend or usage == current.run.spent:
        return current
    grown = (usage.cost_usd or 0.0) - (current.run.spent.cost_usd or 0.0)
    # Noted first: a tick that dies in between leaves a little out, and never counts it twice.
    current = current.advance(current.run.phase, spent=usage)
    if grown > 0:
        spend.record(current.context.config.paths.results, current.run.id, grown)
    return current


def over_limits(current: UnderWay) -> str:
    """The limit that a detached worker has passed by what was recorded, or "". A gateway stops its own."""
    if current.worker.attached or current.worker.records_spend:
        return ""
    try:
        return exceeded(current)
    except SprintError as error:  # it goes no further than its supervisor was told
        _log.info("run %s: whether it may spend more is not known: %s", current.run.id, error)
        return ""


def exceeded(current: UnderWay) -> str:
    """The limit that is reached by what was recorded, or "". A run that has only spent what it kept of the
    fleet's ceiling keeps more. Raises SprintError where that cannot be told."""
    context, spent = current.context, current.run.spent
    limits, results = context.repo_config.limits, context.config.paths.results
    budget = Budget(limits, results, current.run.id, context.sharing)
    return budget.exceeded(spent.prompt_tokens + spent.completion_tokens, spent.cost_usd or 0.0)
