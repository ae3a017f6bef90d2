"""What people change on the forge between two ticks of one run, or had changed before its first."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sprint import git
from sprint.claim import Claims
from sprint.domain import Secret, replace
from sprint.git import Remote
from tests.kills import assert_one_of_each, script
from tests.servers.forge import DemoForge, Fault
from tests.servers.model import DemoModel
from tests.site import Site
from tests.widgets import CHECK, FILES, REPO

NEW_NAME = "acme/gadgets"


@pytest.fixture
def site(gitea: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel]) -> Site:
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    repos = [{"name": REPO, "checks": [CHECK], "sandbox": {"kind": "none"}}]  # for speed: it is not in play
    return Site(workspaces / "site", gitea, model_server(script), repos=repos)


def killed(site: Site, place: str) -> None:
    tick = site.start("run", REPO, killed_at=place)
    assert tick.wait() == -signal.SIGKILL, tick.err.read_text()


def outcomes(site: Site) -> list[str]:
    return [row["outcome"] for row in site.rows()]


def claims(site: Site, forge: DemoForge, repo: str = REPO) -> Claims:
    return Claims(site.path / "judge.git", Remote(f"{forge.url}/{repo}.git", Secret(forge.token)), "judge")


@pytest.mark.parametrize(
    ("place", "known_as"), [("checked at the base", REPO), ("checked at the result", NEW_NAME)]
)
def test_a_repository_renamed_between_ticks(gitea: DemoForge, site: Site, place: str, known_as: str) -> None:
    """Whether the operator changes sprint.yaml or not."""
    killed(site, place)
    gitea.rename_repo(REPO, NEW_NAME)
    site.settings["repos"][0]["name"] = known_as
    site.write()
    done = site.sprint("run", known_as)
    assert done.returncode == 0, done.stderr
    assert outcomes(site) == ["pr_opened"]
    assert len(gitea.pulls(NEW_NAME)) == 1
    assert list((site.path / "results/active").iterdir()) == []
    assert claims(site, gitea, NEW_NAME).read()[1].state == "released"


@pytest.mark.parametrize(("place", "status"), [("claim noted", 404), ("committed", 410)])
def test_an_issue_deleted_between_ticks(gitea: DemoForge, site: Site, place: str, status: int) -> None:
    killed(site, place)
    gone = Fault("/issues/1(/|$)", times=None, status=status, body=b'{"message": "gone"}')
    gitea.faults += [gone, Fault(r"/issues\?", times=None, status=200, body=b"[]")]
    done = site.sprint("run", REPO)
    assert done.returncode == 0, done.stderr
    assert outcomes(site) == ["cancelled"]
    assert gitea.pulls(REPO) == []
    assert "refs/heads/feat/issue-1" not in gitea.refs(REPO)
    assert list((site.path / "results/active").iterdir()) == []


def test_the_default_branch_changed_between_ticks(gitea: DemoForge, site: Site) -> None:
    killed(site, "worked")
    gitea.commit(REPO, "trunk", "Begin the trunk", {"README": "x\n"})
    gitea.repo(REPO).default_branch = "trunk"
    done = site.sprint("run", REPO)
    assert done.returncode == 0, done.stderr
    assert_one_of_each(gitea, site)


def test_somebodys_branch_of_our_name_is_left_alone(gitea: DemoForge, site: Site) -> None:
    theirs = gitea.commit(REPO, "feat/issue-1", "Mine", {"mine": "x\n"})
    assert site.sprint("run", REPO).returncode == 0
    assert_one_of_each(gitea, site)
    assert gitea.refs(REPO)["refs/heads/feat/issue-1"] == theirs
    assert site.rows()[0]["branch"] == "feat/issue-1-2"


def test_a_closed_pull_request_and_then_a_comment_begin_anew(gitea: DemoForge, site: Site) -> None:
    site.sprint("run", REPO)
    (first,) = gitea.pulls(REPO)
    gitea.close_issue(REPO, first.number)
    closed = gitea.pulls(REPO)[0]
    assert closed.closed_at is not None
    closed.closed_at -= timedelta(minutes=1)  # the forge's clock has whole seconds only
    idle = site.sprint("run", REPO)
    assert "a comment or an edit has it tried again" in idle.stdout
    gitea.add_user("ada")
    gitea.grant(REPO, "ada")
    gitea.add_comment(REPO, 1, "ada", "Not like this.")
    again = site.sprint("run", REPO)
    assert again.returncode == 0, again.stderr
    assert outcomes(site) == ["pr_opened", "pr_opened"]
    assert [(row["branch"], row["attempt"]) for row in site.rows()] == [
        ("feat/issue-1", "1"),
        ("feat/issue-1-2", "1"),
    ]


def test_two_result_directories_of_one_host_are_two_hosts(gitea: DemoForge, site: Site) -> None:
    """A run that one of them has under way is none of the other's business."""
    killed(site, "checked at the base")
    text = (site.path / "sprint.yaml").read_text()
    (site.path / "other.yaml").write_text(text.replace("results: results", "results: elsewhere"))
    other = site.sprint("--config", "other.yaml", "run", REPO)
    assert other.returncode == 0, other.stderr
    assert "claimed by" in other.stdout
    assert site.sprint("run", REPO).returncode == 0
    assert_one_of_each(gitea, site)


def test_a_failing_repository_stops_no_other(gitea: DemoForge, site: Site) -> None:
    gitea.add_repo("acme/gone-wrong", FILES)
    gitea.add_issue("acme/gone-wrong", "double() is off by one", "double(2) must be 4.")
    gitea.faults.append(Fault("/repos/acme/gone-wrong/pulls", times=None, status=403))
    site.settings["repos"].insert(0, {"name": "acme/gone-wrong", "checks": [CHECK]})
    site.settings["repos"].append({"name": "acme/no-such", "checks": [CHECK]})
    site.write()
    done = site.sprint("run", "--jobs", "3")
    assert done.returncode == 3
    assert done.stderr.count("\n") == 2, done.stderr
    assert_one_of_each(gitea, site)


def test_a_claim_of_a_newer_version_is_understood(gitea: DemoForge, site: Site) -> None:
    now = datetime.now(UTC)
    board = claims(site, gitea)
    theirs = board.take(1, "their-run", "", None, now)
    assert theirs is not None
    message = (
        '{"state": "claimed", "run": "their-run", "host": "new", "attempt": 1, "lanes": {"a": [1]}, '
        f'"expires": "{(now + timedelta(minutes=9)).isoformat()}", "pr": null, "schema": 7}}'
    )
    sha = git.commit_tree(
        board.git_dir, git.EMPTY_TREE, [theirs.sha], message, "sprint", "s@localhost", when=now
    )
    git.push(board.git_dir, board.remote, sha, "refs/sprint/issue-1", expected=theirs.sha)
    assert "claimed by new" in site.sprint("run", REPO).stdout
    fresh = replace(theirs, sha=sha)
    assert board.release(fresh, now, outcome="interrupted") is not None
    assert site.sprint("run", REPO).returncode == 0
    assert outcomes(site) == ["pr_opened"]


def test_a_repository_out_of_sight_for_a_while_costs_no_work(gitea: DemoForge, site: Site) -> None:
    """A token between two owners' hands is answered with 404."""
    hidden = Fault("git-receive-pack$", method="POST", times=None, skip=1, status=404)
    gitea.faults.append(hidden)
    assert site.sprint("run", REPO).returncode == 3
    gitea.faults.remove(hidden)
    assert site.sprint("run", REPO).returncode == 0
    assert_one_of_each(gitea, site)


def test_a_pull_request_merged_before_its_run_could_note_it_counts(gitea: DemoForge, site: Site) -> None:
    """Its issue is closed then, which is no reason to call the run cancelled."""
    killed(site, "pull request opened")
    (pull,) = gitea.pulls(REPO)
    gitea.merge(REPO, pull.number)
    gitea.close_issue(REPO, 1)
    done = site.sprint("run", REPO)
    assert done.returncode == 0, done.stderr
    assert_one_of_each(gitea, site)


def test_nothing_is_published_while_the_forge_does_not_say_if_it_is_wanted(
    gitea: DemoForge, site: Site
) -> None:
    unknown = Fault("/issues/1$", method="GET", times=None, skip=1, status=403)
    gitea.faults.append(unknown)
    done = site.sprint("run", REPO)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
    assert gitea.pulls(REPO) == []
    gitea.faults.remove(unknown)
    assert site.sprint("run", REPO).returncode == 0
    assert_one_of_each(gitea, site)
