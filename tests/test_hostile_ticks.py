"""A whole tick against a hostile model, issue and colleague: nothing gets out, nothing stops the runner."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from git import Repo

from sprint import git
from sprint.claim import Claims, ref_of
from sprint.domain import Secret
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import call, finish
from tests.site import Site

REPO = "acme/wid.gets"  # a dot is nothing special in a repository's name
FILES = {
    "a.py": "one = 1\n",
    "test_a.py": "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): pass\n",
}
TITLE = "[[skip ci]] \u00e9@bob closes #\u200b7 [skip x://ci]"
# Longer than a line of a commit's message.
LEAK = "github_pat_" + "11ABCDEFG0123456789abc" + "_" + "aB3" * 19 + "zz"
# Prints what a runner might leave in reach.
LOOK = (
    "for f in /proc/[0-9]*/environ /proc/[0-9]*/cmdline /proc/[0-9]*/fd/*; do"
    ' test -f "$f" && timeout 1 head -c 100000 "$f" | tr "\\0" "\\n"; done 2>/dev/null;'
    " ls -l /proc/self/fd; cat /proc/mounts; cat /work/.*/* /work/.* 2>/dev/null"
)
# What took patterns of ours for ever: a long line after a return, and titles over many lines.
SPEW = r"""
import sys, unittest
sys.stderr.write("x\ry" + "a" * 900_000 + "\n  1 passing\n  1 failing\n  1) a\n" + (" " * 400 + "\n") * 9)
class T(unittest.TestCase):
    def test_a(self): pass
"""


@pytest.fixture
def make_site(workspaces: Path, model_server: Callable[..., DemoModel]) -> Callable[..., Site]:
    return lambda forge, script: Site(
        workspaces / "site", forge, model_server(script), repos=[{"name": REPO}]
    )


def test_a_hostile_run_reaches_no_secret_and_says_nothing_that_acts(
    gitea: DemoForge, make_site: Callable[..., Site]
) -> None:
    gitea.add_repo(REPO, FILES)
    bug = gitea.add_issue(REPO, TITLE, "@bob closes #7")
    summary = f"{LEAK} {'a' * 72}@carl\nxx[skip\tci] {'b' * 60} Co-authored-by: Eve <e@x.example> \u00e9@dave"
    script = [
        call("run_command", {"command": LOOK}),
        call("write_file", {"path": "test_a.py", "content": SPEW}),
        call("write_file", {"path": "Makefile", "content": "test " * 100_000}),
        call("run_command", {"command": "echo one = 2 >a.py; python3 -m unittest"}),
        finish("implemented", summary),
    ]
    site = make_site(gitea, script)
    done = site.sprint("run", REPO, timeout=100)
    assert done.returncode == 0, done.stderr
    assert site.rows()[0]["outcome"] == "pr_opened", site.rows()
    for path in (site.path / "results").rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert gitea.token.encode() not in data, path
            assert site.model.key.encode() not in data, path
    (pull,) = gitea.pulls(REPO)
    (commit,) = Repo(gitea.path(REPO)).iter_commits(f"main..feat/issue-{bug}")
    for text in (pull.title, pull.body, str(commit.message)):
        assert "[skip ci]" not in text
        assert not re.search("(?<![A-Za-z0-9])@(bob|carl|dave)", text)
        assert "#7" not in text
        assert LEAK[:20] not in text
    assert "\\[withheld\\]" in pull.body
    assert "[withheld]" in str(commit.message)
    assert "\nCo-authored-by:" not in str(commit.message)


def test_a_claim_that_a_colleague_forged_writes_nothing_on_the_terminal_and_overflows_nothing(
    gitea: DemoForge, make_site: Callable[..., Site], tmp_path: Path
) -> None:
    gitea.add_repo(REPO, FILES)
    bug = gitea.add_issue(REPO, "A bug", "It is.")
    site = make_site(gitea, [finish("question", "?", question="Which?")])
    remote = git.Remote(f"{gitea.url}/{REPO}.git", Secret(gitea.token))
    claims = Claims(tmp_path / "claims", remote, "eve")
    claims.read()
    state = {
        "state": "claimed",
        "run": "\x1b]0;owned\x07",
        "host": "\x1b[2Jeve",
        "attempt": 10**17,
        "expires": "2999-01-01T00:00:00Z",
    }
    sha = git.commit_tree(
        claims.git_dir,
        git.EMPTY_TREE,
        [],
        json.dumps(state),
        "eve",
        "eve@localhost",
        when=datetime.now(UTC),
    )
    git.push(claims.git_dir, remote, sha, ref_of(bug), expected="")
    passed_over = site.sprint("run", REPO)
    assert "claimed by" in passed_over.stdout
    assert "\x1b" not in passed_over.stdout
    dry = site.sprint("run", REPO, "--dry-run")
    assert "claimed by" in dry.stdout
    assert "\x1b" not in dry.stdout
    forced = site.sprint("run", REPO, "--issue", str(bug), "--force")
    assert "needs_human" in forced.stdout, forced.stderr
    assert site.rows()[0]["outcome"] == "needs_human"
    assert site.runs()[0]["phase"] == "settled"
