"""SIGKILL after each step of a tick: the next tick ends the run, with one row and one pull request."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Command
from tests.killed_at import ON_SPRITES, PLACES
from tests.kills import assert_one_of_each, killed_at, script
from tests.kills import site as site  # a fixture
from tests.servers.forge import DemoForge, Fault
from tests.servers.model import DemoModel
from tests.servers.replies import Reply
from tests.site import Site
from tests.waiting import wait_until
from tests.widgets import CHECK, FILES, REPO

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("place", sorted(set(PLACES) - {"fork made", "pushed again"} - ON_SPRITES))
def test_the_next_tick_ends_what_a_killed_one_began(gitea: DemoForge, site: Site, place: str) -> None:
    killed_at(site, place)
    after = site.sprint("run", REPO)
    assert after.returncode == 0, after.stderr
    assert_one_of_each(gitea, site)


def test_no_checkout_is_left_of_a_tick_killed_before_its_claim_was_there(
    gitea: DemoForge, site: Site
) -> None:
    def kill() -> None:
        assert wait_until(lambda: list(site.workspaces.glob("sprint-*/.index")) != [])
        os.kill(tick.pid, signal.SIGKILL)

    gitea.faults.append(Fault("git-receive-pack$", method="POST", call=kill, status=500))
    tick = site.start("run", REPO)
    assert tick.wait(120) == -signal.SIGKILL, tick.err.read_text()
    assert site.sprint("run", REPO).returncode == 0
    assert_one_of_each(gitea, site)


def test_a_run_killed_while_the_model_works_goes_on_with_its_files_and_conversation(
    gitea: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel]
) -> None:
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    ticks: list[Command] = []

    def kill_at_the_second_turn(request: dict[str, Any], number: int) -> Reply:
        if number == 1:
            os.kill(ticks[0].pid, signal.SIGKILL)
        return script(request, number)

    model = model_server(kill_at_the_second_turn)
    site = Site(workspaces / "site", gitea, model, repos=[{"name": REPO, "checks": [CHECK]}])
    ticks.append(site.start("run", REPO))
    assert ticks[0].wait(120) == -signal.SIGKILL
    assert site.sprint("run", REPO).returncode == 0
    assert_one_of_each(gitea, site)
    told = model.asked[-1].body["messages"]
    assert any("interrupted" in str(m["content"]) for m in told[2:])
    assert any("n + n + 1" in str(m.get("tool_calls")) for m in told)


@pytest.mark.parametrize(("place", "has_patch"), [("committed", True), ("imported", False)])
def test_a_run_that_dies_every_time_is_given_up(
    gitea: DemoForge, site: Site, place: str, has_patch: bool
) -> None:
    """Also where looking for its patch is what it dies of."""
    for _ in range(14):
        site.start("run", REPO, killed_at=place).wait()
        if site.rows():
            break
    (row,) = site.rows()
    assert row["outcome"] == "interrupted"
    assert gitea.pulls(REPO) == []
    patch = site.path / "results/runs" / row["run_id"] / "patch.diff"
    assert patch.exists() is has_patch


def test_a_model_that_is_away_is_waited_for(gitea: DemoForge, site: Site) -> None:
    """The killed run stays as it is, tick after tick, until there is a model again."""
    killed_at(site, "claimed")
    away = Fault("", times=None, drop=True)
    site.model.faults.append(away)
    for _ in range(5):
        assert site.sprint("run", REPO).returncode == 5
    site.model.faults.remove(away)
    for path in (site.path / "results" / "health").rglob("*.json"):
        path.unlink()  # as if its time were over
    assert site.sprint("run", REPO).returncode == 0
    assert_one_of_each(gitea, site)
