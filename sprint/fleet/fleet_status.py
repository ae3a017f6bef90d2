"""`sprint fleet status`: who is there, what runs where, what waits, what is late."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

from sprint.clean_text import safe_line
from sprint.config import Config
from sprint.cron_times import minutes_of
from sprint.domain import Host
from sprint.fleet import hosts, reservations, tables
from sprint.fleet.database import Connection, asking, connect, url_of
from sprint.fleet.housekeeping import STALLED_SECONDS
from sprint.surroundings import Surroundings

_JOBS = """
SELECT job.lock, job.worker_id, job.status::text, job.queue_name, max(event.at), worker.last_heartbeat
FROM procrastinate_jobs job LEFT JOIN procrastinate_events event ON event.job_id = job.id
LEFT JOIN procrastinate_workers worker ON worker.id = job.worker_id
WHERE job.status IN ('todo', 'doing') GROUP BY job.id, worker.last_heartbeat ORDER BY job.id
"""
_TICKED = """
SELECT record->>'forge', record->>'repo', max((record->>'ticked_at')::timestamptz) FROM sprint_records
WHERE path LIKE 'heartbeat/%' GROUP BY 1, 2
"""
_WRONG, _RIGHT = " ! ", "   "  # how lines begin
_LATE_GRACE = timedelta(minutes=2)


def status(config: Config, around: Surroundings) -> int:
    """Print it; 1 where a host is unseen, a tick has lost its worker, or a repository is late."""
    with closing(connect(url_of(config, around))) as database:
        tables.check(database)
        said = list(_said(database, config))
    around.out.writelines(f"{line}\n" for line in said)
    return 1 if any(line.startswith(_WRONG) for line in said) else 0


def _said(database: Connection, config: Config) -> Iterator[str]:
    with asking():
        (now,) = database.execute("SELECT now()").fetchone() or (datetime.now(UTC),)
        jobs = database.execute(_JOBS).fetchall()
        ticked = {(forge, repo): at for forge, repo, at in database.execute(_TICKED).fetchall()}
    known = hosts.read(database)
    yield f"HOSTS: {len(known)}"
    for host in known:
        running = [lock for lock, worker, state, *_ in jobs if state == "doing" and worker == host.worker_id]
        yield _host(host, running if host.worker_id is not None else [], now)
    waiting = [(lock, now - at) for lock, _, state, _, at, _ in jobs if state == "todo"]
    stalled = [
        lock
        for lock, _, state, _, _, beat in jobs
        if state == "doing" and (beat is None or now - beat > timedelta(seconds=STALLED_SECONDS))
    ]
    doing = sum(job[2] == "doing" for job in jobs)
    yield f"TICKS: {doing} under way, {len(waiting)} waiting, {len(stalled)} stalled"
    yield from (f"{_RIGHT}{safe_line(lock)} waits for {_span(since)}" for lock, since in waiting)
    yield from (
        f"{_WRONG}{safe_line(lock)} has lost its worker; it is over within a minute" for lock in stalled
    )
    yield from _repositories(config, ticked, now)
    spent, kept = reservations.counted(database)
    yield f"TODAY: ${spent:.2f} spent, ${kept:.2f} kept by runs under way"
    yield from _kept(database)


def _host(host: Host, running: list[str], now: datetime) -> str:
    unseen = now - host.seen_at
    is_missed = host.has_worker and not host.is_drained and unseen > timedelta(minutes=5)
    does = f"a worker of {host.jobs} for {len(host.repos)} repositories" if host.has_worker else "no worker"
    parts = [
        f"{safe_line(host.name, 60)} ({host.id})",
        f"sprint {safe_line(host.version, 20)}",
        f"seen {_span(unseen)} ago",
        "drained" if host.is_drained else does,
        f"running {', '.join(map(safe_line, running))}" if running else "",
    ]
    return (_WRONG if is_missed else _RIGHT) + ", ".join(filter(None, parts))


def _repositories(config: Config, ticked: dict[tuple[str, str], datetime], now: datetime) -> Iterator[str]:
    """Those of this host's configuration, by how long ago any host ticked."""
    yield f"REPOSITORIES: {len(config.repos)}"
    for repo in config.repos:
        every = timedelta(minutes=minutes_of(repo.every, repo.name))
        last = ticked.get((repo.forge, repo.name))
        late = now - last - every if last else None
        is_late = late is not None and late > every + _LATE_GRACE
        said = "not ticked yet" if last is None else f"ticked {_span(now - last)} ago"
        said += f", {_span(late)} late" if is_late and late else ""
        yield f"{_WRONG if is_late else _RIGHT}{repo.name}: every {_span(every)}, {said}"


def _kept(database: Connection) -> Iterator[str]:
    with asking():
        found = database.execute(
            "SELECT run_id, usd, why FROM sprint_reservations WHERE until > now() ORDER BY run_id"
        ).fetchall()
    for run_id, usd, why in found:
        yield f"{_RIGHT}{safe_line(run_id)} keeps ${usd:.2f}{f' ({why})' if why else ''}"


def _span(length: timedelta) -> str:
    seconds = max(int(length.total_seconds()), 0)
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
