"""A pause is no failure: signals, outages and dead processes cost no attempt, and the run goes on."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from sprint import git, heartbeat, proc
from sprint.claim import Claims
from sprint.domain import Claim, Secret
from sprint.git import Remote
from sprint.lock import lock
from sprint.workspace.mirror import mirror_path
from tests.commands import Command
from tests.servers.forge import DemoForge, Fault
from tests.servers.model import DemoModel
from tests.servers.replies import Reply, call, finish
from tests.site import Site
from tests.waiting import wait_until
from tests.widgets import CHECK, FILES, FIX, REPO


class Night:
    """An operator's machine through a night: ticks, and signals that reach them at the model's n-th turn."""

    def __init__(self, forge: DemoForge, folder: Path, serve: Callable[..., DemoModel], **repo: Any) -> None:
        forge.add_repo(REPO, FILES)
        forge.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
        self.forge = forge
        self.signals: dict[int, signal.Signals] = {}
        self.replies: Callable[[dict[str, Any], int], Reply] = self.sensible
        self.process: Command | None = None
        self.site = Site(
            folder, forge, serve(self._answer), repos=[{"name": REPO, "checks": [CHECK], **repo}]
        )

    def _answer(self, request: dict[str, Any], number: int) -> Reply:
        if self.process and (sent := self.signals.pop(number, None)):
            self.process.send_signal(sent)
        return self.replies(request, number)

    def sensible(self, request: dict[str, Any], number: int) -> Reply:
        fixed = any("n + n + 1" in str(m.get("tool_calls", "")) for m in request["messages"])
        return finish("implemented", "Fixed.") if fixed else FIX

    def tick(self, *args: str) -> tuple[int, str]:
        self.process = self.site.start("run", REPO, *args)
        return self.process.wait(), self.process.err.read_text()

    def forget_refusals(self) -> None:
        """As if their time were over."""
        for path in (self.site.path / "results" / "health").rglob("*.json"):
            path.unlink()

    def has_rested_since(self, when: str) -> None:
        """As if the run had begun to rest long ago."""
        (path,) = (self.site.path / "results" / "runs").glob("*/run.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), "stuck_since": when}))

    def claim(self) -> Claim:
        remote = Remote(f"{self.forge.url}/{REPO}.git", Secret(self.forge.token))
        return Claims(self.site.path / "judge.git", remote, "judge").read()[1]

    def assert_one_good_run(self) -> None:
        assert [row["outcome"] for row in self.site.rows()] == ["pr_opened"]
        assert len(self.forge.pulls(REPO)) == 1
        claim = self.claim()
        assert (claim.state, claim.outcome, claim.attempt, claim.paused) == (
            "released",
            "pr_opened",
            1,
            False,
        )
        assert list((self.site.path / "results" / "active").iterdir()) == []


@pytest.fixture
def make_night(
    gitea: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel]
) -> Callable[..., Night]:
    return lambda **repo: Night(gitea, workspaces / "site", model_server, **repo)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_pauses_and_says_how_to_go_on(
    make_night: Callable[..., Night], sent: signal.Signals
) -> None:
    night = make_night()
    night.signals[1] = sent
    code, err = night.tick()
    assert code == 130
    (run,) = night.site.runs()
    assert f"sprint run {REPO}" in err
    assert f"sprint stop {run['id']}" in err
    assert run["paused_since"]
    assert run["paused_why"] == "it was told to stop"
    assert night.site.rows() == []
    claim = night.claim()
    assert (claim.state, claim.paused) == ("claimed", True)
    assert night.tick()[0] == 0
    night.assert_one_good_run()
    assert night.site.runs()[0]["paused_s"] > 0
    (beat,) = heartbeat.read(night.site.path / "results")
    assert beat.outcome == run["id"], "a tick that went on with a run was not idle"


def test_many_signals_with_progress_in_between_cost_nothing(make_night: Callable[..., Night]) -> None:
    night = make_night()

    def eight_looks(request: dict[str, Any], number: int) -> Reply:
        looks = sum("echo" in str(m.get("tool_calls", "")) for m in request["messages"])
        if looks < 8:
            return call("run_command", {"command": f"echo {looks}"})
        return night.sensible(request, number)

    night.replies = eight_looks
    for number in range(8):
        night.signals[2 * number + 1] = signal.SIGTERM
        assert night.tick()[0] == 130
    assert night.tick()[0] == 0
    night.assert_one_good_run()


def test_five_in_a_row_without_progress_end_it_and_hand_in_what_there_is(
    make_night: Callable[..., Night],
) -> None:
    night = make_night()
    night.signals = dict.fromkeys(range(1, 6), signal.SIGTERM)
    codes = [night.tick()[0] for _ in range(6)]
    assert codes == [130, 130, 130, 130, 130, 0]
    (row,) = night.site.rows()
    assert row["outcome"] == "interrupted"
    assert "the tick is given less time than the step needs" in row["detail"]
    assert night.forge.pulls(REPO)[0].title.startswith("WIP: ")
    assert night.claim().attempt == 0


def test_a_model_that_goes_away_in_the_middle_is_waited_for(make_night: Callable[..., Night]) -> None:
    night = make_night()
    away = Fault(
        "/chat/completions", times=None, status=402, body=b'{"error":{"message":"insufficient funds"}}'
    )

    def then_away(request: dict[str, Any], number: int) -> Reply:
        if number == 0:
            night.site.model.faults.append(away)
        return night.sensible(request, number)

    night.replies = then_away
    for _ in range(6):
        code, err = night.tick()
        assert code == 5, err
    (run,) = night.site.runs()
    assert run["pauses"] == 0
    assert "insufficient funds" in run["paused_why"]
    night.site.model.faults.remove(away)
    night.forget_refusals()
    assert night.tick()[0] == 0
    night.assert_one_good_run()


def test_a_person_may_stop_a_run_that_rests(make_night: Callable[..., Night]) -> None:
    night = make_night()
    night.signals[1] = signal.SIGTERM
    night.tick()
    (run,) = night.site.runs()
    shown = night.site.sprint("show", run["id"]).stdout
    assert "outcome    rests: it was told to stop\n" in shown
    assert "0 turns" not in shown, "what it used is not known before its end"
    done = night.site.sprint("stop", run["id"])
    assert done.returncode == 0, done.stderr
    assert "cancelled" in done.stdout
    (row,) = night.site.rows()
    assert (row["outcome"], row["detail"]) == ("cancelled", "stopped by a person")
    assert (night.site.path / "results/runs" / run["id"] / "patch.diff").exists()
    assert night.claim().state == "released"
    assert "is over already" in night.site.sprint("stop", run["id"]).stderr


def test_a_person_may_have_handed_in_what_is_sound(make_night: Callable[..., Night]) -> None:
    night = make_night()
    night.signals[1] = signal.SIGTERM
    night.tick()
    done = night.site.sprint("stop", f"{REPO}#1", "--hand-in")
    assert done.returncode == 0, done.stderr
    (pull,) = night.forge.pulls(REPO)
    assert pull.title.startswith("WIP: ")
    assert [row["outcome"] for row in night.site.rows()] == ["cancelled"]


def test_a_run_at_work_is_stopped_at_once(make_night: Callable[..., Night]) -> None:
    night = make_night()
    night.replies = lambda request, number: (
        FIX if number == 0 else call("run_command", {"command": "sleep 60"})
    )
    working = night.site.start("run", REPO)
    while len(night.site.model.asked) < 2:
        assert working.poll(0.1) is None
    done = night.site.sprint("stop", f"{REPO}#1")
    assert done.returncode == 0, done.stderr
    assert "cancelled" in done.stdout
    assert working.wait(30) == 0
    assert [row["outcome"] for row in night.site.rows()] == ["cancelled"]


def claimed_by_a_tick_that_waits(night: Night, *more: str) -> Command:
    """A tick that has claimed its issue, while somebody else has the repository's mirror."""
    working = night.site.start("run", REPO, *more)
    remote = Remote(f"{night.forge.url}/{REPO}.git", Secret(night.forge.token))
    claims = Claims(night.site.path / "judge.git", remote, "judge")
    assert wait_until(lambda: 1 in claims.read()), working.err.read_text()
    assert working.poll() is None
    return working


def fetching(night: Night) -> AbstractContextManager[None]:
    mirror = mirror_path(night.site.path / "cache", "home", REPO)
    return lock(mirror.with_suffix(".lock"), what="fetches")


def test_a_signal_ends_the_wait_for_another_ones_fetch(make_night: Callable[..., Night]) -> None:
    night = make_night()
    night.forge.add_repo("acme/other", FILES)  # two at a time are in threads of their own
    with fetching(night):
        working = claimed_by_a_tick_that_waits(night, "acme/other", "--jobs", "2")
        working.send_signal(signal.SIGTERM)
        assert working.wait(60) == 130
    assert "rests: it was told to stop" in working.err.read_text()
    assert night.tick()[0] == 0
    night.assert_one_good_run()


@pytest.mark.parametrize("since", ["the start", "the last turn"])
def test_a_person_ends_a_run_that_waits_for_another_ones_fetch(
    make_night: Callable[..., Night], since: str
) -> None:
    night = make_night()
    with ExitStack() as held:
        if since == "the start":
            held.enter_context(fetching(night))
            working = claimed_by_a_tick_that_waits(night)
        else:

            def last(request: dict[str, Any], number: int) -> Reply:
                if number == 1:
                    held.enter_context(fetching(night))
                return night.sensible(request, number)

            night.replies = last
            working = night.site.start("run", REPO)
            assert wait_until(lambda: [run["phase"] for run in night.site.runs()] == ["worked"])
        done = night.site.sprint("stop", f"{REPO}#1")
        assert "cancelled" in done.stdout
        assert working.wait(60) == 0
    assert [(row["outcome"], row["detail"]) for row in night.site.rows()] == [
        ("cancelled", "stopped by a person")
    ]
    assert night.claim().state == "released"


def test_set_up_that_fails_at_the_base_is_the_repositorys_and_costs_no_issue_anything(
    make_night: Callable[..., Night],
) -> None:
    night = make_night(setup=["echo 1 >>tries; false"])
    night.forge.add_issue(REPO, "Another thing", "Please.")
    code, err = night.tick()
    assert code == 2
    assert "setup failed: echo 1 >>tries; false" in err
    for _ in range(3):
        done = night.site.sprint("run", REPO)
        assert (done.returncode, done.stderr) == (0, "")
        assert "setup fails at the base" in done.stdout
    assert night.site.rows() == []
    assert night.site.runs() == []
    assert night.forge.comments(REPO, 1) == night.forge.comments(REPO, 2) == []
    assert night.claim().attempt == 0
    night.site.settings["repos"][0]["setup"] = []
    night.site.write()
    assert night.tick()[0] == 0
    night.assert_one_good_run()


def test_a_new_base_commit_has_set_up_tried_again(make_night: Callable[..., Night]) -> None:
    night = make_night(setup=["test -e mended"])
    assert night.tick()[0] == 2
    night.forge.commit(REPO, "main", "Mend it", {"mended": ""})
    assert night.tick()[0] == 0
    night.assert_one_good_run()


def test_a_server_that_refuses_every_push_costs_the_second_issue_nothing(
    make_night: Callable[..., Night],
) -> None:
    night = make_night(checks=[])
    for number in range(3):
        night.forge.add_issue(REPO, f"Another thing {number}", "Please.")
    hook = night.forge.path(REPO) / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\ncase "$1" in refs/heads/feat/*) echo no feat here >&2; exit 1;; esac\n')
    hook.chmod(0o755)
    assert night.tick()[0] == 0
    assert night.tick()[0] == 3
    for _ in range(3):
        assert night.tick()[0] == 3
    assert [row["outcome"] for row in night.site.rows()] == ["policy_refused"]
    second = night.site.runs()[1]
    assert (second["phase"], second["issue"]) == ("verified", 2)
    hook.unlink()
    assert night.tick()[0] == 0
    outcomes = [(row["issue"], row["outcome"]) for row in night.site.rows()]
    assert outcomes[:2] == [("1", "policy_refused"), ("2", "pr_opened")]


def test_a_weekend_without_a_model_costs_nothing(make_night: Callable[..., Night]) -> None:
    """The list of models is there, the quota is not: no claim, exit 5, and no request at most ticks."""
    night = make_night()
    body = b'{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}'
    away = Fault("/chat/completions", times=None, status=429, body=body)
    night.site.model.faults.append(away)
    for number in range(12):
        code, err = night.tick()
        assert (code, err.count("\n")) == (5, number == 0), "said when it begins, and once a day"
    assert 1 <= night.site.model.times_asked() <= 4
    assert night.site.runs() == []
    night.site.model.faults.remove(away)
    night.forget_refusals()
    assert night.tick()[0] == 0
    night.assert_one_good_run()


def test_what_a_model_server_said_is_the_operators_alone(make_night: Callable[..., Night]) -> None:
    """A run that waited for its model too long, and is handed in: nothing of the server goes to the forge."""
    night = make_night()
    body = b'{"error":{"message":"MARKED words of the server on gpu-7.corp.example"}}'
    away = Fault("/chat/completions", times=None, status=403, body=body)

    def then_away(request: dict[str, Any], number: int) -> Reply:
        reply = night.sensible(request, number)
        if reply is FIX:
            night.site.model.faults.append(away)
        return reply

    night.replies = then_away
    assert night.tick()[0] == 5
    assert "MARKED" in night.site.runs()[0]["paused_why"], "the operator reads it"
    night.forget_refusals()
    night.has_rested_since("2026-01-01T00:00:00Z")
    for _ in range(3):
        night.tick()
    (row,) = night.site.rows()
    assert row["outcome"] == "interrupted"
    (pull,) = night.forge.pulls(REPO)
    published = [pull.title, pull.body, *(c.body for c in night.forge.comments(REPO, 1))]
    repo = night.forge.path(REPO)
    for sha in night.forge.refs(REPO).values():
        published += [message for _, message in git.log(repo, sha)]
    said = "\n".join(published)
    assert "interrupted" in said, "the control: the outcome itself is told"
    for mark in ("MARKED", "gpu-7", night.site.model.base_url.split("/")[2], proc.hostname()):
        assert mark not in said, mark
    assert not re.search(r"\b403\b", said), "digests may hold it"


def test_a_search_for_credentials_that_is_not_finished_is_no_verdict(
    make_night: Callable[..., Night],
) -> None:
    night = make_night()
    night.site.python(
        "import sys; from sprint.cli import main; from sprint.policy import content;"
        "content._CPU_SECONDS = -1.0; main(['run', sys.argv[1]])",
        REPO,
    )
    (run,) = night.site.runs()
    assert (run["phase"], night.site.rows()) == ("worked", [])
    assert "looking for credentials took more than" in run["paused_why"]
    assert night.tick()[0] == 0
    night.assert_one_good_run()
