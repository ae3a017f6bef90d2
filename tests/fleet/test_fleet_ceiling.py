"""A detached run without a limit of its own stays within what it keeps of the fleet's ceiling."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sprint import host as host_ids
from sprint import spend
from sprint.domain import Ending, Liveness, Phase, Usage, WorkerResult
from sprint.fleet import fleet_command
from tests.around import around
from tests.detached import Backend, plant
from tests.fleet.postgres import Postgres, query
from tests.fleet.sites import host
from tests.one_host import Host
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.sprite.far_work import OF_ITS_OWN, ticked_to_the_end
from tests.sprite.some_backend import backend_of
from tests.widgets import FILES, REPO

pytestmark = pytest.mark.machine

CEILING = {"usd": None, "usd_per_day": 1.0}
RESERVE = 0.4


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    return plant(monkeypatch)


def made(
    gitea: DemoForge,
    folder: Path,
    model_server: Callable[..., DemoModel],
    database: str,
    section: dict[str, Any],
    reserve: float = RESERVE,
    **more: Any,
) -> Host:
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    site = host(
        folder, gitea, model_server([]), database, [REPO],
        workers={"far": section}, fleet={"reserve_usd": reserve}, limits=CEILING, **more,
    )  # fmt: skip
    site.settings["defaults"]["worker"] = "far"
    site.write()
    found = Host(site)
    assert fleet_command.init(found.config(), around(site.path)) == 0
    return found


def used(usd: float) -> Usage:
    return Usage(1, 1000, 0, 100, usd)


def kept(database: str) -> list[float]:
    return [usd for (usd,) in query(database, "SELECT usd::float FROM sprint_reservations")]


@contextlib.contextmanager
def away(postgres: Postgres) -> Iterator[None]:
    postgres.kill()
    try:
        yield
    finally:
        postgres.start()


def elsewhere(database: str, usd: float) -> None:
    query(
        database,
        "INSERT INTO sprint_spend VALUES ('other', (now() AT TIME ZONE 'UTC')::date, 0, now(), 'other', %s)",
        usd,
    )


def test_it_keeps_more_as_it_spends_until_the_hosts_together_are_at_the_ceiling(
    gitea: DemoForge,
    workspaces: Path,
    model_server: Callable[..., DemoModel],
    database: str,
    postgres: Postgres,
    backend: Backend,
) -> None:
    told: list[float] = []
    backend.on_start = lambda job: told.append(job.kept())
    one = made(gitea, workspaces / "a", model_server, database, {"kind": "fake"})
    assert one.tick() == 0
    assert told == [RESERVE], "what its supervisor is told"
    backend.usage = used(0.39)
    with away(postgres):  # it goes on, as far as it may without asking, and beyond that nobody can tell
        assert one.tick() == 0
        backend.usage = used(0.41)
        assert one.tick() == 0
        assert (one.run().phase, one.run().paused_since) == (Phase.WORKING, None)
    assert kept(database) == [RESERVE]
    assert one.tick() == 0
    assert kept(database) == [pytest.approx(0.81)], "another 0.40 on top of what is spent"

    # Its supervisor ended it there: it is begun again where the hosts have as much left, and rests while
    # nobody can tell.
    backend.usage = used(0.81)
    backend.liveness = Liveness.DONE
    backend.result = WorkerResult(
        Ending.LIMIT, detail="it is out of dollars", usage=used(0.81), wants_more=True
    )
    with away(postgres):
        assert one.tick() == 2
        assert one.run().phase is Phase.WORKING
        assert "fleet's database does not answer" in one.run().paused_why
        assert backend.calls["resume"] == 0
    assert one.tick() == 0
    assert (one.run().phase, backend.calls["resume"]) == (Phase.WORKING, 1)
    assert kept(database) == [pytest.approx(1.0)], "no more than is left"

    # What others spend meanwhile counts.
    elsewhere(database, 0.2)
    backend.usage = used(1.0)
    backend.liveness = Liveness.RUNNING
    backend.result = WorkerResult(Ending.CANCELLED, usage=used(1.0))
    assert one.tick() == 0
    (row,) = one.site.rows()
    assert row["outcome"] == "limit"
    assert row["detail"].startswith("limits.usd_per_day: ")
    assert kept(database) == []


def test_what_an_agent_has_seen_spent_there_ends_it_at_what_its_run_keeps(
    gitea: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel], database: str
) -> None:
    """A real supervisor, and an agent that would go on for ten minutes at more than the ceiling."""
    program, key = workspaces / "claude", workspaces / "limited.key"
    program.write_text(OF_ITS_OWN)
    program.chmod(0o755)
    key.write_text("of-its-own")
    key.chmod(0o600)
    with backend_of("sprites", workspaces) as section:
        one = made(
            gitea,
            workspaces / "a",
            model_server,
            database,
            {
                "kind": "sprite",
                "backend": "there",
                "agent": "claude",
                "program": str(program),
                "model": "slow",
                "price": {"input": 100.0, "cached": 10.0, "output": 1000.0},
                "key": "file",
                "key_file": str(key),
            },
            reserve=0.1,
            backends={"there": section},
        )
        elsewhere(database, 0.75)
        assert one.tick() == 0
        assert kept(database) == [0.1]
        ticked_to_the_end(one)
    (row,) = one.site.rows()
    assert row["outcome"] == "limit", row
    assert "ceiling is reached on all hosts" in row["detail"]
    own = host_ids.known_id(one.results)
    ((spent,),) = query(database, "SELECT sum(usd)::float FROM sprint_spend WHERE host_id = %s", own)
    # Begun once more with what was left, 0.095: one answer of $0.155 each time.
    assert spent == pytest.approx(0.31)
    assert spend.spent_today(one.results) == pytest.approx(spent)
