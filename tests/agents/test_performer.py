"""What agents share: hand-over, limits, faults, resuming. A script that replays a stream is the agent."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sprint import transcript
from sprint.config import ClaudeWorkerConfig
from sprint.domain import Ending, Usage, WorkerResult, replace
from sprint.errors import ConfigError, ModelError, ModelTrouble, Stopped
from sprint.monitor.html.run_page import write_run
from sprint.runs import RunStore
from sprint.view import words
from sprint.worker.agents import claude
from sprint.worker.agents.performer import AgentPerformer
from sprint.worker.attached import Attached
from tests.agents.claude_stream import INIT, RESULT, result, text, use
from tests.agents.model import ScriptedModel
from tests.agents.standin import HostRoute
from tests.worker.conftest import Bench


class Stage:
    """One agent whose program is a script; `said` are its lines, `does` what it does before."""

    def __init__(self, bench: Bench, folder: Path, server: ScriptedModel) -> None:
        self.bench = bench
        self.route = HostRoute(server)
        self._program = folder / "claude"

    def play(self, *said: Any, does: str = "true", code: int = 0, ends: bool = True) -> Attached:
        lines = [line if isinstance(line, str) else json.dumps(line) for line in said]
        if ends:
            lines.append(json.dumps(RESULT))
        stream = "\n".join(lines)
        self._program.write_text(
            f'#!/bin/sh\necho "$@" >../tmp/arguments\ncat >../tmp/told\n{does}\n'
            f"cat <<'STREAM_ENDS'\n{stream}\nSTREAM_ENDS\nexit {code}\n"
        )
        self._program.chmod(0o755)
        config = ClaudeWorkerConfig(program=str(self._program))
        return Attached(AgentPerformer(claude, config, self.route), RunStore(self.bench.results))

    def run(self, *said: Any, **how: Any) -> WorkerResult:
        made = self.play(*said, **how)
        made.start(self.bench.job)
        return made.collect(self.bench.job)

    def told(self) -> str:
        return (self.bench.job.workspace.tmp / "told").read_text()

    def arguments(self) -> str:
        return (self.bench.job.workspace.tmp / "arguments").read_text()


@pytest.fixture
def stage(bench: Bench, workspaces: Path, serve: Callable[..., ScriptedModel]) -> Stage:
    folder = workspaces / "programs"
    folder.mkdir(mode=0o755)
    return Stage(bench, folder, serve(lambda asked, number: None))


def test_it_is_told_on_stdin_and_its_last_words_are_the_summary(stage: Stage, bench: Bench) -> None:
    done = stage.run(INIT, text("Looking."))
    assert (done.ending, done.summary) == (Ending.IMPLEMENTED, "Looking.")
    assert stage.told() == "You fix issues.\n\nFix issue 3."
    assert "Fix issue" not in stage.arguments()
    assert [event["content"] for event in bench.events("assistant")] == ["Looking."]
    page = bench.results / "page.html"
    write_run(page, bench.job.folder, bench.job.run)
    assert re.search(r'href="[^"]*/agent\.log"', page.read_text())
    assert bench.events()[-1]["event"] == "end"


def test_its_steps_are_told_as_the_loop_tells_its_own(stage: Stage, bench: Bench) -> None:
    stage.run(
        INIT,
        text("I look."),
        use("t1", "ls"),
        result("t1", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
        use("t2", "false", "m2"),
        result("t2", "Exit code 1\nno", is_error=True),
    )
    first, second = bench.events("assistant")
    assert (first["turn"], first["content"], first["tool_calls"][0]["name"]) == (1, "I look.", "Bash")
    assert json.loads(second["tool_calls"][0]["arguments"]) == {"command": "false"}
    tools = bench.events("tool")
    assert [tool["text"] for tool in tools] == ["a\nb", "Exit code 1\nno"]
    assert [tool["exit_code"] for tool in tools] == [None, 1]
    shown = "\n".join(words.in_full(transcript.read(bench.job.folder)))
    assert all(words in shown for words in ("I look.", "Bash", "ended: implemented"))


def test_a_stream_of_any_shape_is_read_without_loss(stage: Stage, bench: Bench) -> None:
    huge = "x" * 5_000_000
    reordered = dict(reversed(result("t1", huge).items()))
    stage.run(
        '{"type": "assistant", "mess',
        "not JSON at all",
        {"type": "from_the_future", "payload": [1, 2]},
        '{"type": "assistant", "message": null}',
        '{"type": "assistant", "message": {"content": "plain"}}',
        '["an array"]',
        "{" + '"a":[' * 5000,
        INIT,
        use("t1", "cat"),
        reordered,
        text("After it.", "m2"),
    )
    assert [event["content"] for event in bench.events("assistant")] == ["plain", "", "After it."]
    (tool,) = bench.events("tool")
    assert tool["name"] == "Bash"
    assert "characters left out" in tool["text"]
    assert len(tool["text"]) < 40_000
    notes = " ".join(event["text"] for event in bench.events("note"))
    assert "a line that cannot be read" in notes
    assert "not JSON at all" in notes
    assert (bench.job.folder / "agent.log").stat().st_size > 5_000_000


@pytest.mark.parametrize(
    ("does", "ending", "said"),
    [
        ("echo Why? >BLOCKED.md; echo Fine. >TASK_COMPLETE.md", Ending.QUESTION, "Why?"),
        ("echo Why? >BLOCKED", Ending.QUESTION, "Why?"),
        ("echo Fine. >TASK_COMPLETE", Ending.IMPLEMENTED, "Fine."),
        ("ln -s /etc/passwd TASK_COMPLETE.md", Ending.IMPLEMENTED, ""),
        ("echo Q >../tmp/handover/question.md", Ending.QUESTION, "Q"),
    ],
)
def test_how_agents_hand_over(stage: Stage, bench: Bench, does: str, ending: Ending, said: str) -> None:
    bench.file("BLOCKED.md").write_text("from an earlier time")
    done = stage.run(INIT, does=does)
    assert (done.ending, done.detail or done.summary) == (ending, said)
    assert bench.git("status", "--porcelain") == "", "none of it is published"


def test_a_projects_own_file_of_that_name_is_left_alone(stage: Stage, bench: Bench) -> None:
    bench.git("config", "user.name", "t")
    bench.file("BLOCKED.md").write_text("how to unblock people")
    bench.git("add", ".")
    bench.git("commit", "-qm", "docs")
    bench.job = replace(bench.job, run=replace(bench.job.run, base_sha=bench.git("rev-parse", "HEAD")))
    done = stage.run(INIT, text("Done."))
    assert (done.ending, done.summary) == (Ending.IMPLEMENTED, "Done.")
    assert bench.file("BLOCKED.md").read_text() == "how to unblock people"


def test_its_own_session_goes_on(stage: Stage, bench: Bench) -> None:
    stage.run(INIT, text("One."))
    made = stage.play(INIT, text("Two.", "m2"))
    made.resume(bench.job, "The checks fail.")
    assert "--resume s-1" in stage.arguments()
    assert stage.told() == "The checks fail."
    assert made.collect(bench.job).summary == "Two."


def test_where_its_session_is_gone_it_is_told_everything_again(stage: Stage, bench: Bench) -> None:
    stage.run(INIT, text("One."))
    failing = 'case "$(cat ../tmp/arguments)" in *--resume*) echo No such conversation >&2; exit 1;; esac'
    made = stage.play(text("Two.", "m2"), does=failing)
    made.resume(bench.job, "The checks fail.")
    assert stage.told() == "You fix issues.\n\nFix issue 3.\n\nThe checks fail."
    assert made.collect(bench.job).summary == "Two."


def test_the_providers_fault_costs_no_attempt(stage: Stage, bench: Bench) -> None:
    stage.route.server.last = 429
    made = stage.play(INIT, ends=False, code=1)
    with pytest.raises(ModelError) as raised:
        made.start(bench.job)
    assert raised.value.kind is ModelTrouble.BUSY
    assert not (bench.job.folder / "result.json").exists()


def test_what_it_says_of_its_server_counts_where_nobody_else_saw_it(stage: Stage, bench: Bench) -> None:
    failed = {"type": "result", "subtype": "success", "is_error": True, "result": "API Error: 401 no key"}
    with pytest.raises(ModelError) as raised:
        stage.play(INIT, failed, ends=False, code=1).start(bench.job)
    assert raised.value.kind is ModelTrouble.REFUSED


def test_a_login_of_its_own_is_not_used(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude" / ".credentials.json").write_text('{"claudeAiOauth": {"accessToken": "secret"}}')
    stage.route.away = ConfigError("no model is configured")
    with pytest.raises(ConfigError, match=r"no model is configured; claude is logged in here") as raised:
        stage.play().check()
    assert "secret" not in str(raised.value)


def test_a_budget_that_is_used_up_is_a_limit(stage: Stage) -> None:
    stage.route.limit = 0
    done = stage.run(INIT, does="sleep 4325")
    assert (done.ending, done.detail) == (Ending.LIMIT, "limits.usd: 0 answers are paid for")


def test_a_hand_over_outweighs_a_fault_after_it(stage: Stage) -> None:
    stage.route.server.last = 500
    done = stage.run(INIT, does="echo Fixed. >../tmp/handover/summary.md", code=1)
    assert (done.ending, done.summary) == (Ending.IMPLEMENTED, "Fixed.")


def test_an_agent_that_fails_by_itself_is_an_error(stage: Stage) -> None:
    done = stage.run(does="echo cannot find my mind >&2; exit 7")
    assert done.ending is Ending.ERROR
    assert "it exited with 7: cannot find my mind" in done.detail


def test_one_that_goes_in_circles_is_stopped(stage: Stage, bench: Bench) -> None:
    circle = [
        event
        for number in range(6)
        for event in (use(f"t{number}", "ls", f"m{number}"), result(f"t{number}", "nothing"))
    ]
    began = time.monotonic()
    done = stage.run(INIT, *circle, ends=False, does="exec 3>&1; trap '' TERM")
    assert done.ending is Ending.OFF_RAILS
    assert "the same call with the same result 5 times" in done.detail
    assert time.monotonic() - began < 10


def test_its_time_and_its_turns_are_limited(stage: Stage, bench: Bench) -> None:
    bench.limit(minutes=0.02)
    assert stage.run(INIT, does="setsid sleep 4323 & sleep 4323").ending is Ending.LIMIT
    assert subprocess.run(["pgrep", "-f", "sleep 4323"], capture_output=True).returncode == 1
    made = stage.play(INIT)
    made.resume(bench.job, "Go on.")
    assert made.collect(bench.job).ending is Ending.LIMIT


def test_told_to_stop_it_rests_and_goes_on(stage: Stage, bench: Bench) -> None:
    def watch() -> str:
        if (bench.job.folder / "agent.json").exists() and bench.events("assistant"):
            raise Stopped("stopped")
        return ""

    job = bench.job
    bench.job = replace(job, watch=watch)
    slow = (
        f"cat <<'E'\n{json.dumps(INIT)}\n{json.dumps(use('t1', 'ls'))}\n{json.dumps(result('t1', ''))}\nE\n"
    )
    with pytest.raises(Stopped):
        stage.play(does=f"{slow}sleep 4324").start(bench.job)
    assert subprocess.run(["pgrep", "-f", "sleep 4324"], capture_output=True).returncode == 1
    bench.job = job
    made = stage.play(text("Done.", "m9"))
    made.resume(job, "Go on.")
    assert "--resume s-1" in stage.arguments()
    assert made.collect(job).summary == "Done."


def test_no_key_is_where_the_agent_is(stage: Stage, bench: Bench) -> None:
    stage.run(INIT, does="env >../tmp/environment")
    names = (bench.job.workspace.tmp / "environment").read_text()
    assert "ANTHROPIC_BASE_URL=" in names
    assert not {name for name in os.environ if name.endswith("_TOKEN") and f"{name}=" in names}


def test_the_transcript_counts_what_the_meter_counts(stage: Stage, bench: Bench) -> None:
    stage.run(INIT, text("One."), {**RESULT, "total_cost_usd": 12.5}, ends=False)
    usage, model = transcript.usage(bench.job.folder)
    assert (usage.turns, usage.cost_usd, model) == (1, None, "scripted")
    assert "$12.5" in " ".join(event["text"] for event in bench.events("note"))


def test_an_answer_that_it_was_ended_in_is_counted_too(stage: Stage) -> None:
    """What came of it until then is known only once its way is shut."""
    stage.bench.limit(minutes=0.02)
    stage.route.cut = Usage(turns=1, prompt_tokens=700, completion_tokens=30)
    done = stage.run(INIT, text("One."), does="sleep 60")
    assert done.ending is Ending.LIMIT
    assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (700, 30)
