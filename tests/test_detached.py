"""Workers that outlive a tick, driven through the real tick on a real git server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sprint import spend
from sprint.claim import Claims
from sprint.domain import (
    Claim,
    Ending,
    Liveness,
    Outcome,
    Phase,
    Purpose,
    Secret,
    Usage,
    WorkerResult,
    replace,
)
from sprint.git import Remote
from sprint.worker import Job
from tests.detached import Backend, Clock, nothing, plant
from tests.one_host import Host
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.site import Site
from tests.widgets import CHECK, FILES, REPO

USED = Usage(turns=3, prompt_tokens=1000, completion_tokens=100, cost_usd=0.25)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    return plant(monkeypatch)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def make_host(
    gitea: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel]
) -> Callable[..., Host]:
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    model = model_server([])

    def make(name: str = "one", **repo: Any) -> Host:
        return Host(
            Site(
                workspaces / name,
                gitea,
                model,
                workers={"far": {"kind": "fake"}},
                repos=[{"name": REPO, "checks": [CHECK], "worker": "far", **repo}],
            )
        )

    return make


def claim_of(gitea: DemoForge, tmp_path: Path, issue: int = 1) -> Claim:
    remote = Remote(f"{gitea.url}/{REPO}.git", Secret(gitea.token))
    return Claims(tmp_path / "judge.git", remote, "judge").read()[issue]


def test_it_begins_is_left_alone_and_becomes_a_pull_request(
    backend: Backend, make_host: Callable[..., Host], gitea: DemoForge
) -> None:
    host = make_host()
    assert host.tick() == 0
    assert host.run().phase is Phase.WORKING
    assert host.outcomes() == []
    assert host.tick() == 0
    assert (backend.calls["start"], backend.calls["poll"]) == (1, 1)
    backend.liveness = Liveness.DONE
    assert host.tick() == 0
    assert host.outcomes() == ["pr_opened"]
    assert len(gitea.pulls(REPO)) == 1
    assert backend.released == {host.run().id: Outcome.PR_OPENED}
    assert host.run().worker_version == "fake 1.0"


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"tokens": 1100}, "limits.tokens: 1100 of 1100 tokens are used"),
        ({"usd": 0.2}, "limits.usd: $0.2500 of $0.2 are spent"),
        ({"usd_per_day": 0.25}, "limits.usd_per_day: $0.2500 of $0.25 are spent today"),
    ],
)
def test_one_that_passes_a_limit_is_stopped(
    backend: Backend, make_host: Callable[..., Host], gitea: DemoForge, limits: dict[str, Any], says: str
) -> None:
    """By what it told at a poll; what it had is handed in as a draft."""
    host = make_host(limits=limits)
    host.tick()
    backend.usage = USED
    backend.result = WorkerResult(Ending.CANCELLED, detail="told to stop", usage=USED)
    assert host.tick() == 0
    (row,) = host.site.rows()
    assert (row["outcome"], row["detail"]) == ("limit", f"{says}; handed in as a draft")
    assert backend.stopped == {host.run().id}
    assert spend.spent_today(host.results) == pytest.approx(0.25)
    assert gitea.pulls(REPO)[0].title.startswith("WIP: ")


def test_a_task_of_which_nothing_was_noted_is_forgotten(
    backend: Backend, make_host: Callable[..., Host]
) -> None:
    """Whoever sent it died before it said what is wanted: no later tick stumbles over that."""
    host = make_host()
    host.tick()
    begun = host.run()
    task = replace(begun, id=f"{begun.id}-task", issue=None, purpose=Purpose.TASK, phase=Phase.CLAIMED)
    host.store.create(task)
    assert host.tick() == 0
    assert [run.id for run in host.store.active()] == [begun.id]
    assert not host.store.exists(task.id)


def test_each_tick_asks_once_and_makes_one_worker(backend: Backend, make_host: Callable[..., Host]) -> None:
    host = make_host()
    host.tick()
    before = backend.calls.copy()
    host.tick()
    assert backend.calls - before == {"poll": 1, "made": 1}


def test_an_issue_that_was_closed_stops_it(
    backend: Backend, make_host: Callable[..., Host], gitea: DemoForge
) -> None:
    host = make_host()
    host.tick()
    gitea.close_issue(REPO, 1)
    assert host.tick() == 0
    assert backend.stopped == {host.run().id}
    assert host.outcomes() == ["cancelled"]
    assert "n + n + 1" in (host.store.folder(host.run().id) / "patch.diff").read_text()
    assert gitea.pulls(REPO) == []


def test_past_its_deadline_it_is_stopped_and_what_it_has_is_handed_in(
    backend: Backend, make_host: Callable[..., Host], gitea: DemoForge, clock: Clock
) -> None:
    host = make_host()
    host.tick()
    backend.result = WorkerResult(Ending.INTERRUPTED, detail="stopped")
    clock.forward(hours=8)
    assert host.tick() == 0
    assert backend.stopped == {host.run().id}
    assert host.outcomes() == ["limit"]
    assert gitea.pulls(REPO)[0].title.startswith("WIP: ")


def test_one_that_does_not_answer_is_lost_and_looked_for_every_hour(
    backend: Backend, make_host: Callable[..., Host], gitea: DemoForge, clock: Clock, tmp_path: Path
) -> None:
    host = make_host()
    host.tick()
    backend.unreachable = True
    host.tick()
    assert host.run().phase is Phase.WORKING
    clock.forward(hours=3)
    gitea.close_issue(REPO, 1)  # so that no further run begins
    gitea.reopen_issue(REPO, 1)
    assert host.tick() == 0
    assert host.outcomes() == ["worker_lost"]
    lost = host.run()
    assert claim_of(gitea, tmp_path).attempt == 0, "no fault of the issue's"
    polled = backend.calls["poll"]
    host.tick()
    assert backend.calls["poll"] == polled, "an hour has not passed"
    backend.unreachable = False
    clock.forward(minutes=59)
    host.tick()
    assert not (host.store.folder(lost.id) / "patch.diff").exists()
    clock.forward(hours=1)
    host.tick()
    assert "n + n + 1" in (host.store.folder(lost.id) / "patch.diff").read_text()
    assert lost.id in backend.stopped
    assert host.store.lost() == []


def test_one_that_stays_lost_is_given_up_after_a_week(
    backend: Backend, make_host: Callable[..., Host], clock: Clock
) -> None:
    host = make_host()
    host.tick()
    backend.unreachable = True
    clock.forward(hours=3)
    host.tick()
    assert len(host.store.lost()) == 1
    clock.forward(days=8)
    host.tick()
    assert host.store.lost() == []


def test_two_hosts_ticking_every_twenty_minutes_never_start_two(
    backend: Backend, make_host: Callable[..., Host], clock: Clock, gitea: DemoForge
) -> None:
    hosts = [make_host("one", limits={"minutes": 120}), make_host("two", limits={"minutes": 120})]
    for _ in range(6):
        for host in hosts:
            host.tick()
        clock.forward(minutes=20)
    assert len(backend.started) == 1
    backend.liveness = Liveness.DONE
    for host in hosts:
        host.tick()
    assert [host.outcomes() for host in hosts] == [["pr_opened"], []]
    assert len(gitea.pulls(REPO)) == 1


def test_rounds_are_no_deaths(backend: Backend, make_host: Callable[..., Host], gitea: DemoForge) -> None:
    def wrong(job: Job) -> None:
        (job.workspace.checkout / "widgets.py").write_text("def double(n):\n    return 'no'\n")

    host = make_host(limits={"check_rounds": 3})
    backend.liveness, backend.work = Liveness.DONE, wrong
    host.tick()
    for number in range(1, 4):
        backend.liveness = Liveness.DONE
        host.tick()
        assert len(backend.messages) == number
        backend.liveness = Liveness.RUNNING
        for _ in range(6):
            host.tick()
        assert host.run().phase is Phase.WORKING
    backend.liveness = Liveness.DONE
    host.tick()
    assert host.outcomes() == ["checks_failed"]
    assert len(backend.started) == 1
    assert host.run().rounds == 3


def test_spend_grows_with_each_poll_and_is_counted_once(
    backend: Backend, make_host: Callable[..., Host]
) -> None:
    host = make_host()
    host.tick()
    backend.usage = USED
    host.tick()
    host.tick()
    assert spend.spent_today(host.results) == pytest.approx(0.25)
    more = replace(USED, turns=5, cost_usd=0.4)
    backend.usage, backend.liveness = more, Liveness.DONE
    backend.result = WorkerResult(Ending.IMPLEMENTED, "Done.", usage=replace(more, cost_usd=0.45))
    host.tick()
    assert spend.spent_today(host.results) == pytest.approx(0.45)
    assert float(host.site.rows()[0]["cost_usd"]) == pytest.approx(0.45)


def test_a_claim_lost_to_another_host_stops_it_and_keeps_its_work(
    backend: Backend, make_host: Callable[..., Host], gitea: DemoForge, tmp_path: Path
) -> None:
    host = make_host()
    host.tick()
    remote = Remote(f"{gitea.url}/{REPO}.git", Secret(gitea.token))
    other = Claims(tmp_path / "other.git", remote, "other")
    now = datetime.now(UTC)
    assert other.take(1, "20260101T000000Z-acme-widgets-1-0badcafe", "", other.read()[1], now)
    host.tick()
    run = next(run for run in host.store.all() if run.id == backend.started[0].id)
    assert (run.phase, run.outcome) == (Phase.SETTLED, Outcome.CANCELLED)
    assert backend.stopped == {run.id}
    assert "n + n + 1" in (host.store.folder(run.id) / "patch.diff").read_text()


def test_several_are_under_way_up_to_at_once_on_all_hosts(
    backend: Backend,
    make_host: Callable[..., Host],
    gitea: DemoForge,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for number in range(5):
        gitea.add_issue(REPO, f"Another thing {number}", "Please.")
    hosts = [make_host(name, pick={"at_once": 3}) for name in ("one", "two")]
    for host in (*hosts, *hosts):
        capsys.readouterr()
        host.tick()
    assert len(backend.started) == 3
    said = capsys.readouterr().out
    assert f"{REPO}: as many runs are under way as pick.at_once allows: #1, claimed by " in said
    backend.liveness = Liveness.DONE
    hosts[0].tick()
    assert hosts[0].outcomes() == ["pr_opened"] * 3


def test_fifty_runs_settle_in_one_tick(
    backend: Backend, make_host: Callable[..., Host], gitea: DemoForge
) -> None:
    for number in range(49):
        gitea.add_issue(REPO, f"Another thing {number}", "Please.")
    host = make_host(pick={"at_once": 50, "max_open_prs": 100}, checks=[])
    host.tick()
    assert len(backend.started) == 50
    backend.liveness, backend.work = Liveness.DONE, nothing
    backend.result = WorkerResult(Ending.IMPLEMENTED, "Nothing to do.", is_reviewed=True)
    host.tick()
    assert host.outcomes() == ["no_change"] * 50
    assert list((host.results / "active").iterdir()) == []


def test_a_tick_that_dies_before_the_start_is_told_from_a_worker_that_is_gone(
    backend: Backend, make_host: Callable[..., Host], gitea: DemoForge
) -> None:
    def die(job: Job) -> None:
        raise KeyboardInterrupt

    host = make_host()
    backend.on_start = die
    with pytest.raises(KeyboardInterrupt):
        host.tick()
    backend.begun.clear()  # as if it had died before the request
    backend.started.clear()
    backend.on_start = nothing
    host.tick()
    assert [run.id for run in backend.started] == [host.run().id]
    backend.liveness = Liveness.DONE
    host.tick()
    assert host.outcomes() == ["pr_opened"]
    assert len(gitea.pulls(REPO)) == 1


def test_a_backend_that_is_away_at_the_start_costs_no_attempt(
    backend: Backend, make_host: Callable[..., Host], gitea: DemoForge, tmp_path: Path
) -> None:
    host = make_host()
    backend.unreachable = True
    assert host.tick() == 2
    run = host.run()
    assert run.phase is Phase.WORKING
    assert "does not answer" in run.paused_why
    backend.unreachable = False
    host.tick()
    assert [run.id for run in backend.started] == [run.id]
    assert claim_of(gitea, tmp_path).attempt == 1


def test_a_run_past_its_deadline_holds_its_claim_until_the_next_tick(
    backend: Backend, make_host: Callable[..., Host], gitea: DemoForge, tmp_path: Path
) -> None:
    host = make_host(limits={"minutes": 120})
    host.tick()
    claim, run = claim_of(gitea, tmp_path), host.run()
    assert run.deadline <= claim.expires <= run.deadline + timedelta(hours=2)
