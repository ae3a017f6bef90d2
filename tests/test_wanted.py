"""Whether a run's work is still wanted: the issue alone often, the pull requests of others seldom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sprint.config import load, resolve
from sprint.context import Context, open_context
from sprint.domain import Run, replace
from sprint.errors import ForgeError
from sprint.new_run import new_run
from sprint.settle.wanted import Wanted
from tests.around import around
from tests.kills import script
from tests.servers.forge import DemoForge, Fault
from tests.servers.model import DemoModel
from tests.site import Site
from tests.widgets import CHECK, FILES, REPO


@pytest.fixture
def forge(forge_server: DemoForge) -> DemoForge:
    forge_server.add_repo(REPO, FILES)
    forge_server.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    return forge_server


@pytest.fixture
def context(forge: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel]) -> Context:
    site = Site(workspaces / "site", forge, model_server(script), repos=[{"name": REPO, "checks": [CHECK]}])
    config = load(site.path / "sprint.yaml", around(site.path))
    return open_context(config, resolve(config, REPO), around(site.path))


@pytest.fixture
def run(context: Context) -> Run:
    return replace(new_run(context, context.forge.issue(REPO, 1), "local"), branch="feat/issue-1")


def asked(forge: DemoForge, act: Callable[[], Any]) -> list[tuple[str, int]]:
    return [(seen.path.rpartition(f"{REPO}/")[2], seen.status) for seen in forge.asked(act)]


def test_a_glance_is_one_request_that_github_does_not_count(
    forge: DemoForge, context: Context, run: Run
) -> None:
    context.forge.whoami()
    wanted = Wanted(context, run)
    assert asked(forge, wanted.at_a_glance) == [("issues/1", 200)]
    again = 304 if forge.kind == "github" else 200
    spent = dict(forge.store.api_calls)
    for _ in range(5):
        assert asked(forge, wanted.at_a_glance) == [("issues/1", again)]
    assert forge.store.api_calls == spent or forge.kind == "gitea"
    assert asked(forge, wanted.in_full) == [("issues/1", again), ("pulls", 200)]


CHANGES: dict[str, tuple[Callable[[DemoForge], object], str]] = {
    "closed": (lambda forge: forge.close_issue(REPO, 1), "the issue was closed"),
    "locked": (lambda forge: forge.lock(REPO, 1), "the issue was locked"),
    "assigned": (
        lambda forge: forge.edit_issue(REPO, 1, assignees=["carl"]),
        "the issue was assigned to carl",
    ),
    "ours": (lambda forge: forge.edit_issue(REPO, 1, assignees=[forge.login]), ""),
    "gone": (
        lambda forge: forge.faults.append(Fault("/issues/1$", status=410, times=None)),
        "the issue is gone",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_glance_sees_what_the_issue_tells(forge: DemoForge, context: Context, run: Run, name: str) -> None:
    forge.add_user("carl")
    change, reason = CHANGES[name]
    wanted = Wanted(context, run)
    assert wanted.at_a_glance() == ""
    change(forge)
    assert wanted.at_a_glance() == reason
    assert wanted.in_full() == reason


def test_only_the_full_question_sees_somebody_elses_pull_request(
    forge: DemoForge, context: Context, run: Run
) -> None:
    wanted = Wanted(context, run)
    forge.commit(REPO, "theirs", "Fix it", {"widgets.py": "def double(n):\n    return 2 * n\n"})
    number = forge.add_pull(REPO, "theirs", title="Fix double", body="Fixes #1")
    assert wanted.at_a_glance() == ""
    assert wanted.in_full() == f"pull request #{number} closes it already"
    assert Wanted(context, replace(run, forced=True)).in_full() == ""


def test_a_forge_that_does_not_tell_is_no_answer(
    forge: DemoForge, context: Context, run: Run, slept: list[float]
) -> None:
    wanted = Wanted(context, run)
    forge.faults.append(Fault("/issues/1$", status=403, times=None))
    with pytest.raises(ForgeError):
        wanted.at_a_glance()
