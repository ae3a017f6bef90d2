"""Any program as a worker: through a whole tick, cancelled, over its time, killed with its runner."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sprint import prompts
from sprint.config import CommandWorkerConfig
from sprint.domain import Ending, replace
from sprint.runs import RunStore
from sprint.worker import handover
from sprint.worker.attached import Attached
from sprint.worker.command import CommandPerformer
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.site import Site
from tests.some_task import a_task
from tests.widgets import CHECK, FILES, FIX_COMMAND, REPO
from tests.worker.conftest import Bench


def worker(bench: Bench, command: str, **more: str) -> Attached:
    config = CommandWorkerConfig(command=command, **more)  # type: ignore[arg-type]
    return Attached(CommandPerformer(config), RunStore(bench.results))


@pytest.mark.parametrize(("how", "reading"), [("stdin", "cat"), ("file", 'cat "$SPRINT_PROMPT"')])
def test_it_is_told_and_hands_over(bench: Bench, how: str, reading: str) -> None:
    made = worker(bench, f"{reading} >told; echo well >made; echo All done. >$SPRINT_SUMMARY", prompt=how)
    made.start(bench.job)
    result = made.collect(bench.job)
    assert (result.ending, result.summary) == (Ending.IMPLEMENTED, "All done.")
    assert bench.file("told").read_text() == "You fix issues.\n\nFix issue 3."
    assert bench.git("status", "--porcelain").splitlines() == ["?? made", "?? told"]


def test_a_question_wins_and_a_failure_says_its_last_words(bench: Bench) -> None:
    asking = worker(bench, "echo Which? >$SPRINT_QUESTION; echo x >$SPRINT_SUMMARY; exit 3")
    asking.start(bench.job)
    result = asking.collect(bench.job)
    assert (result.ending, result.detail, result.summary) == (Ending.QUESTION, "Which?", "x")
    failing = worker(bench, "echo no such luck >&2; exit 3")
    failing.resume(bench.job, "Again.")
    result = failing.collect(bench.job)
    assert (result.ending, result.detail) == (Ending.ERROR, "the command exited with 3: no such luck")
    assert result.summary == "", "the first run's hand-over is gone"


def test_a_further_round_tells_everything_again(bench: Bench) -> None:
    made = worker(bench, "cat >told")
    made.start(bench.job)
    made.resume(bench.job, "The checks fail.")
    assert bench.file("told").read_text() == "You fix issues.\n\nFix issue 3.\n\nThe checks fail."


def test_it_is_told_where_to_hand_over(bench: Bench) -> None:
    told = worker(bench, "true").prompt(a_task(root="/srv/ws"))
    assert "write `/srv/ws/tmp/handover/summary.md`" in told.system
    assert "write `/srv/ws/tmp/handover/question.md` as well" in told.system


@pytest.mark.parametrize(
    ("summary", "commit"),
    [
        ("**Already fixed: `abcdef1`**\n\nSeen.", "abcdef1"),
        ("Already fixed by somebody", ""),
        ("I think it was\nALREADY FIXED abcdef1", ""),
        ("", ""),
    ],
)
def test_what_a_summary_says(summary: str, commit: str) -> None:
    assert handover.result(summary, "").commit == commit
    assert handover.result(summary, "Which?").ending is Ending.QUESTION


def test_what_is_fixed_already_is_told_by_its_commit(bench: Bench) -> None:
    head = bench.git("rev-parse", "HEAD")
    made = worker(bench, f"printf '{prompts.ALREADY_FIXED} {head}\\nSeen by running it.' >$SPRINT_SUMMARY")
    made.start(bench.job)
    result = made.collect(bench.job)
    assert (result.ending, result.commit) == (Ending.ALREADY_FIXED, head)
    assert result.summary == "Seen by running it."


@pytest.mark.parametrize(
    "plant", ["ln -s /etc/passwd $SPRINT_SUMMARY", "mkfifo $SPRINT_SUMMARY", "mkdir $SPRINT_SUMMARY"]
)
def test_what_is_no_plain_file_is_no_hand_over(bench: Bench, plant: str) -> None:
    made = worker(bench, plant)
    made.start(bench.job)
    assert made.collect(bench.job).summary == ""


def test_it_is_cancelled_within_two_seconds_with_all_that_it_started(bench: Bench) -> None:
    began = time.monotonic()
    bench.job = replace(
        bench.job, watch=lambda: "the issue was closed" if time.monotonic() > began + 0.5 else ""
    )
    made = worker(bench, "setsid sleep 4321 & sleep 4321")
    made.start(bench.job)
    assert time.monotonic() - began < 2.5
    result = made.collect(bench.job)
    assert (result.ending, result.detail) == (Ending.CANCELLED, "the issue was closed")
    assert subprocess.run(["pgrep", "-f", "sleep 4321"], capture_output=True).returncode == 1


def test_its_time_is_limited_over_all_rounds(bench: Bench) -> None:
    bench.limit(minutes=0.02)
    made = worker(bench, "sleep 60")
    made.start(bench.job)
    assert made.collect(bench.job).ending is Ending.LIMIT
    began = time.monotonic()
    made.resume(bench.job, "Go on.")
    assert made.collect(bench.job).ending is Ending.LIMIT
    assert time.monotonic() - began < 1


@pytest.fixture
def site(gitea: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel]) -> Site:
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    return Site(
        workspaces / "site",
        gitea,
        model_server([]),
        workers={"script": {"kind": "command", "command": FIX_COMMAND}},
        repos=[{"name": REPO, "checks": [CHECK], "worker": "script"}],
    )


def test_a_whole_tick_to_a_pull_request(site: Site, gitea: DemoForge) -> None:
    done = site.sprint("run", REPO)
    assert done.returncode == 0, done.stderr
    (row,) = site.rows()
    assert (row["outcome"], row["worker"]) == ("pr_opened", "script")
    assert "Fixed it." in gitea.pulls(REPO)[0].body
    assert site.model.asked == []


def test_killed_with_its_runner_it_is_begun_again(site: Site, gitea: DemoForge) -> None:
    begun_before = f"test -e going && {{ rm going; {FIX_COMMAND}; }}"
    site.settings["workers"]["script"]["command"] = f"{begun_before} || {{ touch going; sleep 4322; }}"
    site.write()
    working = site.start("run", REPO)
    while not list(site.workspaces.glob("*/repo/going")):
        assert working.poll(0.1) is None
    working.kill()
    working.wait()
    done = site.sprint("run", REPO)
    assert done.returncode == 0, done.stderr
    assert [row["outcome"] for row in site.rows()] == ["pr_opened"]
    assert len(gitea.pulls(REPO)) == 1
    assert subprocess.run(["pgrep", "-f", "sleep 4322"], capture_output=True).returncode == 1
