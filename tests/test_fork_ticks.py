"""`publish.via: fork`: whole ticks whose branch goes to a fork of the bot's account."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sprint.claim import Claims
from sprint.domain import Secret
from sprint.git import Remote
from tests.kills import killed_at, script
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.site import Site
from tests.widgets import CHECK, FILES, REPO


@pytest.fixture
def site(forge_server: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel]) -> Site:
    forge_server.add_repo(REPO, FILES)
    forge_server.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    repos = [{"name": REPO, "checks": [CHECK], "publish": {"via": "fork"}}]
    return Site(workspaces / "site", forge_server, model_server(script), repos=repos)


def assert_one_from_the_fork(forge: DemoForge, site: Site) -> None:
    (row,) = site.rows()
    assert row["outcome"] == "pr_opened"
    (pull,) = forge.pulls(REPO)
    assert pull.pull is not None
    assert (pull.pull.head_repo, pull.author) == (f"{forge.login}/widgets", forge.login)
    assert row["pr_url"].endswith(f"/{pull.number}")
    refs = forge.refs(REPO)
    assert [ref for ref in refs if ref.startswith("refs/heads/")] == ["refs/heads/main"]
    assert "refs/sprint/issue-1" in refs, "claims stay where every host looks for them"
    claim = Claims(site.path / "judge.git", Remote(str(forge.path(REPO))), "judge").read()[1]
    assert (claim.outcome, claim.pr) == ("pr_opened", pull.number)


def test_a_tick_proposes_from_the_fork_and_the_next_one_knows_it(forge_server: DemoForge, site: Site) -> None:
    forge_server.store.slow_forks = 2
    done = site.sprint("run", REPO)
    assert done.returncode == 0, done.stderr
    assert_one_from_the_fork(forge_server, site)
    (pull,) = forge_server.pulls(REPO)
    # Its words may be edited and its claim may go: by its branch it is still known for ours.
    pull.title, pull.body = "Doubled", ""
    claims = Claims(
        site.path / "judge.git", Remote(f"{forge_server.url}/{REPO}.git", Secret(forge_server.token)), "judge"
    )
    claims.forget(claims.read()[1])
    again = site.sprint("run", REPO)
    assert f"pull request #{pull.number} is open for it" in again.stdout, again.stdout + again.stderr
    forge_server.merge(REPO, pull.number)
    assert "double" in forge_server.file(REPO, "main", "widgets.py")


@pytest.mark.parametrize(
    ("forge_server", "place"),
    [("github", "fork made"), ("gitea", "pushed again"), ("github", "pull request opened")],
    indirect=["forge_server"],
)
def test_killed_on_the_way_it_makes_one_of_each(forge_server: DemoForge, site: Site, place: str) -> None:
    killed_at(site, place)
    after = site.sprint("run", REPO)
    assert after.returncode == 0, after.stderr
    assert_one_from_the_fork(forge_server, site)
    assert list(forge_server.store.repos) == [REPO, f"{forge_server.login}/widgets"]


def test_an_account_that_cannot_fork_is_told_before_a_claim(forge_server: DemoForge, site: Site) -> None:
    own = f"{forge_server.login}/tools"
    forge_server.add_repo(own, FILES)
    forge_server.add_issue(own, "double() is off by one", "double(2) must be 4.")
    site.settings["repos"] = [{"name": own, "checks": [CHECK], "publish": {"via": "fork"}}]
    site.write()
    done = site.sprint("run", own)
    assert (done.returncode, site.model.asked) == (3, [])
    assert "nobody can fork; give the bot an account of its own" in done.stderr
    assert not [ref for ref in forge_server.refs(own) if ref.startswith("refs/sprint/")]
