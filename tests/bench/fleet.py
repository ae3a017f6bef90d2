"""A fleet: a hard night of killed workers and databases, throughput, a report over many rows."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from sprint.config import Config, load
from sprint.domain import Secret
from sprint.errors import SprintError
from sprint.fleet import ticks
from sprint.fleet.database import connect
from sprint.monitor.gather import gather
from sprint.monitor.tally import figures
from tests.around import around
from tests.fleet.postgres import Postgres, query
from tests.fleet.sites import fixing, host
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.site import Site
from tests.widgets import FILES

CEILING = 4.5  # dollars a day, of runs that keep one each: four at once, and six would have room
REPOS, HOSTS, JOBS, MINUTES = 40, 3, 2, 10.0
ROWS = 1_000_000
APART = 30.0  # seconds from kill to kill, at most
# Seconds that a repository may wait for its next tick in a storm: for the others' turns, and where its own
# was killed for that to be noticed, for which the database has to be there a while.
LONGEST_GAP = 240.0


def bench(scratch: Path) -> Iterator[str]:
    yield f"storm: {storm(scratch / 'storm')}"
    yield f"ceiling: {reached(scratch / 'ceiling')}"
    yield from throughput(scratch)
    yield due(scratch / "due")
    yield from report(scratch)


# --- a hard night ------------------------------------------------------------------------------


@dataclass
class _Worker:
    """A host's worker: a process of its own, started anew whenever it was killed."""

    site: Site
    process: subprocess.Popen[bytes] | None = None

    def start(self, jobs: int) -> None:
        with (self.site.path / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "sprint", "fleet", "worker", "--jobs", str(jobs)],
                cwd=self.site.path, env=self.site.environ, stdout=log, stderr=log,
            )  # fmt: skip

    def end(self, number: int) -> None:
        self.tell(number)
        self.wait()

    def tell(self, number: int) -> None:
        assert self.process
        self.process.send_signal(number)

    def wait(self) -> None:
        assert self.process
        self.process.wait(120)


@dataclass
class _Seen:
    """What was looked at while it went on."""

    most_at_once: Counter[str] = field(default_factory=Counter)  # ticks of one repository
    most_waiting: int = 0
    most_dollars: float = 0.0  # spent and kept
    kills: Counter[str] = field(default_factory=Counter)
    fewest_ticks: int = 0  # of any repository, and its longest time without one, in seconds
    longest_gap: float = 0.0


@contextmanager
def _fleet(
    root: Path, repos: int, hosts: int, *, issues: int = 0, every: int | None = None, **settings: Any
) -> Iterator[tuple[_Server, DemoForge, str, list[str], list[Site]]]:
    """A database that is set up, a forge with so many repositories of so many issues each, and hosts that
    tick each of them in so many minutes: the database's server, the forge, the database's URL, the
    repositories' names and the hosts."""
    root.mkdir(mode=0o711)
    names = [f"acme/r{number}" for number in range(repos)]
    with (
        closing(_Server()) as server,
        DemoModel(fixing) as model,
        DemoForge("gitea", root / "forge") as forge,
    ):
        url = server.postgres.database()
        for name in names:
            forge.add_repo(name, FILES)
            for _ in range(issues):
                forge.add_issue(name, "double() is off by one", "double(2) must be 4.")
        sites = [host(root / f"host{n}", forge, model, url, names, **settings) for n in range(hosts)]
        if every:
            for site in sites:
                site.settings["repos"] = [{**repo, "every": every} for repo in site.settings["repos"]]
                site.write()
        assert sites[0].sprint("fleet", "init").returncode == 0
        yield server, forge, url, names, sites


def storm(
    root: Path,
    *,
    repos: int = REPOS,
    hosts: int = HOSTS,
    minutes: float = MINUTES,
    issues: int = 1,
    apart: float = APART,
    hits: Sequence[str] = (),
    seed: int = 1,
) -> str:
    """What became of it, in words. Raises AssertionError where a promise did not hold.

    With `hits`, these are killed, and the night is as long as that takes, whatever the clock says.
    """
    limits = {"usd": 1.0, "usd_per_day": CEILING, "minutes": 600}
    with _fleet(root, repos, hosts, issues=issues, every=1, limits=limits) as there:
        server, forge, url, names, sites = there
        workers = [_Worker(site) for site in sites]
        try:
            dice = random.Random(seed)
            plan = _amid_ticks(hits, url, names) if hits else _by_the_clock(minutes * 60, apart, dice)
            began = time.monotonic()
            seen = _night(workers, server.postgres, url, sites[0], plan, dice)
            seconds = time.monotonic() - began
            for worker in workers:
                worker.tell(signal.SIGTERM)
            for worker in workers:
                worker.wait()
            begun = sum(len(forge.pulls(name)) for name in names)
            _starved(url, names, seconds, seen)
            _calm(sites, names, forge, issues)
        finally:
            for worker in workers:
                if worker.process and worker.process.poll() is None:
                    worker.process.kill()
        return f"{begun} pull requests before the calm; {_judge(sites, names, forge, url, seen, issues)}"


class _Server:
    def __init__(self) -> None:
        self.postgres = Postgres()

    def close(self) -> None:
        with suppress(AssertionError):
            self.postgres.stop()


def _by_the_clock(seconds: float, apart: float, dice: random.Random) -> Iterator[str]:
    """What is killed now, "" for nothing, until the night is over."""
    began, next_hit = time.monotonic(), apart / 2
    while (now := time.monotonic() - began) < seconds:
        if now > next_hit:
            next_hit = now + dice.uniform(0.3, 1.0) * apart
            yield "database" if dice.random() < 0.3 else "worker"
        else:
            yield ""


_BEGUN = "SELECT lock FROM procrastinate_jobs JOIN procrastinate_events ON job_id = procrastinate_jobs.id"
_BEGUN += " WHERE type = 'started'"


def _amid_ticks(hits: Sequence[str], url: str, names: Sequence[str]) -> Iterator[str]:
    """Likewise: the first once each repository has had a tick, the others once one began since the last."""
    begun, deadline = 0, time.monotonic() + LONGEST_GAP
    for hit in hits:
        found: list[tuple[Any, ...]] = []
        while len(found) <= begun or len(set(found)) < len(names):
            assert time.monotonic() < deadline, f"before the {hit} is killed, no tick begins: {found}"
            yield ""
            with suppress(Exception):
                found = query(url, _BEGUN)
        begun = len(found)
        yield hit


def _night(
    workers: list[_Worker],
    postgres: Postgres,
    url: str,
    site: Site,
    plan: Iterator[str],
    dice: random.Random,
) -> _Seen:
    """Ticks are put in all the time, while what is planned is killed."""
    seen, config = _Seen(), _config(site)
    for worker in workers:
        worker.start(JOBS)
    for hit in plan:
        with suppress(SprintError):
            _put_in(config, url)
            _look(url, seen)
        if hit == "database":
            postgres.kill()
            time.sleep(dice.uniform(0.0, 3.0))
            postgres.start()
        elif hit:
            worker = dice.choice(workers)
            worker.end(signal.SIGKILL)
            worker.start(JOBS)
        seen.kills[hit] += bool(hit)
        time.sleep(0.2)
    return seen


def _config(site: Site) -> Config:
    return load(site.path / "sprint.yaml", around(site.path))


def _put_in(config: Config, url: str) -> None:
    with closing(connect(Secret(url))) as database:
        for repo in config.repos:
            ticks.put_in(database, repo, priority=0)


_WAITING = """
SELECT max(n) FROM
(SELECT count(*) AS n FROM procrastinate_jobs WHERE status = 'todo' GROUP BY lock) AS counted
"""
_DOLLARS = """
SELECT (SELECT coalesce(sum(usd), 0) FROM sprint_spend) + coalesce(sum(greatest(kept.usd -
    coalesce((SELECT sum(usd) FROM sprint_spend spent WHERE spent.run_id = kept.run_id), 0), 0)), 0)
FROM sprint_reservations kept
"""


def _look(url: str, seen: _Seen) -> None:
    ticks_of: dict[int, tuple[int, str]] = {}  # by process: its parent, its repository
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            match = re.search(r"-m sprint --config \S+ run (\S+) $", line)
            if match and "setpriv" not in line:
                parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                ticks_of[int(folder.name)] = (int(parent), match[1])
    # Not what a tick has just forked, which has its words until it is another program.
    found = Counter(name for parent, name in ticks_of.values() if parent not in ticks_of)
    for name, count in found.items():
        seen.most_at_once[name] = max(seen.most_at_once[name], count)
    with suppress(Exception):
        waiting = query(url, _WAITING)
        seen.most_waiting = max(seen.most_waiting, waiting[0][0] or 0)
        ((usd,),) = query(url, _DOLLARS)
        seen.most_dollars = max(seen.most_dollars, float(usd))


_GAPS = """
SELECT job.lock, count(*), extract(epoch FROM max(event.at - previous.at)) FROM procrastinate_jobs job
JOIN procrastinate_events event ON event.job_id = job.id AND event.type = 'started'
CROSS JOIN LATERAL (SELECT coalesce(max(earlier.at), %s::timestamptz) AS at FROM procrastinate_events earlier
    JOIN procrastinate_jobs other ON other.id = earlier.job_id
    WHERE earlier.type = 'started' AND other.lock = job.lock AND earlier.at < event.at) previous
WHERE event.at < %s GROUP BY job.lock
"""
_LAST = """
SELECT job.lock, extract(epoch FROM %s::timestamptz - max(event.at)) FROM procrastinate_jobs job
JOIN procrastinate_events event ON event.job_id = job.id AND event.type = 'started'
WHERE event.at < %s GROUP BY job.lock
"""


def _starved(url: str, names: Sequence[str], seconds: float, seen: _Seen) -> None:
    """How often each repository was ticked for in the night, and how long one went without: also before its
    first tick, and after its last."""
    ((began,),) = query(url, "SELECT min(at) FROM procrastinate_events")
    end = began + timedelta(seconds=seconds)
    found = query(url, _GAPS, began, end)
    seen.fewest_ticks = min(count for _, count, _ in found) if len(found) == len(names) else 0
    gaps = [gap for _, _, gap in found] + [gap for _, gap in query(url, _LAST, end, end)]
    seen.longest_gap = float(max(gaps))


def _calm(sites: Sequence[Site], names: Sequence[str], forge: DemoForge, issues: int) -> None:
    """Each host settles what it has; then one of them sees to what nobody had begun, and to what is done."""
    for _ in range(3):
        for site in sites:
            mine = {run["repo"] for run in site.runs() if run["phase"] != "settled"}
            for name in sorted(mine):
                site.sprint("run", name)
    for name in names:
        for _ in range(3):
            is_done = len(forge.pulls(name)) >= issues
            done = sites[0].sprint("run", name)
            assert done.returncode == 0, done.stderr
            if is_done:
                break
    for site in sites:
        site.sprint("run", names[0])


def _judge(
    sites: Sequence[Site], names: Sequence[str], forge: DemoForge, url: str, seen: _Seen, issues: int
) -> str:
    rows = [row for site in sites for row in site.rows()]
    heads = [(name, pull.pull.head) for name in names for pull in forge.pulls(name) if pull.pull]
    kept = query(url, "SELECT run_id, cost_usd FROM sprint_rows")
    in_files = sum(Decimal(row["cost_usd"] or 0) for row in rows)
    (in_database,) = query(url, "SELECT sum(cost_usd) FROM sprint_rows")[0]
    spent = float(query(url, "SELECT sum(usd) FROM sprint_spend")[0][0])
    said = (
        f"{len(names)} repositories, {seen.kills['worker']} workers and {seen.kills['database']} databases "
        f"killed: {len(heads)} pull requests of {len(set(heads))} branches for {len(names) * issues} issues, "
        f"{len(rows)} rows in files ({dict(Counter(row['outcome'] for row in rows))}) and {len(kept)} in "
        f"PostgreSQL; ticks of one repository at once {max(seen.most_at_once.values(), default=0)}, waiting "
        f"{seen.most_waiting}; each ticked for {seen.fewest_ticks} times or more, at most "
        f"{seen.longest_gap:.0f} s apart; ${in_files} in files, ${in_database} in PostgreSQL, "
        f"${spent:.6f} spent; at most ${seen.most_dollars:.2f} spent and kept of ${CEILING}"
    )
    assert len(heads) == len(set(heads)) == len(names) * issues, said
    assert sorted(row["run_id"] for row in rows) == sorted(run for run, _ in kept), said
    assert len({row["run_id"] for row in rows}) == len(rows), said
    assert in_files == in_database, said
    assert seen.most_waiting <= 1, said
    assert max(seen.most_at_once.values(), default=0) <= 1, said
    assert seen.fewest_ticks >= 1, f"starved: {said}"
    assert seen.longest_gap <= LONGEST_GAP, f"starved: {said}"
    assert seen.most_dollars <= CEILING + 0.01, said
    assert query(url, "SELECT run_id FROM sprint_reservations") == [], said
    return said


def reached(root: Path, *, ceiling: float = 0.01, repos: int = 12, minutes: float = 2.0) -> str:
    """Hosts whose runs have no limit of their own have more to do than the day's dollars allow, while workers
    are killed: how far they come beyond these."""
    more = {"limits": {"usd": None, "usd_per_day": ceiling}, "fleet": {"reserve_usd": 0.001}}
    with _fleet(root, repos, HOSTS, issues=1, **more) as (_, forge, url, names, sites):
        config, workers, dice = _config(sites[0]), [_Worker(site) for site in sites], random.Random(1)
        for worker in workers:
            worker.start(JOBS)
        began, kills = time.monotonic(), 0
        while time.monotonic() - began < minutes * 60:
            _put_in(config, url)
            time.sleep(0.3)
            if time.monotonic() - began > 20 * (kills + 1):
                kills += 1
                killed = dice.choice(workers)
                killed.end(signal.SIGKILL)
                killed.start(JOBS)
        for worker in workers:
            worker.end(signal.SIGTERM)
        for site in sites:  # what a killed one had not told yet
            site.sprint("run", names[0])
        ((spent, dearest),) = query(url, "SELECT sum(usd)::float, max(usd)::float FROM sprint_spend")
        pulls = sum(len(forge.pulls(name)) for name in names)
    said = (
        f"{HOSTS} hosts of {JOBS}, {kills} workers killed: ${spent:.6f} spent of ${ceiling}, the dearest "
        f"answer ${dearest:.6f}; {pulls} pull requests for {repos} issues"
    )
    assert spent <= ceiling + HOSTS * JOBS * dearest, said
    assert spent >= ceiling * 0.8, f"the ceiling was not reached: {said}"
    return said


# --- the engine by itself ----------------------------------------------------------------------


def throughput(scratch: Path) -> Iterator[str]:
    """Ticks a second over empty backlogs, and how late a tick begins that is put in on an idle fleet."""
    for hosts in (1, 2, 4):
        with _fleet(scratch / f"throughput{hosts}", 16, hosts) as (_, _, url, _, sites):
            yield _throughput(url, sites)


def _throughput(url: str, sites: Sequence[Site]) -> str:
    config, workers = _config(sites[0]), [_Worker(site) for site in sites]
    for worker in workers:
        worker.start(JOBS)
    try:
        _put_in(config, url)
        while not _ended(url):
            time.sleep(0.2)
        late = _lateness(config, url)
        before, began = _ended(url), time.monotonic()
        while time.monotonic() - began < 20:
            _put_in(config, url)
            time.sleep(0.1)
        rate = (_ended(url) - before) / (time.monotonic() - began)
    finally:
        for worker in workers:
            worker.end(signal.SIGTERM)
    return f"{len(sites)} hosts of {JOBS}: {rate:.1f} ticks/s; a tick put in begins after {late:.2f} s"


def _ended(url: str) -> int:
    return int(query(url, "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'")[0][0])


def _lateness(config: Config, url: str) -> float:
    """The worst of five, each put in once nothing is to be done."""
    worst = timedelta()
    for number in range(5):
        while query(url, "SELECT 1 FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"):
            time.sleep(0.1)
        with closing(connect(Secret(url))) as database:
            ticks.put_in(database, config.repos[number])
        while query(url, "SELECT 1 FROM procrastinate_jobs WHERE status = 'todo'"):
            time.sleep(0.05)
        found = query(url, "SELECT max(at) - min(at) FROM procrastinate_events WHERE type IN ('deferred',"
                           " 'started') AND job_id = (SELECT max(id) FROM procrastinate_jobs)")  # fmt: skip
        worst = max(worst, found[0][0])
    return worst.total_seconds()


def due(root: Path, minutes: int = 3) -> str:
    """How late a tick begins that is due, on a fleet that has a place for each of those due at once."""
    with _fleet(root, 8, 2, every=2) as (_, _, url, _, sites):
        workers = [_Worker(site) for site in sites]
        for worker in workers:
            worker.start(2 * JOBS)
        time.sleep(minutes * 60 + 10)
        for worker in workers:
            worker.end(signal.SIGTERM)
        late = [float(seconds) for (seconds,) in query(url, _LATE)]
    assert len(late) >= 4 * (minutes - 1), late
    assert max(late) <= 2.0, late
    return (
        f"{len(late)} ticks that were due, 2 hosts of {2 * JOBS}: the latest began after {max(late):.2f} s, "
        f"half of them within {sorted(late)[len(late) // 2]:.2f}"
    )


# Not the first ones, which were due before there was a worker.
_LATE = """
SELECT extract(epoch FROM event.at) - (job.args->>'timestamp')::float FROM procrastinate_jobs job
JOIN procrastinate_events event ON event.job_id = job.id AND event.type = 'started'
WHERE job.args ? 'timestamp'
AND (job.args->>'timestamp')::float > (SELECT extract(epoch FROM min(at)) FROM procrastinate_events)
"""


# --- many rows ---------------------------------------------------------------------------------

_MANY = """
INSERT INTO sprint_rows (run_id, host_id, finished_at, repo, issue, outcome, exit_code, worker, model, turns,
    prompt_tokens, completion_tokens, cost_usd, duration_s, host, detail, proof, pr_url)
SELECT 'run-' || n, 'host-' || n %% 5, now() - (%s - n) * interval '30 seconds', 'acme/r' || n %% 40, n,
    (ARRAY['pr_opened', 'checks_failed', 'limit', 'pr_opened'])[1 + n %% 4], n %% 2, 'local', 'some/model',
    n %% 60, 10000 + n %% 5000, 500, (n %% 700) / 1000.0, n %% 900, 'host-' || n %% 5,
    'because of ' || n %% 50,
    'proven',
    CASE WHEN n %% 4 = 0 THEN 'https://git.example.org/acme/r' || n %% 40 || '/pulls/' || n ELSE '' END
FROM generate_series(1, %s) AS n
"""
_BARE = "SELECT outcome, repo, count(*), sum(cost_usd) FROM sprint_rows GROUP BY 1, 2"


def report(scratch: Path, rows: int = ROWS) -> Iterator[str]:
    root = scratch / "report"
    root.mkdir(mode=0o711)
    with (
        closing(_Server()) as server,
        DemoModel(fixing) as model,
        DemoForge("gitea", root / "forge") as forge,
    ):
        url = server.postgres.database()
        site = host(root / "host", forge, model, url, ["acme/r1"])
        assert site.sprint("fleet", "init").returncode == 0
        query(url, _MANY, rows, rows)
        query(url, "ANALYZE sprint_rows")
        size = query(url, "SELECT pg_total_relation_size('sprint_rows')")[0][0]
        yield f"{rows:,} rows: {size / 1e6:.0f} MB in PostgreSQL with indexes, {size / rows:.0f} bytes a row"
        bare = _seconds(lambda: query(url, _BARE))
        config = _config(site)

        def gathered() -> None:
            made = gather(config, around(site.path), datetime.now(UTC), ask=False)
            assert made.figures.rows == rows, made.figures

        first, later = _seconds(gathered), _seconds(gathered)
        alone = _seconds(lambda: figures(config.paths.cache / "fleet" / "results", datetime.now(UTC)))
        yield (
            f"the first report {first:.1f} s of CPU, later ones {later:.1f}, over files alone {alone:.1f}; "
            f"a bare query {bare:.2f} s"
        )


def _seconds(do: Callable[[], object]) -> float:
    """Of this process's CPU, or of the clock where it only waits for the server."""
    began, computed = time.perf_counter(), time.process_time()
    do()
    waited, took = time.perf_counter() - began, time.process_time() - computed
    return took if took > 0.2 else waited
