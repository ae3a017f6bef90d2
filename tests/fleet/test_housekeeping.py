"""What a worker sees to besides ticks: what others left, without a worker and without waiting."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import procrastinate
import psycopg
import pytest

from sprint import heartbeat, host
from sprint.config import Config, load
from sprint.domain import Secret
from sprint.errors import ConfigError
from sprint.fleet import hosts, housekeeping, tables, ticks
from sprint.fleet.database import connect
from sprint.fleet.housekeeping import Housekeeping
from sprint.fleet.tick_worker import _handed_on
from sprint.lock import lock, lock_path
from sprint.proc import hostname
from sprint.runs import RunStore
from tests.around import around
from tests.fleet.postgres import PASSWORD, Postgres, query
from tests.some_run import some_run

pytestmark = pytest.mark.machine

KEY = "home:acme/one"


@pytest.fixture
def config(tmp_path: Path, database: str) -> Config:
    (tmp_path / "database.url").write_text(database)
    (tmp_path / "database.url").chmod(0o600)
    (tmp_path / "sprint.yaml").write_text(
        "fleet: {database_file: database.url}\nforges: {home: {kind: gitea, url: 'http://127.0.0.1:1'}}\n"
        "repos: [acme/one, acme/two]\npaths: {results: results, cache: cache}\n"
    )
    with connect(Secret(database)) as connection:
        tables.set_up(connection)
    return load(tmp_path / "sprint.yaml", around(tmp_path))


def keeper(config: Config, database: str, running: Callable[[], set[int]] = set) -> Housekeeping:
    repos = {hosts.key_of(repo.forge, repo.name): repo for repo in config.repos}
    return Housekeeping(config, repos, 2, Secret(database), running)


def put_in(config: Config, database: str, **more: Any) -> bool:
    with connect(Secret(database)) as connection:
        return ticks.put_in(connection, config.repos[0], **more)


def taken(database: str, worker_age: str = "0 s", queue: str = ticks.queue_of(KEY)) -> tuple[int, int]:
    """A job that a worker has taken, and the worker."""
    ((worker,),) = query(
        database,
        "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - %s::interval) RETURNING id",
        worker_age,
    )
    ((job,),) = query(
        database, "SELECT id FROM procrastinate_fetch_job_v2(ARRAY[%s]::varchar[], %s)", queue, worker
    )
    assert job is not None
    return job, worker


def states(database: str) -> list[str]:
    return [state for (state,) in query(database, "SELECT status::text FROM procrastinate_jobs ORDER BY id")]


def test_what_a_killed_worker_left_is_finished_as_failed_for_it_cannot_be_tried_again(
    config: Config, database: str
) -> None:
    assert put_in(config, database)
    job, _ = taken(database, "31 s")
    assert put_in(config, database), "the next tick waits"
    assert not put_in(config, database), "and no more than one"
    # The trap: `retry_job`, which is what a reader of Procrastinate's manual would do.
    with pytest.raises(psycopg.errors.UniqueViolation):
        query(database, "SELECT procrastinate_retry_job_v2(%s, now(), NULL, NULL, NULL)", job)
    own = keeper(config, database)
    own.look(None)
    assert states(database) == ["doing", "todo"], "it is looked at twice"
    own.look(None)
    assert states(database) == ["failed", "todo"]
    assert taken(database)[0] != job, "the repository goes on"


def test_a_job_whose_worker_lives_or_is_just_back_with_the_database_is_left(
    config: Config, database: str, postgres: Postgres
) -> None:
    assert put_in(config, database)
    taken(database)
    own = keeper(config, database)
    for _ in range(3):
        own.look(None)
    assert states(database) == ["doing"]
    query(database, "UPDATE procrastinate_workers SET last_heartbeat = now() - '31 s'::interval")
    own.look(None)
    postgres.kill()
    own.look(None)
    postgres.start()
    for _ in range(3):
        own.look(None)  # that worker had no database either
    assert states(database) == ["doing"]
    own._away_at -= housekeeping._AFTER_AN_OUTAGE
    for _ in range(2):
        own.look(None)
    assert states(database) == ["failed"]


def test_a_job_of_our_own_that_nobody_runs_is_finished(config: Config, database: str) -> None:
    """The database had answered, and the answer was lost."""
    assert put_in(config, database)
    job, worker = taken(database)
    own = keeper(config, database, lambda: {job})
    for _ in range(3):
        own.look(worker)
    assert states(database) == ["doing"]
    own = keeper(config, database)
    for _ in range(2):
        own.look(worker)
    assert states(database) == ["failed"]


def test_a_host_with_a_run_under_way_gets_its_repositorys_ticks_and_lends_them_for_a_minute(
    config: Config, database: str
) -> None:
    now = datetime.now(UTC)
    run = some_run(repo="acme/one", issue=1, host=hostname(), started_at=now)
    results = config.paths.results
    RunStore(results).create(run)
    own, own_queue = keeper(config, database), ticks.queue_of_host(host.make_id(results))
    with lock(lock_path(config.paths.cache, "home", "acme/one")):
        own.look(1)
    assert states(database) == [], "a tick is at it"
    heartbeat.beat(results, "home", "acme/one", "busy", now=now)
    own.look(1)
    assert states(database) == [], "the next one is not due yet"
    heartbeat.beat(results, "home", "acme/one", "busy", now=now - timedelta(minutes=11))
    for _ in range(2):
        own.look(1)
    assert query(database, "SELECT queue_name, status::text FROM procrastinate_jobs") == [(own_queue, "todo")]
    query(database, "UPDATE procrastinate_events SET at = now() - '61 s'::interval")
    own.look(None)
    assert query(database, "SELECT queue_name FROM procrastinate_jobs") == [(ticks.queue_of(KEY),)]
    query(database, "UPDATE procrastinate_jobs SET status = 'failed'")
    query(database, "UPDATE procrastinate_events SET at = now() - '2 days'::interval")
    own._swept_at = float("-inf")
    own.look(None)
    assert states(database) == []


def test_each_due_time_is_taken_once_and_is_the_same_on_all_hosts(config: Config, database: str) -> None:
    now = time.time()

    def deferred() -> list[tuple[str, Any]]:
        return query(database, "SELECT queueing_lock, args->>'timestamp' FROM procrastinate_jobs ORDER BY 1")

    async def schedule() -> None:
        app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=database))
        task: Any = app.task(name=ticks.TASK, pass_context=True)(lambda context, **_: None)
        for repo in config.repos:
            app.periodic_registry.register_task(
                task=task, cron=ticks.due(repo), periodic_id=repo.name, configure_kwargs=ticks.options(repo)
            )
        deferrer = procrastinate.periodic.PeriodicDeferrer(app.periodic_registry)
        async with app.open_async():
            await deferrer.defer_jobs(deferrer.get_previous_tasks(at=now))

    asyncio.run(schedule())
    first = deferred()
    assert [key for key, _ in first] == ["home:acme/one", "home:acme/two"]
    query(database, "UPDATE procrastinate_jobs SET status = 'succeeded'")
    asyncio.run(schedule())
    assert deferred() == first, "the same time a second time"
    offsets = {ticks.due(repo) for repo in config.repos}
    assert len(offsets) == 2, "they are spread"


def test_a_repository_that_is_not_configured_is_refused(config: Config) -> None:
    with pytest.raises(ConfigError, match="not among the configured repositories"):
        ticks.wanted(config, ["acme/three"])
    assert [repo.name for repo in ticks.wanted(config, ["acme/two"])] == ["acme/two"]
    assert len(ticks.queue_of("x" * 500)) <= 128


@pytest.mark.parametrize(
    ("package", "words"),
    [("psycopg", "monitor"), ("procrastinate", "fleet status"), ("psycopg", "run")],
)
def test_a_fleet_without_its_packages_is_told_in_one_line(
    tmp_path: Path, config: Config, package: str, words: str
) -> None:
    """Before anybody is asked: no forge is there."""
    code = f"import sys; sys.modules['{package}'] = None; import sprint.cli; sys.exit(sprint.cli.main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *words.split()],
        cwd=tmp_path, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, "-m pip install 'sprint-backlog-burner[fleet]'" in done.stderr) == (2, True), (
        done
    )
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_ticks_get_the_database_by_a_file_and_never_by_a_variable(
    tmp_path: Path, database: str, config: Config
) -> None:
    text = (tmp_path / "sprint.yaml").read_text()
    (tmp_path / "sprint.yaml").write_text(
        text.replace("database_file: database.url", "database_env: FLEET_URL")
    )
    own = around(tmp_path, {"FLEET_URL": database, "OTHER": "kept"})
    by_variable = load(tmp_path / "sprint.yaml", own)
    with _handed_on(by_variable, Secret(database), own) as (environ, handles):
        assert PASSWORD not in str(environ)
        assert environ["OTHER"] == "kept"
        child = (
            "import sys; from pathlib import Path; from sprint import surroundings, sharing;"
            " from sprint.config import load; a = surroundings.of_this_process();"
            " c = load(Path(sys.argv[1]), a);"
            " print(sharing.of(c, a).why_not_now(1.0) or 'asked')"
        )
        done = subprocess.run(
            [sys.executable, "-c", child, str(tmp_path / "sprint.yaml")],
            env={**environ, "PATH": os.environ["PATH"]}, pass_fds=handles, capture_output=True, text=True,
        )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == ("asked", "")
