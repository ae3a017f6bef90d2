"""A detached run whose host is gone is settled by another one, and by nobody twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sprint import host as host_ids
from sprint.claim import Claims
from sprint.domain import Liveness, Phase, Run
from sprint.fleet import fleet_command
from sprint.fleet.database import DatabaseAway
from sprint.fleet.shared import Shared
from sprint.runs import RunStore
from sprint.stop_command import stop
from tests.around import around
from tests.detached import Backend, plant
from tests.fleet.postgres import query
from tests.fleet.sites import host
from tests.one_host import Host
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.widgets import FILES, REPO

pytestmark = pytest.mark.machine

MakeHosts = Callable[..., list[Host]]


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    return plant(monkeypatch)


@pytest.fixture
def hosts(
    gitea: DemoForge,
    workspaces: Path,
    model_server: Callable[..., DemoModel],
    database: str,
    backend: Backend,
) -> list[Host]:
    """Two hosts of one fleet; the first has begun a run that is at work."""
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    model = model_server([])
    more: dict[str, Any] = {"workers": {"far": {"kind": "fake"}}}
    made = [Host(host(workspaces / name, gitea, model, database, [REPO], **more)) for name in ("a", "b")]
    for one in made:
        one.site.settings["defaults"]["worker"] = "far"
        one.site.write()
    assert fleet_command.init(made[0].config(), around(made[0].site.path)) == 0
    assert made[0].tick() == 0
    assert made[0].run().phase is Phase.WORKING
    return made


class Killed(BaseException):
    """No code of ours looks at it, as none sees a SIGKILL."""


def lose(database: str, lost: Host) -> None:
    query(
        database,
        "UPDATE sprint_hosts SET seen_at = now() - interval '20 minutes' WHERE id = %s",
        host_ids.known_id(lost.results),
    )


def test_another_host_settles_what_a_lost_one_began(
    hosts: list[Host], backend: Backend, gitea: DemoForge, database: str
) -> None:
    one, two = hosts
    assert two.tick() == 0
    assert not list(two.store.all()), "a host that is there keeps what it began"
    lose(database, one)
    assert two.tick() == 0
    taken = two.run()
    assert (taken.phase, taken.id) == (Phase.WORKING, one.run().id)
    assert backend.calls["start"] == 1, "it was found at work, and not begun again"
    backend.liveness = Liveness.DONE
    assert one.tick() == 0, "it comes back, and finds that the run is not its own any more"
    assert one.run().phase is Phase.SETTLED
    assert two.tick() == 0
    assert (two.run().outcome or "").startswith("pr_opened")
    assert one.tick() == 0
    assert len(gitea.pulls(REPO)) == 1
    assert (len(one.site.rows()), len(two.site.rows())) == (0, 1)
    assert query(database, "SELECT host_id FROM sprint_rows") == [(host_ids.known_id(two.results),)]
    assert query(database, "SELECT run_id FROM sprint_reservations") == []
    assert query(database, "SELECT run_id FROM sprint_runs") == []


def test_a_lost_host_that_comes_back_after_the_end_makes_no_second_row(
    hosts: list[Host], backend: Backend, gitea: DemoForge, database: str
) -> None:
    one, two = hosts
    lose(database, one)
    backend.liveness = Liveness.DONE
    assert two.tick() == 0
    assert len(two.site.rows()) == 1
    assert stop(one.config(), one.run().id, False, around(one.site.path)) == 0
    assert one.run().phase is Phase.SETTLED, "nor by the hand of a person, who did not know"
    assert one.tick() == 0
    assert (len(one.site.rows()), len(gitea.pulls(REPO))) == (0, 1)
    assert backend.calls["stop"] == 0


def test_a_run_that_was_taken_over_can_come_back(
    hosts: list[Host], backend: Backend, gitea: DemoForge, database: str
) -> None:
    one, two = hosts
    lose(database, one)
    assert two.tick() == 0
    assert one.tick() == 0
    assert one.run().phase is Phase.SETTLED
    lose(database, two)
    backend.liveness = Liveness.DONE
    assert one.tick() == 0
    assert (one.outcomes(), len(gitea.pulls(REPO)), backend.calls["start"]) == (["pr_opened"], 1, 1)


@pytest.mark.parametrize("is_done", [False, True], ids=["not asked", "answer lost"])
def test_a_taking_over_that_the_others_could_not_be_told_of_waits_and_is_finished_here(
    hosts: list[Host], backend: Backend, database: str, monkeypatch: pytest.MonkeyPatch, is_done: bool
) -> None:
    one, two = hosts
    own = host_ids.known_id(one.results)
    assert fleet_command.drain(two.config(), own, around(two.site.path)) == 0
    backend.liveness = Liveness.DONE
    took_over = Shared.took_over

    def away(shared: Shared, run: Run) -> None:
        if is_done:
            took_over(shared, run)
        raise DatabaseAway("away")

    with monkeypatch.context() as broken:
        broken.setattr(Shared, "took_over", away)
        for _ in range(2):
            assert two.tick() == 0
            assert (two.run().phase, two.run().taking_over) == (Phase.WORKING, True)
    has_it = host_ids.known_id(two.results) if is_done else own
    assert query(database, "SELECT host_id FROM sprint_runs") == [(has_it,)]
    assert one.tick() == 0
    assert one.site.rows() == [], "the second one has its claim"
    assert two.tick() == 0
    assert [row["outcome"] for row in two.site.rows()] == ["pr_opened"]
    assert fleet_command.resume(two.config(), own, around(two.site.path)) == 0
    assert one.tick() == 0
    assert (one.site.rows(), backend.calls["start"], backend.calls["stop"]) == ([], 1, 0)


@pytest.mark.parametrize("at", ["create", "move", "took_over"])
def test_a_taking_over_whose_process_is_killed_is_finished_by_whoever_ticks_next(
    hosts: list[Host], backend: Backend, database: str, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """By its host; and where that one is lost, too, by the first one, which is back."""
    one, two = hosts
    backend.liveness = Liveness.DONE
    lose(database, one)
    where = {"create": RunStore, "move": Claims, "took_over": Shared}[at]
    done = getattr(where, at)

    def killed(*args: Any, **named: Any) -> None:
        done(*args, **named)
        raise Killed

    with monkeypatch.context() as broken:
        broken.setattr(where, at, killed)
        with pytest.raises(Killed):
            two.tick()
    assert two.site.rows() == []
    if at == "create":
        assert two.tick() == 0, "it had not moved the claim: begun once more"
    elif at == "move":
        lose(database, two)  # the one that is back has it in the same tick, and not at the claim's expiry
        assert one.tick() == 0
    assert two.tick() == 0
    settled = [len(each.site.rows()) for each in hosts]
    assert settled == ([1, 0] if at == "move" else [0, 1])
    for each in hosts:
        assert each.tick() == 0
    assert [len(each.site.rows()) for each in hosts] == settled
    assert (backend.calls["start"], backend.calls["stop"]) == (1, 0)
    assert query(database, "SELECT count(*) FROM sprint_rows") == [(1,)]
    assert query(database, "SELECT run_id FROM sprint_runs") == []
