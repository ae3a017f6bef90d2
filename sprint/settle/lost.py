"""Detached workers that did not answer before their deadline: looked for hourly for a week, and what one
still holds is kept as a patch."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from sprint import workspace
from sprint.context import Context
from sprint.domain import Liveness, Outcome
from sprint.errors import SprintError
from sprint.settle.prove import keep_patch
from sprint.settle.regained import regained
from sprint.settle.under_way import UnderWay
from sprint.settle.work import job_of

_EVERY = timedelta(hours=1)
_FOR = timedelta(days=7)

_log = logging.getLogger(__name__)


def look_for_lost(context: Context) -> None:
    """Poll those of this repository whose time has come."""
    now = datetime.now(UTC)
    for run_id, last_look in context.store.lost():
        try:
            run = context.store.load(run_id)
        except SprintError:  # its folder was swept away
            context.store.unmark_lost(run_id)
            continue
        if (run.forge, run.repo) != (context.repo_config.forge, context.repository.name):
            continue
        if now > run.deadline + _FOR:
            context.store.unmark_lost(run_id)
        elif now >= last_look + _EVERY:
            context.store.mark_lost(run_id)
            _look_for(UnderWay(context, None, run))


def _look_for(current: UnderWay) -> None:
    run, worker = current.run, current.worker
    try:
        if worker.poll(run).liveness in (Liveness.UNKNOWN, Liveness.ABSENT):
            return
        worker.stop(run)
        current = regained(current)
        worker.collect(job_of(current))
        keep_patch(current)
        workspace.drop_objects(current.folder)
        worker.release(run, Outcome.WORKER_LOST)
    except SprintError as error:
        _log.warning("run %s: its lost worker answered, but its work could not be had: %s", run.id, error)
        return
    current.context.store.unmark_lost(run.id)
    _log.warning("run %s: its lost worker answered; what it held is kept as patch.diff", run.id)
