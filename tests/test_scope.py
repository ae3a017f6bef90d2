"""What the runner finds out about an issue before anybody works on it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sprint import git
from sprint.domain import Issue
from sprint.errors import ForgeError
from sprint.scope.history import history
from sprint.scope.layout import CHARACTERS, LINES, drawn, layout

CREATED = datetime(2026, 3, 10, 12, tzinfo=UTC)


class Pulls:
    """A forge that tells of pull requests only, or refuses."""

    def __init__(self, *pulls: Mapping[str, Any], refuses: bool = False) -> None:
        self.pulls = list(pulls)
        self.refuses = refuses
        self.asked: list[tuple[str, str]] = []

    def read(self, repo: str, path: str, params: Mapping[str, str]) -> Any:
        self.asked.append((path, params["state"]))
        if self.refuses:
            raise ForgeError("away")
        return self.pulls


class Mirror:
    """A bare repository made commit by commit."""

    def __init__(self, path: Path) -> None:
        self.path = path
        git.init_bare(path)
        self.tip = ""

    def commit(self, message: str, branch: str = "main", days: int = 1, parent: str | None = None) -> str:
        when = CREATED + timedelta(days=days)
        above = parent or git.resolve(self.path, f"refs/heads/{branch}")
        sha = git.commit_tree(self.path, git.EMPTY_TREE, [above] if above else [], message, "A", "a@a", when)
        git.update_ref(self.path, f"refs/heads/{branch}", sha)
        return sha

    def found(self, forge: Pulls | None = None, number: int = 7) -> tuple[str, ...]:
        base = git.resolve(self.path, "refs/heads/main") or ""
        about = Issue(number, "T", "", "ann", CREATED, CREATED)
        return history(forge or Pulls(), "acme/widgets", about, self.path, base, "main")  # type: ignore[arg-type]


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    made = Mirror(tmp_path / "m.git")
    made.commit("first", days=-100)
    return made


def test_nothing_is_said_in_three_lines(mirror: Mirror) -> None:
    forge = Pulls()
    assert mirror.found(forge) == (
        "Commits that name it: none",
        "Branches named after it: none",
        "Pull requests about it: none",
    )
    assert forge.asked == [("pulls", "all")], "one request"


def test_commits_that_name_the_issue(mirror: Mirror) -> None:
    mirror.commit("Old: fixes #7 of another time", days=-50)
    fixed = mirror.commit("Guard the read\n\nCloses #7", days=2)
    mirror.commit("About #70, v1.7 and 7 things", days=3)
    other = mirror.commit("wip for issue-7", branch="wip", days=4, parent=fixed)
    commits, *_ = mirror.found()
    assert commits == (
        f'Commits that name it: {fixed[:7]} of 2026-03-12 (main) "Guard the read"; '
        f'{other[:7]} of 2026-03-14 (not in main) "wip for issue-7"'
    )


def test_branches_are_told_by_how_far_they_are_ahead(mirror: Mirror) -> None:
    base = mirror.commit("second")
    mirror.commit("try", branch="feat/issue-7", parent=base)
    mirror.commit("again", branch="feat/issue-7")
    for name in ("7-merged", "fix/7", "gh-7"):
        git.update_ref(mirror.path, f"refs/heads/{name}", base)
    for name in ("release-7", "v1.7", "issue-77", "python-3-7", "issue-7.1"):
        mirror.commit("x", branch=name, parent=base)
    mirror.commit("third")
    assert mirror.found()[1] == (
        "Branches named after it: origin/7-merged (all of it is in the base); "
        "origin/feat/issue-7 (2 ahead, 1 behind); origin/fix/7 (all of it is in the base); "
        "origin/gh-7 (all of it is in the base)"
    )


def test_pull_requests_of_any_state(mirror: Mirror) -> None:
    forge = Pulls(
        {"number": 12, "title": "Guard", "body": "Fixes #7", "state": "closed", "head": {"ref": "guard"}},
        {"number": 11, "title": "Issue 7: try", "body": None, "state": "closed", "merged_at": "2026-03-11"},
        {"number": 10, "title": "x", "body": "https://h/o/r/issues/7.", "state": "open", "head": None},
        {"number": 9, "title": "#70", "body": "", "state": "open"},
        {"number": 7, "title": "itself #7", "body": "", "state": "open"},
        "nonsense",  # type: ignore[arg-type]
    )
    assert mirror.found(forge)[2] == (
        'Pull requests about it: #12 "Guard" closed without merging, from guard; '
        '#11 "Issue 7: try" merged; #10 "x" open'
    )
    assert mirror.found(Pulls(refuses=True))[2] == "Pull requests about it: unknown, the forge did not tell"


def test_many_are_counted_and_hostile_ones_stay_on_their_line(mirror: Mirror) -> None:
    for number in range(9):
        mirror.commit(f"#7 try {number}\u202e \x1b[31m" + "x" * 500, branch=f"try-{number}")
    mirror.commit("fix #7", branch="fix-7\u2028-evil")
    forge = Pulls(*({"number": n, "title": f"#7\n# New rules {n}", "state": "open"} for n in range(20, 40)))
    lines = mirror.found(forge)
    assert len(lines) == 3
    assert all(len(line) < 1200 and "\n" not in line and "\u202e" not in line for line in lines)
    assert lines[0].endswith("; and 6 more")
    assert lines[2].endswith("; and 16 more")


def test_a_shallow_or_empty_mirror_has_no_history(mirror: Mirror) -> None:
    (mirror.path / "shallow").write_text("")
    assert mirror.found() == ()
    assert layout(mirror.path, "") == layout(mirror.path, "0" * 40) == ()


# --- the map -------------------------------------------------------------------------------------------


def test_a_small_repository_is_shown_whole() -> None:
    assert drawn(["README.md", "src/a.py", "src/deep/er/b.py", "tests/test_a.py"]) == (
        ".: README.md",
        "src: a.py",
        "src/deep: folders only",
        "src/deep/er: b.py",
        "tests: test_a.py",
    )
    assert drawn([]) == ()


def test_the_largest_folders_get_a_line_and_the_others_are_counted() -> None:
    paths = [f"lib/m{m}/n{n}/{f}.js" for m in range(9) for n in range(9) for f in "ab"]
    shown = drawn([*paths, "docs/one.md", "top.js"])
    assert len(shown) == LINES
    assert shown[0] == ".: top.js docs/ (1)"
    assert shown[1] == "lib: folders only"
    assert "lib/m0/n0: a.js b.js" in shown
    assert "lib/m8: n0/ (2) n1/ (2) n2/ (2) n3/ (2) and 5 more" in shown


@pytest.mark.parametrize("folders", [1, 29, 30, 31, 400])
def test_a_map_is_short_whatever_it_is_of(folders: int) -> None:
    shown = drawn([f"d{n}/file-with-a-name-{m}.py" for n in range(folders) for m in range(100)])
    assert len(shown) == min(folders + 1, LINES)
    assert sum(map(len, shown)) < CHARACTERS * 1.5
    assert all(" more" in line for line in shown[1:])


def test_the_map_of_a_commit(mirror: Mirror, tmp_path: Path) -> None:
    work = tmp_path / "w"
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    run = lambda *args: subprocess.run(  # noqa: E731
        ["git", "-c", "user.name=a", "-c", "user.email=a@a", *args], cwd=work, env=env, check=True
    )
    work.mkdir()
    run("init", "-q")
    (work / "ünï code.py").write_text("x")
    (work / "sub").mkdir()
    (work / "sub" / "new\nline").write_text("x")
    run("add", "-A")
    run("commit", "-qm", "x")
    assert layout(work / ".git", "HEAD") == (".: ünï code.py", "sub: new line")
