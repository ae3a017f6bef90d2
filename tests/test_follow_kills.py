"""SIGKILL after each step of a follow-up, one after the other: one push, one row, and each word said once."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from git import Repo

from sprint.claim import Claims
from sprint.git import Remote
from tests.killed_at import FOLLOW_UP
from tests.kills import script
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import Reply, call, finish
from tests.site import Site
from tests.widgets import CHECK, FILES, REPO

PLACES = ("run written", *FOLLOW_UP, "row written", "told", "released")


def follows(request: dict[str, Any], number: int) -> Reply:
    """As `script`; where it is told of a pull request, it does what the review asks for."""
    messages = request["messages"]
    if not any("Pull request #2" in str(message.get("content")) for message in messages):
        return script(request, number)
    done = [str(message.get("tool_calls", "")) for message in messages]
    if not any("edit_file" in calls for calls in done):
        return call("edit_file", {"path": "widgets.py", "old": "n + n", "new": "2 * n"})
    if not any(CHECK in calls for calls in done):
        return call("run_command", {"command": CHECK})
    return finish("implemented", "A product now.")


def test_killed_after_each_step_it_pushes_once(
    gitea: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel]
) -> None:
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    gitea.grant(REPO, "ann")
    follow = {"enabled": True, "debounce_seconds": 0}
    repos = [{"name": REPO, "checks": [CHECK], "follow": follow}]
    site = Site(workspaces / "site", gitea, model_server(follows), repos=repos)
    assert site.sprint("run", REPO).returncode == 0
    (pull,) = gitea.pulls(REPO)
    said = ("widgets.py", 2, "Write it as a product.")
    gitea.add_review(REPO, pull.number, "ann", "REQUEST_CHANGES", "Not like this.", lines=[said])
    for place in PLACES:
        tick = site.start("run", REPO, killed_at=place)
        assert tick.wait() == -signal.SIGKILL, f"{place}: {tick.out.read_text()}{tick.err.read_text()}"
    done = site.sprint("run", REPO)
    assert done.returncode == 0, done.stderr
    assert [row["outcome"] for row in site.rows()] == ["pr_opened", "pr_updated"]
    second, first = Repo(gitea.path(REPO)).iter_commits("main..feat/issue-1")
    assert second.parents == (first,)
    assert pull.pull is not None
    assert pull.pull.pushers == [gitea.login]
    assert len([line for review in pull.pull.reviews for line in review.lines]) == 2
    assert len(pull.comments) == len(gitea.comments(REPO, 1)) == 1
    assert "So far: 1 attempt, 1 follow-up, " in gitea.comments(REPO, 1)[0].body
    claim = Claims(site.path / "judge.git", Remote(str(gitea.path(REPO))), "judge").read()[1]
    assert (claim.state, claim.outcome, claim.attempt, claim.rounds) == ("released", "pr_updated", 1, 1)
    assert claim.follow.head == second.hexsha
    assert list((site.path / "results" / "active").iterdir()) == []
    assert list(site.workspaces.iterdir()) == []
