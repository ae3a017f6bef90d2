"""What becomes of the habits of weak models: the pull request, or the comment, as a maintainer reads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from git import Repo

from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import Reply, call, finish
from tests.servers.store import StoredIssue
from tests.site import Site
from tests.widgets import CHECK, CHECKED, FIX, REPO, WORKFLOW, backlog

PROVEN = "**Proven**: one check passes at the base and with this change (1 test)."
REPRODUCTION = call("write_file", {"path": "reproduce_issue.py", "content": "import widgets\n"})
BACKUP = call("run_command", {"command": "cp widgets.py widgets.py.bak; git diff >patch.txt"})
DONE = finish("implemented", "double() no longer adds one.")

Night = Callable[[list[Reply]], tuple[Site, dict[str, str]]]


@pytest.fixture
def night(gitea: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel]) -> Night:
    """One tick with these answers; the site, and the row that it wrote."""

    def run(answers: list[Reply]) -> tuple[Site, dict[str, str]]:
        backlog(gitea)
        repos: list[Any] = [{"name": REPO, "checks": [CHECK]}]
        site = Site(workspaces / "site", gitea, model_server(answers), repos=repos)
        done = site.sprint("run", REPO)
        assert done.returncode == 0, done.stderr
        (row,) = site.rows()
        return site, row

    return run


def the_pull(forge: DemoForge) -> StoredIssue:
    (pull,) = forge.pulls(REPO)
    return pull


def changed(forge: DemoForge) -> list[str]:
    """The paths of the pull request, with what was done to each."""
    pull = the_pull(forge).pull
    assert pull is not None
    repo = Repo(forge.path(REPO))
    return [f"{diff.change_type} {diff.b_path}" for diff in repo.commit("main").diff(repo.commit(pull.head))]


def told(site: Site) -> str:
    """All results of tools that the model was given."""
    messages = site.model.asked[-1].body["messages"]
    return "\n".join(str(message["content"]) for message in messages if message["role"] == "tool")


def test_scratch_alone_is_no_change(night: Night, gitea: DemoForge) -> None:
    site, row = night([REPRODUCTION, BACKUP, DONE])
    assert (row["outcome"], row["proof"]) == ("no_change", "")
    assert gitea.pulls(REPO) == []
    assert "**No tracked file is changed.** There is nothing to hand in." in told(site)
    (comment,) = gitea.comments(REPO, 2)
    assert "The run ended without a change." in comment.body
    assert r"only scratch: patch.txt, reproduce\_issue.py, widgets.py.bak" in comment.body


def test_scratch_beside_the_fix_is_left_out_and_said(night: Night, gitea: DemoForge) -> None:
    site, row = night([REPRODUCTION, FIX, BACKUP, CHECKED, DONE])
    assert (row["outcome"], row["proof"]) == ("pr_opened", "proven")
    pull = the_pull(gitea)
    assert pull.body.splitlines()[0] == PROVEN
    assert pull.title.startswith("fix: "), "ready for review"
    assert changed(gitea) == ["M widgets.py"]
    left_out = "`patch.txt`, `reproduce_issue.py`, `widgets.py.bak`"
    assert f"Left out as scratch, which nothing refers to: {left_out}.\n" in pull.body
    assert "- `reproduce_issue.py`" in told(site)


def test_python_works_where_there_is_only_python3(night: Night, gitea: DemoForge) -> None:
    """The habit that lost the fix on plain Debian: a script of its own makes the change, run by `python`."""
    script = "p = 'widgets.py'; s = open(p).read(); open(p, 'w').write(s.replace('n + n + 1', 'n + n'))\n"
    by_script = [
        call("write_file", {"path": "fix_widgets.py", "content": script}),
        call("run_command", {"command": "python fix_widgets.py && python -m unittest -v"}),
    ]
    _, row = night([*by_script, DONE])
    assert (row["outcome"], row["proof"]) == ("pr_opened", "proven")
    assert changed(gitea) == ["M widgets.py"]
    assert "Left out as scratch, which nothing refers to: `fix_widgets.py`." in the_pull(gitea).body


def test_checks_that_it_never_ran_are_run_by_the_runner(night: Night, gitea: DemoForge) -> None:
    site, row = night([FIX, DONE])
    assert (row["outcome"], row["proof"], row["turns"]) == ("pr_opened", "proven", "3")
    assert f"- `{CHECK}`: no" in told(site)
    assert the_pull(gitea).body.splitlines()[0] == PROVEN
    assert f"| `{CHECK}` | passed (1 test) | passed (1 test) | ok |" in the_pull(gitea).body


def test_a_workflow_file_goes_back_to_it(night: Night, gitea: DemoForge) -> None:
    """At the review, and as a refusal where it hands in all the same; without it the rest is published."""
    site, row = night([FIX, WORKFLOW, CHECKED, DONE, call("run_command", {"command": "rm -r .github"}), DONE])
    assert "The runner would refuse it:\n- `.github/workflows/x.yml`: " in told(site)
    assert "The runner may not publish what you handed in:" in str(site.model.asked[-1].body["messages"])
    assert (row["outcome"], row["proof"]) == ("pr_opened", "proven")
    assert changed(gitea) == ["M widgets.py"]
    assert ".github" not in the_pull(gitea).body
