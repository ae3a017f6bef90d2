"""The hosts of a fleet: who is there, with which version, and who takes no ticks for now."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import LiteralString

from sprint import __version__, host
from sprint.config import Config
from sprint.domain import Host
from sprint.errors import ConfigError
from sprint.fleet.database import Connection, asking
from sprint.proc import hostname

_THERE = timedelta(minutes=1)
_FORGOTTEN_AFTER = timedelta(days=30)
LOST: LiteralString = "(is_drained OR seen_at < now() - %s)"  # of sprint_hosts: its runs are for others


def key_of(forge: str, repo: str) -> str:
    """What all hosts call a repository: they name their forges alike."""
    return f"{forge}:{repo}"


def say_hello(
    database: Connection,
    config: Config,
    *,
    jobs: int | None = None,
    repos: Sequence[str] = (),
    worker_id: int | None = None,
) -> str:
    """Note that this host is there; returns its id. `jobs`, of a worker: how many ticks it runs at once."""
    own = host.make_id(config.paths.results)
    with asking():
        database.execute(
            "INSERT INTO sprint_hosts (id, name, version, has_worker, jobs, repos, worker_id)"
            " VALUES (%(id)s, %(name)s, %(version)s, %(is_worker)s, %(jobs)s, %(repos)s::jsonb, %(worker)s)"
            " ON CONFLICT (id) DO UPDATE SET"
            " name = excluded.name, version = excluded.version, seen_at = now(),"
            " has_worker = CASE WHEN %(is_worker)s THEN true ELSE sprint_hosts.has_worker END,"
            " jobs = CASE WHEN %(is_worker)s THEN excluded.jobs ELSE sprint_hosts.jobs END,"
            " repos = CASE WHEN %(is_worker)s THEN excluded.repos ELSE sprint_hosts.repos END,"
            " worker_id = CASE WHEN %(is_worker)s THEN excluded.worker_id ELSE sprint_hosts.worker_id END",
            {
                "id": own,
                "name": hostname(),
                "version": __version__,
                "is_worker": jobs is not None,
                "jobs": jobs or 0,
                "repos": json.dumps(list(repos)),
                "worker": worker_id,
            },
        )
    return own


def say_goodbye(database: Connection, own: str) -> None:
    """Its worker has ended as it was told to: nobody is to miss it."""
    with asking():
        database.execute(
            "UPDATE sprint_hosts SET has_worker = false, jobs = 0, worker_id = NULL WHERE id = %s", [own]
        )


def read(database: Connection) -> list[Host]:
    """Those of the last 30 days, by name."""
    with asking():
        found = database.execute(
            "SELECT id, name, version, seen_at, has_worker, jobs, repos, worker_id, is_drained"
            " FROM sprint_hosts"
            " WHERE seen_at > now() - %s ORDER BY name, id",
            [_FORGOTTEN_AFTER],
        ).fetchall()
    return [
        Host(own, name, version, seen_at, has_worker, jobs, tuple(repos), worker_id, is_drained)
        for own, name, version, seen_at, has_worker, jobs, repos, worker_id, is_drained in found
    ]


def takers(database: Connection, forge: str, repo: str) -> list[str]:
    """The ids of hosts whose worker takes ticks of a repository now."""
    with asking():
        found = database.execute(
            "SELECT id FROM sprint_hosts WHERE has_worker AND NOT is_drained AND seen_at > now() - %s"
            " AND repos ? %s",
            [_THERE, key_of(forge, repo)],
        ).fetchall()
    return [own for (own,) in found]


def is_drained(database: Connection, own: str) -> bool:
    with asking():
        return (
            database.execute("SELECT 1 FROM sprint_hosts WHERE id = %s AND is_drained", [own]).fetchone()
            is not None
        )


def is_lost(database: Connection, host_id: str, lost_after: timedelta) -> bool:
    """Whether a host that is known was not seen for so long, or is drained."""
    with asking():
        found = database.execute(
            "SELECT 1 FROM sprint_hosts WHERE id = %s AND " + LOST,  # noqa: S608 - words of ours
            [host_id, lost_after],
        ).fetchone()
    return found is not None


def set_drained(database: Connection, named: str, drained: bool) -> Host:
    """Have a host, by its name or the beginning of its id, take no more ticks, or take them again.

    Raises ConfigError where none or more than one is meant.
    """
    known = read(database)
    meant = [one for one in known if one.name == named] or [one for one in known if one.id.startswith(named)]
    if len(meant) != 1:
        names = ", ".join(f"{one.name} ({one.id})" for one in meant or known) or "none yet"
        raise ConfigError(f"{named!r} names {len(meant)} hosts: give a name or an id of {names}")
    with asking():
        database.execute("UPDATE sprint_hosts SET is_drained = %s WHERE id = %s", [drained, meant[0].id])
    return meant[0]
