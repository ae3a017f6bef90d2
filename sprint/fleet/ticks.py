"""Ticks as jobs of Procrastinate: one at a time for each repository, and at most one that waits."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence

import procrastinate
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.tasks import ConfigureTaskOptions

from sprint.config import Config, RepoConfig, resolve
from sprint.cron_times import minutes_of, times
from sprint.errors import ConfigError
from sprint.fleet.database import Connection, asking
from sprint.fleet.hosts import key_of

TASK = "tick"
AT_ONCE = 10  # the priority of a tick that somebody asked for
_LONGEST_NAME = 100  # characters; Procrastinate takes 128


def wanted(config: Config, only: Sequence[str]) -> list[RepoConfig]:
    """The configured repositories, or `only` some of them. Raises ConfigError."""
    found = [resolve(config, name) for name in only] or list(config.repos)
    configured = {(repo.forge, repo.name) for repo in config.repos}
    for repo in found:
        if (repo.forge, repo.name) not in configured:
            raise ConfigError(f"{repo.name} is not among the configured repositories; add it under repos")
    if not found:
        raise ConfigError("no repository: list some under repos: in sprint.yaml")
    return found


def due(repo: RepoConfig) -> str:
    """cron's fields for a repository's ticks, in UTC: on each host the same, and spread by its name.

    Raises ConfigError where its `every` cannot be kept.
    """
    every = minutes_of(repo.every, repo.name)
    return times(every, zlib.crc32(key_of(repo.forge, repo.name).encode()) % every)


def options(repo: RepoConfig, *, queue: str = "", priority: int = 0) -> ConfigureTaskOptions:
    """How a tick of a repository is put in; `queue` in place of the one that each host with it takes from."""
    key = key_of(repo.forge, repo.name)
    return {
        "queue": queue or queue_of(key),
        "lock": key,
        "queueing_lock": key,
        "priority": priority,
        "task_kwargs": {"repo": key, "queue": queue_of(key)},
    }


def queue_of(key: str) -> str:
    """One for each repository, for a worker takes only those that its own configuration has."""
    digest = hashlib.sha256(key.encode()).hexdigest()[:16]
    return f"repo {key if len(key) <= _LONGEST_NAME else key[: _LONGEST_NAME - 17] + '~' + digest}"


def queue_of_host(host_id: str) -> str:
    """For ticks that settle what is under way on one host."""
    return f"host {host_id}"


def put_in(database: Connection, repo: RepoConfig, *, queue: str = "", priority: int = AT_ONCE) -> bool:
    """Have a tick take place once there is room; False where one waits already, which then comes sooner."""
    manager = procrastinate.App(connector=procrastinate.SyncPsycopgConnector()).job_manager
    chosen = options(repo, queue=queue, priority=priority)
    job = procrastinate.jobs.Job(
        id=None,
        queue=str(chosen["queue"]),
        lock=chosen["lock"],
        queueing_lock=chosen["queueing_lock"],
        task_name=TASK,
        priority=priority,
        task_kwargs=dict(chosen["task_kwargs"] or {}),
    )
    with asking():
        try:
            manager.defer_job(job, connection=database)
        except AlreadyEnqueued:
            database.execute(
                "UPDATE procrastinate_jobs SET priority = greatest(priority, %s)"
                " WHERE queueing_lock = %s AND status = 'todo'",
                [priority, job.queueing_lock],
            )
            return False
        except ConnectorException as error:
            raise error.__cause__ or error from None
    return True
