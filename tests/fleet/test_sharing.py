"""What is shared, without ticks: rows, dollars and records as files have them, shipped late and once."""

from __future__ import annotations

import io
import os
import socket
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec import structs

from sprint import doctor, health, heartbeat, host, ledger, sharing, spend
from sprint.budget import Budget
from sprint.config import Config, load, resolve
from sprint.domain import Endpoint, LedgerRow, Outcome, Phase, Run, Secret, replace
from sprint.errors import ModelTrouble, SprintError
from sprint.fleet import database as databases
from sprint.fleet import hosts, tables
from sprint.fleet.fleet_command import drain, import_rows, init, resume
from sprint.fleet.fleet_status import status
from sprint.fleet.shared import Shared
from sprint.monitor import pull_states
from sprint.monitor.gather import gather
from sprint.monitor.pull_states import PullState, Stored
from sprint.proc import hostname
from sprint.runs import RunStore
from tests.around import around
from tests.fleet.postgres import Postgres, query
from tests.some_run import some_run

pytestmark = pytest.mark.machine

NOW = datetime.now(UTC).replace(microsecond=0)
MODEL = "model: {name: m, base_url: 'http://127.0.0.1:1/v1', price: {input: 1, output: 1}}\n"
UNPRICED = "model: {name: m, base_url: 'http://127.0.0.1:1/v1'}\n"

MakeHost = Callable[..., Config]


@pytest.fixture
def make_host(tmp_path: Path, database: str) -> MakeHost:
    """Makes hosts of one fleet, whose tables are there: `make_host("a", "limits...")`."""
    made: list[Config] = []

    def make(name: str, limits: str = "{usd: 1.0, usd_per_day: 3.0}", model: str = MODEL) -> Config:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "database.url").write_text(database)
        (folder / "database.url").chmod(0o600)
        (folder / "sprint.yaml").write_text(
            "fleet: {database_file: database.url, reserve_usd: 0.5}\nrepos: [acme/one]\n"
            f"forges: {{home: {{kind: gitea, url: 'http://127.0.0.1:1'}}}}\n{model}"
            f"defaults: {{limits: {limits}}}\npaths: {{results: results, cache: cache}}\n"
        )
        config = load(folder / "sprint.yaml", around(folder))
        host.make_id(config.paths.results)
        if not made:
            assert init(config, around(folder, out=io.StringIO())) == 0
        made.append(config)
        return config

    return make


def shared(config: Config) -> Shared:
    found = sharing.of(config, around(config.paths.results.parent))
    assert isinstance(found, Shared)
    return found


def told_by_doctor(config: Config, grade: str) -> str:
    """What its line on the fleet says; what comes after is not asked."""
    own = around(config.paths.results.parent)
    found = next(one for one in doctor._findings(config, [], own, deep=False) if one.what == "fleet")
    assert f"{found.grade:4}" == grade
    return found.says


def a_run(config: Config, number: int, **more: Any) -> Run:
    run_id = f"20261127T1200{number:02}Z-acme-one-{number}-00000000"
    return some_run(**{"id": run_id, "repo": "acme/one", "issue": number, "started_at": NOW, **more})


def row(number: int, usd: float | None = 0.1, **more: Any) -> LedgerRow:
    known: dict[str, Any] = {
        "finished_at": NOW, "run_id": f"run-{number}", "repo": "acme/one", "issue": number,
        "outcome": Outcome.PR_OPENED, "exit_code": 0, "cost_usd": usd, "worker": "local", "model": "m",
    }  # fmt: skip
    return LedgerRow(**{**known, **more})


def begun(config: Config, number: int) -> tuple[Shared, Run, str]:
    """A run that is written down and asks for its dollars."""
    found, run = shared(config), a_run(config, number)
    RunStore(config.paths.results, found.saved).create(run)
    return found, run, found.reserve(run, resolve(config, "acme/one").limits)


def test_rows_are_shipped_late_and_once_to_the_cent(make_host: MakeHost, database: str) -> None:
    one, two = make_host("a"), make_host("b")
    for number in range(5):
        ledger.append(one.paths.results, row(number, 0.333333))
    odd = row(5, None, detail='=1+1, "quoted" and, a comma', outcome=Outcome.LIMIT)
    ledger.append(two.paths.results, odd)
    with (ledger.path_of(two.paths.results)).open("a") as file:
        file.write("no row at all\n1713047520|octo/widgets|#101|1\n")
    with ledger.path_of(two.paths.results).open("a") as file:
        file.write(f"{NOW:%Y-%m-%dT%H:%M:%SZ},huge,acme/one,{10**30},limit,1\n")
    for config in (one, two, one):
        shared(config).ship()
    ledger.append(one.paths.results, row(6, 0.000004))
    for config in (one, two):
        shared(config).ship()
    assert query(database, "SELECT count(*), sum(cost_usd)::text FROM sprint_rows") == [(8, "1.666669")]
    assert query(database, "SELECT detail FROM sprint_rows WHERE run_id = 'run-5'") == [(f"'{odd.detail}",)]

    # The file is lost and begins anew: what was there is not there twice.
    ledger.path_of(one.paths.results).unlink()
    ledger.append(one.paths.results, row(6, 0.000004))
    shared(one).ship()
    assert query(database, "SELECT count(*) FROM sprint_rows") == [(8,)]
    together = shared(one).together()
    assert together.problem == ""
    found = list(ledger.read(together.results))
    assert odd in found
    assert len(found) == 8

    # What comes late is put where it belongs; what is new is added.
    old = row(9, finished_at=NOW - timedelta(days=3))
    ledger.append(two.paths.results, old)
    ledger.append(two.paths.results, row(10, finished_at=NOW + timedelta(seconds=9)))
    rows = [one for one in ledger.read(shared(two).together().results) if isinstance(one, LedgerRow)]
    assert (rows[0].run_id, rows[-1].run_id, len(rows)) == ("run-9", "run-10", 9)


def test_old_ledgers_are_brought_in_once(make_host: MakeHost, tmp_path: Path, database: str) -> None:
    config = make_host("a")
    before = tmp_path / "before"
    before.mkdir()
    (before / "results.csv").write_text("1713047520|octo/widgets|#101|0\n1713047520|octo/widgets|#101|0\n")
    ledger.append(before, row(1))
    out = io.StringIO()
    for given in (before, before / "results.csv"):
        assert import_rows(config, [given], around(tmp_path, out=out)) == 0
    assert "3 rows, of which 2 were not there yet" in out.getvalue()
    assert "3 rows, of which 0 were not there yet" in out.getvalue()
    with pytest.raises(SprintError, match="give a file results"):
        import_rows(config, [tmp_path / "sprint.yaml"], around(tmp_path, out=out))
    figures = gather(config, around(tmp_path), NOW, ask=False).figures
    assert (figures.rows, figures.old_rows, figures.bad_lines) == (2, 1, 0)


def test_one_ceiling_holds_over_hosts(make_host: MakeHost, database: str) -> None:
    hosts = [make_host(name) for name in "abcd"]
    began = [begun(config, number) for number, config in enumerate(hosts, 1)]
    assert [refused for _, _, refused in began[:3]] == ["", "", ""]
    assert "of $3.00, $0.00 are spent and $3.00 kept by runs under way" in began[3][2]
    assert "ceiling is reached" in began[3][0].why_not_now(3.0)

    # A run that ends gives back what it has not spent; what it spent stays spent.
    found, run, _ = began[0]
    spend.record(hosts[0].paths.results, run.id, 0.25)
    RunStore(hosts[0].paths.results, found.saved).save(replace(run, phase=Phase.SETTLED))
    assert query(database, "SELECT sum(usd)::text FROM sprint_spend") == [("0.25",)]
    assert "$0.25 are spent and $2.00 kept" in begun(hosts[3], 5)[2]
    spend.record(hosts[1].paths.results, began[1][1].id, 1.75)  # more than it kept: its last answer cost much
    shared(hosts[1]).ship()
    assert "$2.00 are spent and $1.00 kept" in begun(hosts[3], 6)[2]

    # One whose host is gone keeps it for hours, not for ever.
    query(database, "UPDATE sprint_reservations SET until = now()")
    assert begun(hosts[3], 7)[2] == ""


@pytest.mark.parametrize(("hours", "kept"), [(1, 6), (9, 9)])
def test_what_a_run_keeps_is_its_own_for_hours_and_as_long_as_its_agent_may_go_on(
    make_host: MakeHost, database: str, hours: int, kept: int
) -> None:
    config = make_host("a")
    found, run = shared(config), a_run(config, 1, deadline=datetime.now(UTC) + timedelta(hours=hours))
    RunStore(config.paths.results, found.saved).create(run)
    assert found.reserve(run, resolve(config, "acme/one").limits) == ""
    found.ship()
    ((left,),) = query(database, "SELECT until - now() FROM sprint_reservations")
    assert timedelta(hours=kept) - timedelta(minutes=5) < left <= timedelta(hours=kept)


@pytest.mark.parametrize(
    ("limits", "model", "why"),
    [
        ("{usd: null, usd_per_day: 3.0}", MODEL, "limits.usd is null"),
        ("{usd: 1.0, usd_per_day: 3.0}", UNPRICED, "price is unknown"),
        ("{usd: 1.0, usd_per_day: 3.0}", "", "price is unknown"),
    ],
)
def test_a_run_without_a_limit_or_a_price_keeps_the_reserve_and_says_so(
    make_host: MakeHost, database: str, limits: str, model: str, why: str
) -> None:
    config = make_host("a", limits, model)
    _, run, refused = begun(config, 1)
    assert refused == ""
    ((kept, said),) = query(database, "SELECT usd::float, why FROM sprint_reservations")
    assert (kept, why in said) == (0.5, True)
    out = io.StringIO()
    status(config, around(config.paths.results.parent, out=out))
    assert f"{run.id} keeps $0.50 (fleet.reserve_usd, for " in out.getvalue()


@pytest.mark.parametrize(
    ("own", "usd"),
    [("{kind: claude, model: own, price: {input: 1, output: 1}}", 1.0), ("{kind: claude}", 0.5)],
)
def test_a_workers_own_model_has_its_own_price(
    make_host: MakeHost, own: str, usd: float, database: str
) -> None:
    config = make_host("a", model=f"{UNPRICED}workers: {{far: {own}}}\n")
    found, limits = shared(config), resolve(config, "acme/one").limits
    run = a_run(config, 1, worker="far")
    RunStore(config.paths.results, found.saved).create(run)
    assert found.reserve(run, limits) == ""
    assert (found.kept(run.id), query(database, "SELECT usd::float FROM sprint_reservations")) == (
        usd,
        [(usd,)],
    )
    budget = Budget(limits, config.paths.results, run.id, found)
    spend.record(config.paths.results, run.id, 0.7)
    assert budget.exceeded(1, 0.7) == ""
    assert found.kept(run.id) == (1.0 if usd == 1.0 else pytest.approx(1.2))


def test_a_run_without_a_limit_goes_on_while_there_is_room_on_all_hosts(
    make_host: MakeHost, database: str
) -> None:
    config, other = make_host("a", "{usd: null, usd_per_day: 2.0}"), make_host("b")
    found, run, _ = begun(config, 1)
    budget = Budget(resolve(config, "acme/one").limits, config.paths.results, run.id, found)
    spent = 0.0
    query(database, "UPDATE sprint_reservations SET until = now() + interval '1 minute'")
    for _ in range(4):  # 0.5 kept; each time that is spent, it keeps another 0.5
        spent += 0.3
        spend.record(config.paths.results, run.id, 0.3)
        assert budget.exceeded(1, spent) == ""
    assert query(database, "SELECT until > now() + interval '5 hours' FROM sprint_reservations") == [(True,)]
    refused = begun(other, 2)[2]
    assert refused == "", "there was as much left as it wanted"
    for _ in range(2):
        spent += 0.3
        spend.record(config.paths.results, run.id, 0.3)
    said = budget.exceeded(1, spent)
    assert said.startswith("limits.usd_per_day: today's ceiling is reached on all hosts"), said


def test_while_the_database_is_away(make_host: MakeHost, postgres: Postgres, database: str) -> None:
    config, careless = make_host("a"), make_host("b", "{usd: 1.0, usd_per_day: null}")
    ledger.append(config.paths.results, row(1))
    assert shared(config).together().problem == ""
    found, run, refused = begun(config, 1)
    assert refused == ""
    out = io.StringIO()
    postgres.kill()
    try:
        assert "no run begins: the fleet's database does not answer" in shared(config).why_not_now(3.0)
        assert "no run begins" in begun(config, 2)[2]
        assert begun(careless, 3)[2] == "", "nothing is to be kept within a ceiling"
        RunStore(config.paths.results, found.saved).save(replace(run, phase=Phase.WORKING))
        ledger.append(config.paths.results, row(2))
        spend.record(config.paths.results, run.id, 0.5)
        found.ship()
        report = gather(config, around(config.paths.results.parent), NOW, ask=False)
        assert report.figures.rows == 1
        (alarm,) = [alarm for alarm in report.alarms if alarm.key == "fleet"]
        assert "shown is what was known at" in alarm.text
        with pytest.raises(SprintError, match="does not answer"):
            status(config, around(config.paths.results.parent, out=out))
    finally:
        postgres.start()
    found.ship()
    assert query(database, "SELECT run->>'phase' FROM sprint_runs WHERE run_id = %s", run.id) == [
        ("working",)
    ]
    assert query(database, "SELECT count(*) FROM sprint_rows") == [(2,)]
    assert query(database, "SELECT sum(usd)::text FROM sprint_spend") == [("0.5",)]
    assert gather(config, around(config.paths.results.parent), NOW, ask=False).fleet_problem == ""


def test_a_server_whose_machine_has_vanished_is_not_waited_for_for_hours() -> None:
    """It says no more, and nobody refuses to listen either: only the system can find that out."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def take() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(4096)
                client.sendall(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I")  # come in; ready
                client.recv(1)

        threading.Thread(target=take, daemon=True).start()
        url = f"postgresql://u@127.0.0.1:{listener.getsockname()[1]}/d?sslmode=disable&gssencmode=disable"
        with (
            closing(databases.connect(Secret(url))) as made,
            socket.socket(fileno=os.dup(made.fileno())) as own,
        ):
            assert own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            idle, pause, count, unheard = (
                own.getsockopt(socket.IPPROTO_TCP, option)
                for option in (
                    socket.TCP_KEEPIDLE,
                    socket.TCP_KEEPINTVL,
                    socket.TCP_KEEPCNT,
                    socket.TCP_USER_TIMEOUT,
                )
            )
            assert idle + pause * count <= 60
            assert 0 < unheard <= 60_000


def test_small_files_of_all_hosts_are_one(make_host: MakeHost, tmp_path: Path) -> None:
    one, two = make_host("a"), make_host("b")
    for config, ago in ((one, 30), (two, 20), (one, 10)):
        now = NOW - timedelta(minutes=ago)
        heartbeat.beat(config.paths.results, "home", "acme/one", f"idle {ago}", now=now)
    heartbeat.beat(two.paths.results, "home", "acme/two", "busy", exit_code=None, now=NOW)
    endpoint = Endpoint("m", "http://127.0.0.1:1/v1", Secret("k"))
    health.note_model(one.paths.results, endpoint, now=NOW - timedelta(hours=1))
    health.note_model(two.paths.results, endpoint, ModelTrouble.QUOTA, "no quota", now=NOW)
    pull = PullState(pr_url="http://f/acme/one/pulls/1", repo="acme/one", number=1, run_id="r", opened_at=NOW)
    asked = NOW - timedelta(hours=2)
    pull_states.save(one.paths.results, Stored(pulls=(pull,), asked_at=asked))
    merged = structs.replace(pull, state="merged", merged_at=NOW, asked_at=NOW)
    pull_states.save(two.paths.results, Stored(pulls=(merged,), asked_at=NOW))
    for config in (one, two):
        shared(config).ship()
    report = gather(one, around(tmp_path), NOW, ask=False)
    (repo,) = [repo for repo in report.repos if repo.repo == "acme/one"]
    assert (repo.tick_outcome, repo.interval_s, repo.is_late) == ("idle 10", 600.0, False)
    assert [(model.name, model.reason) for model in report.health.models] == [("m", "no quota")]
    assert (report.pulls.merged, report.pulls.open, report.pulls.asked_at) == (1, 0, asked)
    assert len(report.hosts) == 2
    late = gather(one, around(tmp_path), NOW + timedelta(hours=1), ask=False)
    assert "acme/one: no host ticks for it" in " ".join(alarm.text for alarm in late.alarms)


def test_hosts_are_seen_drained_and_missed(make_host: MakeHost, database: str, tmp_path: Path) -> None:
    one, two = make_host("a"), make_host("b")
    for config in (one, two):
        shared(config).ship()
    out = io.StringIO()
    with pytest.raises(SprintError, match="names 2 hosts: give a name or an id of"):
        drain(one, hostname(), around(tmp_path, out=out))
    own = host.known_id(two.paths.results)
    assert drain(one, own, around(tmp_path, out=out)) == 0
    assert status(one, around(tmp_path, out=out)) == 0
    assert "drained" in out.getvalue()
    query(
        database,
        "UPDATE sprint_hosts SET has_worker = true, version = '9', seen_at = now() - '10 min'::interval"
        " WHERE id = %s",
        own,
    )
    # Not NOW, which is when this file was loaded: the database's clock has gone on since.
    assert not gather(one, around(tmp_path), datetime.now(UTC), ask=False).alarms
    assert resume(one, own, around(tmp_path, out=out)) == 0
    keys = [alarm.key for alarm in gather(one, around(tmp_path), datetime.now(UTC), ask=False).alarms]
    assert keys == [f"host {own}"]
    assert status(one, around(tmp_path, out=out)) == 1
    query(database, "UPDATE sprint_hosts SET seen_at = now()")
    (alarm,) = gather(one, around(tmp_path), datetime.now(UTC), ask=False).alarms
    assert alarm.key == "versions"


def test_a_tick_that_somebody_calls_for_is_put_in_where_a_worker_takes_it(
    make_host: MakeHost, database: str
) -> None:
    config = make_host("a")
    found = shared(config)
    assert not found.tick_soon("home", "acme/one"), "nobody takes it"
    with databases.connect(Secret(database)) as connection:
        hosts.say_hello(connection, config, jobs=2, repos=["home:acme/one"])
    assert found.tick_soon("home", "acme/one")
    assert found.tick_soon("home", "acme/one")
    assert not found.tick_soon("home", "acme/two")
    assert query(database, "SELECT queueing_lock, priority FROM procrastinate_jobs") == [
        ("home:acme/one", 10)
    ]


def test_tables_of_another_version_are_told(make_host: MakeHost, database: str) -> None:
    config = make_host("a")
    query(database, "UPDATE sprint_meta SET value = '99' WHERE name = 'version'")
    assert "install the other hosts' version" in shared(config).why_not_now(1.0)
    assert "install the other hosts' version" in told_by_doctor(config, "FAIL")
    query(database, "UPDATE sprint_meta SET value = '1' WHERE name = 'version'")
    assert "its tables are of this version; hosts seen in 30 days: 0" in told_by_doctor(config, "ok  ")
    query(database, "ALTER TABLE sprint_hosts RENAME TO elsewhere")
    assert told_by_doctor(config, "FAIL").endswith(": `sprint fleet init`")
    query(database, "ALTER TABLE elsewhere RENAME TO sprint_hosts")
    query(database, "ALTER TABLE sprint_rows DROP COLUMN paused_s")
    query(database, "UPDATE sprint_meta SET value = '22' WHERE name = 'columns'")
    assert "`sprint fleet init`" in shared(config).why_not_now(1.0)
    assert init(config, around(config.paths.results.parent, out=io.StringIO())) == 0
    ledger.append(config.paths.results, row(1, paused_s=2.0))
    shared(config).ship()
    assert query(database, "SELECT paused_s FROM sprint_rows") == [("2.0",)]
    query(database, "UPDATE sprint_meta SET value = '3.3.0' WHERE name = 'procrastinate'")
    with databases.connect(Secret(database)) as connection:
        assert len(tables._migrations("3.3.0")) == 2, "those of 3.4 alone"
        tables.check(connection)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (
            "postgresql://sprint:s3cret-w0rd@/fleet?host=/nowhere",
            "(there is no such socket)",
        ),
        ("postgresql://sprint:s3cret-w0rd@[::1/fleet", "expected postgresql://USER:PASSWORD@HOST/NAME"),
        ("mysql://sprint:s3cret-w0rd@db/fleet", "expected a URL: postgresql://USER:PASSWORD@HOST/NAME"),
        ("", "database.url"),
    ],
)
def test_the_doctor_tells_of_a_database_that_cannot_be_used(tmp_path: Path, url: str, says: str) -> None:
    (tmp_path / "sprint.yaml").write_text("fleet: {database_file: database.url}\n")
    if url:
        (tmp_path / "database.url").write_text(url)
        (tmp_path / "database.url").chmod(0o600)
    said = told_by_doctor(load(tmp_path / "sprint.yaml", around(tmp_path)), "FAIL")
    assert says in said
    assert "s3cret" not in said


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ('connection to server at "db.intern" (10.1.2.3), port 5432 failed: FATAL:  password authentication '
         'failed for user "operator"', "it refuses the user or the password"),
        ('connection to server at "10.1.2.3", port 5432 failed: FATAL:  no pg_hba.conf entry for host '
         '"10.9.9.9", user "operator", database "ledger", no encryption', "see its pg_hba.conf"),
        ('connection to server at "10.1.2.3", port 5432 failed: FATAL:  database "ledger" does not exist',
         "there is no such user or database"),
        ("failed to resolve host 'db.intern': [Errno -2] Name or service not known", "is not known"),
        ("connection timeout expired. Multiple connection attempts failed. All failures were:\n- host: "
         "'db.intern', port: '5432', hostaddr: '10.1.2.3': connection timeout expired", "took too long"),
        ("a word of a version to come, for db.intern, operator and ledger", "(OperationalError)"),
    ],
)  # fmt: skip
def test_what_is_said_of_a_database_that_is_away_names_neither_host_nor_user(says: str, told: str) -> None:
    """It goes into heartbeats and pauses, and from there into pages that others read."""
    with pytest.raises(databases.DatabaseAway) as raised, databases.asking():
        raise psycopg.OperationalError(says)
    said = str(raised.value)
    assert told in said
    assert not {word for word in ("intern", "10.", "operator", "ledger", "5432") if word in said}


def test_a_host_alone_needs_none_of_this(tmp_path: Path) -> None:
    (tmp_path / "sprint.yaml").write_text("{}")
    config = load(tmp_path / "sprint.yaml", around(tmp_path))
    alone = sharing.of(config, around(tmp_path))
    assert isinstance(alone, sharing.Alone)
    assert alone.together().results == config.paths.results
    spend.record(config.paths.results, "r", 2.0)
    assert alone.why_not_now(2.0) == "today's ceiling is reached: $2.00 of $2.00"
    assert alone.reserve(a_run(config, 1), config.defaults.limits) == ""
