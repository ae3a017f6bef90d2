"""The switch for people: one host pauses a repository, no host begins a run, until it is lifted."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sprint import git, repo_pause
from sprint.claim import Claims, copy_path
from sprint.domain import Secret
from sprint.errors import ForgeError
from sprint.repo_pause import RepoPause
from tests.kills import script
from tests.servers.forge import DemoForge, Fault
from tests.servers.model import DemoModel
from tests.site import Site
from tests.widgets import CHECK, FILES, REPO

OTHER = "acme/gadgets"
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(gitea: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel]) -> MakeSite:
    for name in (REPO, OTHER):
        gitea.add_repo(name, FILES)
        gitea.add_issue(name, "double() is off by one", "double(2) must be 4.")

    def make(name: str = "site", **settings: Any) -> Site:
        repos = [{"name": repo, "checks": [CHECK], "sandbox": {"kind": "none"}} for repo in (REPO, OTHER)]
        return Site(workspaces / name, gitea, model_server(script), **{"repos": repos, **settings})

    return make


def test_a_pause_holds_on_every_host_until_it_is_lifted(gitea: DemoForge, make_site: MakeSite) -> None:
    here, there = make_site("here"), make_site("there")
    paused = here.sprint("pause", REPO, "--why", "release week")
    assert (paused.returncode, paused.stderr) == (0, "")
    assert paused.stdout.count("\n") == 1
    for site in (here, there):
        done = site.sprint("run", REPO)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"{REPO}: paused since 2")
        assert ": release week; `sprint resume acme/widgets` lifts it" in done.stdout
        assert site.rows() == []
        dry = site.sprint("run", REPO, "--dry-run")
        assert "would pick nothing: paused since" in dry.stdout
        asked_for = site.sprint("run", REPO, "--issue", "1", "--force")
        assert (asked_for.returncode, "paused since" in asked_for.stdout) == (1, True)
    assert there.sprint("run", OTHER).returncode == 0
    assert [row["repo"] for row in there.rows()] == [OTHER], "another repository is none of its business"
    assert there.sprint("resume", REPO).stdout == f"{REPO}: hosts begin runs again\n"
    assert there.sprint("resume", REPO).stdout == f"{REPO}: it was not paused\n"
    assert here.sprint("run", REPO).returncode == 0
    assert [row["outcome"] for row in here.rows()] == ["pr_opened"]


def test_all_pauses_each_and_a_failure_stops_no_other(gitea: DemoForge, make_site: MakeSite) -> None:
    site = make_site()
    gitea.faults.append(Fault(f"/repos/{REPO}$", times=1, status=403, body='{"message": "no"}'))
    done = site.sprint("pause", "--all")
    assert done.returncode == 3
    assert done.stdout.startswith(f"{OTHER}: paused")
    assert done.stderr.count("\n") == 1
    assert [repo_pause.REF in gitea.refs(repo) for repo in (REPO, OTHER)] == [False, True]
    assert site.sprint("resume", "--all").returncode == 0
    assert repo_pause.REF not in gitea.refs(OTHER)


@pytest.mark.parametrize("args", [("pause",), ("resume",), ("pause", "--all", REPO)])
def test_which_repositories_are_meant_must_be_said(make_site: MakeSite, args: tuple[str, ...]) -> None:
    done = make_site().sprint(*args)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_a_run_under_way_goes_on(gitea: DemoForge, workspaces: Path, model_server: Any) -> None:
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    sites: list[Site] = []

    def pausing(request: dict[str, Any], number: int) -> Any:
        if number == 0:
            assert sites[0].sprint("pause", REPO).returncode == 0
        return script(request, number)

    repos = [{"name": REPO, "checks": [CHECK], "sandbox": {"kind": "none"}}]
    sites.append(Site(workspaces / "site", gitea, model_server(pausing), repos=repos))
    assert sites[0].sprint("run", REPO).returncode == 0
    assert [row["outcome"] for row in sites[0].rows()] == ["pr_opened"]


def test_pausing_again_changes_the_words(gitea: DemoForge, make_site: MakeSite) -> None:
    site = make_site()
    site.sprint("pause", REPO, "--why", "one")
    site.sprint("pause", REPO, "--why", "two\x1b[2J")
    said = site.sprint("run", REPO).stdout
    assert ": two" in said
    assert "\x1b" not in said


# --- the ref ---


@pytest.fixture
def remote(gitea: DemoForge) -> git.Remote:
    gitea.add_repo(REPO, FILES)
    return git.Remote(f"{gitea.url}/{REPO}.git", Secret(gitea.token))


def test_it_is_read_with_the_claims_and_known_afterwards_without_asking(
    gitea: DemoForge, remote: git.Remote, tmp_path: Path
) -> None:
    path = copy_path(tmp_path, "home", REPO)
    claims = Claims(path, remote, "here")
    assert repo_pause.last_known(path) is None
    assert claims.board().pause is None
    repo_pause.pause(tmp_path / "other.git", remote, "why", NOW)
    assert repo_pause.last_known(path) is None
    before = len(gitea.requests)
    board = claims.board()
    assert board.pause == RepoPause(NOW, "why")
    fetches = [seen.path for seen in gitea.requests[before:] if seen.path.endswith("git-upload-pack")]
    assert len(fetches) <= 2, "one dialogue: the refs, then the objects"
    before = len(gitea.requests)
    assert repo_pause.last_known(path) == RepoPause(NOW, "why")
    assert len(gitea.requests) == before
    repo_pause.resume(tmp_path / "other.git", remote)
    assert claims.board().pause is None
    assert repo_pause.last_known(path) is None


@pytest.mark.parametrize("message", ["", "not json", "{}", '{"since": 7}', '{"why": ["a"]}', "[]"])
def test_a_pause_that_says_nonsense_is_a_pause(remote: git.Remote, tmp_path: Path, message: str) -> None:
    claims = Claims(tmp_path / "c.git", remote, "here")
    claims.read()
    tree = git.EMPTY_TREE
    sha = git.commit_tree(claims.git_dir, tree, [], message or " ", "x", "x@example.org", NOW)
    git.push(claims.git_dir, remote, sha, repo_pause.REF, expected="")
    pause = claims.board().pause
    assert pause == RepoPause()
    assert pause.says(REPO) == "paused; `sprint resume acme/widgets` lifts it"
    assert repo_pause.resume(claims.git_dir, remote)


def test_a_moment_without_a_zone_is_utc() -> None:
    said = repo_pause.parse(json.dumps({"since": "2026-01-02T03:04:05", "why": "x"}))
    assert said.says(REPO).startswith("paused since 2026-01-02 03:04 UTC: x;")


def test_a_server_that_refuses_the_ref_is_said(gitea: DemoForge, remote: git.Remote, tmp_path: Path) -> None:
    gitea.repo(REPO).rights[gitea.login] = "read"
    with pytest.raises(ForgeError, match="refuses the pause"):
        repo_pause.pause(tmp_path / "c.git", remote, "", NOW)
