"""What a worker sees to every few seconds, besides taking ticks."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from sprint import heartbeat
from sprint.config import Config, RepoConfig
from sprint.cron_times import minutes_of
from sprint.domain import Secret
from sprint.errors import SprintError
from sprint.fleet import hosts, shipping, ticks
from sprint.fleet.database import Connection, KeptConnection, asking
from sprint.lock import is_held, lock_path
from sprint.proc import hostname
from sprint.runs import RunStore

STALLED_SECONDS = 30.0
_AFTER_AN_OUTAGE = 60.0  # for the other workers to tell that they are alive
_LENT_FOR = timedelta(minutes=1)  # a tick that only one host may take; after that, any may
_KEPT_FOR = timedelta(days=1)  # jobs that are over
_SWEEP_SECONDS = 3600.0
_SHIP_SECONDS = 30.0  # each tick ships as well, unless it was killed

# Finished as failed and not tried again, which would break on the tick that waits meanwhile: that one settles
# what the killed one left.
_FINISH = "SELECT procrastinate_finish_job_v1(%s, 'failed', false)"
_STALLED = """
SELECT job.id FROM procrastinate_jobs job LEFT JOIN procrastinate_workers worker ON worker.id = job.worker_id
WHERE job.status = 'doing' AND (worker.id IS NULL OR worker.last_heartbeat < now() - %s)
"""
_OF_WORKER = "SELECT id FROM procrastinate_jobs WHERE status = 'doing' AND worker_id = %s"
_GIVE_BACK = """
UPDATE procrastinate_jobs job SET queue_name = job.args->>'queue'
WHERE job.status = 'todo' AND job.queue_name LIKE 'host %%' AND NOT EXISTS (
    SELECT 1 FROM procrastinate_events event
    WHERE event.job_id = job.id AND event.type = 'deferred' AND event.at > now() - %s)
"""
_SWEEP = """
DELETE FROM procrastinate_jobs job WHERE status NOT IN ('todo', 'doing')
AND NOT EXISTS (SELECT 1 FROM procrastinate_periodic_defers WHERE job_id = job.id)
AND NOT EXISTS (SELECT 1 FROM procrastinate_events WHERE job_id = job.id AND at > now() - %s)
"""

_log = logging.getLogger(__name__)


class Housekeeping:
    """`look` every few seconds. `running` tells the jobs that this worker has a process for."""

    def __init__(
        self,
        config: Config,
        repos: Mapping[str, RepoConfig],
        jobs: int,
        url: Secret,
        running: Callable[[], set[int]],
    ) -> None:
        self.is_drained = False
        self._config, self._repos, self._jobs = config, repos, jobs
        self._running = running
        self._database = KeptConnection(url)
        self._suspects: set[int] = set()  # found without a process at the last look
        self._away_at = -_AFTER_AN_OUTAGE
        self._is_away = False
        self._swept_at = self._shipped_at = float("-inf")

    def look(self, worker_id: int | None) -> None:
        """Never raises for a database that is away: that is told once."""
        try:
            self._look(self._database.get(), worker_id)
        except SprintError as error:
            self._database.drop()
            self._suspects = set()
            self._away_at = time.monotonic()
            if not self._is_away:
                _log.warning("%s; the worker waits for it", error)
            self._is_away = True
            return
        if self._is_away:
            _log.warning("the fleet's database answers again")
        self._is_away = False

    def end(self) -> None:
        """The worker ends as it was told to. Raises DatabaseAway."""
        try:
            hosts.say_goodbye(self._database.get(), hosts.say_hello(self._database.get(), self._config))
        finally:
            self._database.drop()

    def _look(self, database: Connection, worker_id: int | None) -> None:
        own = hosts.say_hello(
            database, self._config, jobs=self._jobs, repos=sorted(self._repos), worker_id=worker_id
        )
        self.is_drained = hosts.is_drained(database, own)
        self._finish_lost(database, worker_id)
        with asking():
            database.execute(_GIVE_BACK, [_LENT_FOR])
        if not self.is_drained and worker_id is not None:
            self._bring_on(database, own)
        if time.monotonic() > self._shipped_at + _SHIP_SECONDS:
            self._shipped_at = time.monotonic()
            shipping.ship(database, self._config)
        if time.monotonic() > self._swept_at + _SWEEP_SECONDS:
            self._swept_at = time.monotonic()
            with asking():
                database.execute(_SWEEP, [_KEPT_FOR])

    def _finish_lost(self, database: Connection, worker_id: int | None) -> None:
        """Jobs whose worker is gone, and jobs of ours that we know nothing of: an answer of the database was
        lost. Each is looked at twice, for it may just be beginning, or ending."""
        with asking():
            lost = {row[0] for row in database.execute(_OF_WORKER, [worker_id]).fetchall()}
            if time.monotonic() > self._away_at + _AFTER_AN_OUTAGE:
                lost |= {
                    row[0]
                    for row in database.execute(_STALLED, [timedelta(seconds=STALLED_SECONDS)]).fetchall()
                }
        lost -= self._running()
        for job_id in lost & self._suspects:
            with contextlib.suppress(SprintError):  # another worker was faster
                finish(database, job_id)
                _log.info("tick %d had lost its worker; the next one settles what it left", job_id)
        self._suspects = lost

    def _bring_on(self, database: Connection, own: str) -> None:
        """Runs under way on this host are settled here: their repositories' ticks are to come here."""
        paths, now = self._config.paths, datetime.now(UTC)
        for key in {
            hosts.key_of(run.forge, run.repo)
            for run in RunStore(paths.results).active()
            if run.host == hostname()
        }:
            repo = self._repos.get(key)
            if repo is None or is_held(lock_path(paths.cache, repo.forge, repo.name)):
                continue
            last = heartbeat.last_tick(paths.results, repo.forge, repo.name)
            if last is None or now >= last + timedelta(minutes=minutes_of(repo.every, repo.name)):
                ticks.put_in(database, repo, queue=ticks.queue_of_host(own), priority=0)


def finish(database: Connection, job_id: int) -> None:
    """Take a job whose worker is gone for failed. Raises DatabaseAway, also where it is over already."""
    with asking():
        database.execute(_FINISH, [job_id])
