"""How long a run's claim must hold: as far as its worker can go without a tick."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sprint import heartbeat
from sprint.claim import LEASE
from sprint.context import Context
from sprint.domain import Run

GRACE = timedelta(hours=1)  # for the tick after a detached worker's deadline, which cron may start late
_UNKNOWN_INTERVAL = timedelta(minutes=30)


def length(context: Context, run: Run) -> Callable[[], timedelta]:
    """The length that each renewal asks for: LEASE while an attached worker's process renews it itself, else
    to the deadline and some grace."""
    if context.worker_of(run).attached:
        return lambda: LEASE
    return lambda: max(run.deadline + GRACE - datetime.now(UTC), LEASE)


def while_paused(context: Context) -> timedelta:
    """Twice the time from tick to tick, so that one may be missed, and the lease."""
    repo = context.repo_config
    usual = heartbeat.usual_interval(context.config.paths.results, repo.forge, context.repository.name)
    configured = timedelta(minutes=repo.every) if repo.every else None
    return 2 * max(filter(None, (usual, configured)), default=_UNKNOWN_INTERVAL) + LEASE
