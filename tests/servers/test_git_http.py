"""Git over HTTP against the embedded forge, with the real git."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.servers.forge import DemoForge, Fault

REPO = "acme/widgets"


def git(*args: object, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(["git", *map(str, args)], cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 or not check, done.stderr
    return done


def address(forge: DemoForge, token: str | None = None, repo: str = REPO) -> str:
    token = forge.token if token is None else token
    return forge.url.replace("://", f"://anyone:{token}@") + f"/{repo}.git"


@pytest.fixture
def clone(gitea: DemoForge, tmp_path: Path) -> Path:
    gitea.add_repo(REPO, {"README.md": "widgets\n"}, "trunk", private=True)
    git("clone", "-q", address(gitea), "clone", cwd=tmp_path)
    return tmp_path / "clone"


def commit(clone: Path, name: str = "new.txt", content: bytes = b"new\n") -> str:
    (clone / name).write_bytes(content)
    git("add", "-A", cwd=clone)
    git("commit", "-qm", f"Add {name}", cwd=clone)
    return git("rev-parse", "HEAD", cwd=clone).stdout.strip()


def test_clones_the_default_branch(gitea: DemoForge, clone: Path) -> None:
    assert git("symbolic-ref", "--short", "HEAD", cwd=clone).stdout.strip() == "trunk"
    assert (clone / "README.md").read_text() == "widgets\n"


@pytest.mark.parametrize("token", ["", "wrong"])
def test_private_repositories_want_a_token(gitea: DemoForge, clone: Path, token: str) -> None:
    refused = git("ls-remote", address(gitea, token), cwd=clone, check=False)
    assert refused.returncode != 0
    assert "Authentication failed" in refused.stderr or "could not read" in refused.stderr
    assert git("ls-remote", address(gitea), cwd=clone).stdout


def test_public_repositories_are_read_by_anybody_and_pushed_by_few(gitea: DemoForge, clone: Path) -> None:
    gitea.repo(REPO).private = False
    anonymous = f"{gitea.url}/{REPO}"
    assert "refs/heads/trunk" in git("ls-remote", anonymous, cwd=clone).stdout
    commit(clone)
    assert git("push", anonymous, "HEAD:x", cwd=clone, check=False).returncode != 0
    stranger = gitea.add_user("stranger")
    refused = git("push", address(gitea, stranger), "HEAD:x", cwd=clone, check=False)
    assert refused.returncode == 1
    assert "[remote rejected] HEAD -> x (pre-receive hook declined)" in refused.stderr
    assert "remote: error: User permission denied for writing." in refused.stderr
    assert "not found" in git("ls-remote", address(gitea, repo="acme/none"), cwd=clone, check=False).stderr
    assert set(gitea.refs(REPO)) == {"refs/heads/trunk"}


def test_large_chunked_pushes_and_fetches_flow_through(gitea: DemoForge, clone: Path, tmp_path: Path) -> None:
    sha = commit(clone, "large", os.urandom(8_000_000))
    git("-c", "http.postBuffer=65536", "push", "-q", address(gitea), "HEAD:refs/heads/feat", cwd=clone)
    assert gitea.refs(REPO)["refs/heads/feat"] == sha
    push = [seen for seen in gitea.requests if seen.path.endswith("/git-receive-pack")][-1]
    assert push.headers["transfer-encoding"] == "chunked"
    git("clone", "-q", "--branch", "feat", address(gitea), "second", cwd=tmp_path)
    assert (tmp_path / "second/large").stat().st_size == 8_000_000


def test_compressed_requests_are_understood(
    gitea: DemoForge, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2037-01-01T00:00:00Z")  # newest, so they are offered first
    for number in range(60):
        git("commit", "-q", "--allow-empty", "-m", f"mine {number}", cwd=clone)
    theirs = gitea.commit(REPO, "trunk", "Theirs", {"theirs.txt": "x"})
    git("-c", "protocol.version=0", "fetch", "-q", address(gitea), "trunk", cwd=clone)
    assert any(seen.headers.get("content-encoding") == "gzip" for seen in gitea.requests)
    assert git("rev-parse", "FETCH_HEAD", cwd=clone).stdout.strip() == theirs


def test_one_of_many_wins_a_ref(gitea: DemoForge, clone: Path) -> None:
    ids = [commit(clone, f"{number}.txt") for number in range(6)]
    ref = "refs/sprint/issue-1"

    def claim(sha: str) -> int:
        lease = f"--force-with-lease={ref}:"
        return git("push", "-q", address(gitea), f"{sha}:{ref}", lease, cwd=clone, check=False).returncode

    with ThreadPoolExecutor(6) as pool:
        codes = list(pool.map(claim, ids))
    assert codes.count(0) == 1
    assert gitea.refs(REPO)[ref] == ids[codes.index(0)]
    seen = git("ls-remote", address(gitea), "refs/sprint/*", cwd=clone).stdout
    assert seen.split() == [ids[codes.index(0)], ref]


def test_a_push_moves_its_open_pull_request(gitea: DemoForge, clone: Path) -> None:
    first = commit(clone)
    git("push", "-q", address(gitea), "HEAD:feat", cwd=clone)
    gitea.add_pull(REPO, "feat")
    second = commit(clone, "more.txt")
    git("push", "-q", address(gitea), "HEAD:feat", cwd=clone)
    assert first != second
    assert gitea.issue(REPO, 1).pull.head_sha == second  # type: ignore[union-attr]
    assert gitea.refs(REPO)["refs/pull/1/head"] == second
    refused = git("push", address(gitea), "HEAD~1:refs/pull/1/head", "--force", cwd=clone, check=False)
    assert "hidden ref" in refused.stderr


def test_protected_branches_and_workflows_are_rejected(forge_server: DemoForge, tmp_path: Path) -> None:
    forge_server.add_repo(REPO, {"README.md": "widgets\n"})
    git("clone", "-q", address(forge_server), "clone", cwd=tmp_path)
    clone = tmp_path / "clone"
    commit(clone)
    forge_server.protect(REPO, "main")
    forge_server.refuse_workflows(REPO)
    refused = git("push", address(forge_server), "HEAD:main", cwd=clone, check=False)
    assert "pre-receive hook declined" in refused.stderr
    assert "rotected branch" in refused.stderr
    git("push", "-q", address(forge_server), "HEAD:feat", cwd=clone)
    (clone / ".github/workflows").mkdir(parents=True)
    commit(clone, ".github/workflows/x.yml")
    refused = git("push", address(forge_server), "HEAD:feat", cwd=clone, check=False)
    assert "without `workflow` scope" in refused.stderr


def test_renamed_and_archived_repositories(gitea: DemoForge, clone: Path) -> None:
    gitea.rename_repo(REPO, "acme/gadgets")
    assert "refs/heads/trunk" in git("ls-remote", address(gitea), cwd=clone).stdout
    gitea.repo("acme/gadgets").archived = True
    commit(clone)
    refused = git("push", address(gitea, repo="acme/gadgets"), "HEAD:x", cwd=clone, check=False)
    assert "remote: This repo is archived." in refused.stderr
    assert "403" in refused.stderr


def test_a_page_of_html_clones_as_an_empty_repository(gitea: DemoForge, clone: Path, tmp_path: Path) -> None:
    """The trap that clients have to see: git itself takes a sign-in page for a repository without refs."""
    page = {"Content-Type": "text/html"}
    gitea.faults.append(
        Fault("/info/refs", status=200, headers=page, body="<html>Sign in</html>", times=None)
    )
    done = git("clone", "-q", address(gitea), "trap", cwd=tmp_path, check=False)
    assert done.returncode != 0 or not (tmp_path / "trap/README.md").exists()


def test_faults_strike_git_too(gitea: DemoForge, clone: Path) -> None:
    sha = commit(clone)
    gitea.faults += [
        Fault("/info/refs", status=503),
        Fault("/git-receive-pack", method="POST", drop=True, after=True),
    ]
    assert git("ls-remote", address(gitea), cwd=clone, check=False).returncode != 0
    assert git("push", address(gitea), "HEAD:feat", cwd=clone, check=False).returncode != 0
    assert gitea.refs(REPO)["refs/heads/feat"] == sha


def test_commits_of_others_and_conflicts(gitea: DemoForge, clone: Path) -> None:
    gitea.commit(REPO, "one", "One", {"README.md": "one\n", "run.sh": "#!/bin/sh\n"})
    gitea.commit(REPO, "two", "Two", {"README.md": None})
    gitea.merge(REPO, gitea.add_pull(REPO, "one"))
    assert gitea.file(REPO, "trunk", "README.md") == "one\n"
    number = gitea.add_pull(REPO, "two")
    with pytest.raises(Exception, match="conflict"):
        gitea.merge(REPO, number)
    assert gitea.issue(REPO, number).state == "open"
