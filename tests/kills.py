"""A tick that is killed at a step, a model that can be asked again anywhere, and what there must be then."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sprint.claim import Claims
from sprint.domain import Secret
from sprint.git import Remote
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import Reply, call, finish
from tests.site import Site
from tests.widgets import CHECK, FILES, FIX, REPO


def script(request: dict[str, Any], _number: int) -> Reply:
    """What a model would do that sees only the conversation: fix, check (so there is no review), finish."""
    done = [str(message.get("tool_calls", "")) for message in request["messages"]]
    if not any("n + n + 1" in calls for calls in done):
        return FIX
    if not any(CHECK in calls for calls in done):
        return call("run_command", {"command": CHECK})
    return finish("implemented", "Fixed.")


def assert_one_of_each(gitea: DemoForge, site: Site) -> None:
    assert [row["outcome"] for row in site.rows()] == ["pr_opened"]
    assert len(gitea.pulls(REPO)) == 1
    assert len(gitea.comments(REPO, 1)) == 1
    remote = Remote(f"{gitea.url}/{REPO}.git", Secret(gitea.token))
    claim = Claims(site.path / "judge.git", remote, "judge").read()[1]
    assert (claim.state, claim.outcome, claim.attempt) == ("released", "pr_opened", 1)
    assert list((site.path / "results" / "active").iterdir()) == []
    assert [run["phase"] for run in site.runs()] == ["settled"]
    assert list(site.workspaces.iterdir()) == []
    assert list((site.path / "results" / "runs").glob("*/work.git")) == []


def killed_at(site: Site, place: str) -> None:
    tick = site.start("run", REPO, killed_at=place)
    assert tick.wait() == -signal.SIGKILL, tick.err.read_text()


@pytest.fixture
def site(gitea: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel]) -> Site:
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    repos = [{"name": REPO, "checks": [CHECK]}]
    return Site(workspaces / "site", gitea, model_server(script), repos=repos)
