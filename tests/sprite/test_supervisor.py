"""The supervisor as on a machine of its own: one file copied, agents that behave and that do not."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sprint.sprite.supervisor.agent_output import Reader
from sprint.sprite.supervisor.agent_settings import duration
from sprint.sprite.supervisor.fault import Fault
from tests.servers.loopback import Answer, LoopbackServer, Request
from tests.sprite.machine import LONG, PYTHON, QUICK, Machine
from tests.waiting import wait_until


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_task_from_start_to_the_end(machine: Machine) -> None:
    """Its prompt on stdin, what it printed kept, its orphans gone, nothing of ours in the repository."""
    begun = machine.call(
        *("start", "--task-file", "-", "--task-repo", "acme/widgets", *QUICK, "--agent-command"),
        machine.agent(f'read line; echo "got $line"; (setsid {LONG} &); sleep 0.5; echo 2 >new.txt'),
    )
    assert begun.returncode == 0, begun.stderr
    followed = machine.call("logs", "--follow")
    assert "[stdout] got Do it." in followed.stdout
    told = machine.call("status")
    assert told.returncode == 0
    shown = dict(line.split(maxsplit=1) for line in told.stdout.splitlines())
    assert (shown["status:"], shown["outcome:"], shown["stalled:"]) == ("stopped", "completed", "False")
    assert (shown["task:"], shown["repo:"]) == ("Do it.", "acme/widgets")
    assert machine.call("logs", "--lines", "0").stdout == ""
    assert json.loads(machine.call("status", "--json").stdout)["has_work"] is True
    assert machine.git("status", "--porcelain") == "?? new.txt\n"
    assert not machine.alive(LONG)
    status = json.loads((machine.repo / "STATUS.json").read_text())
    assert (status["status"], status["exit_code"], status["mode"]) == ("completed", 0, "oneshot")
    kinds = {json.loads(line)["event"] for line in (machine.repo / ".bb-agent/events.jsonl").open()}
    assert kinds >= {"agent.started", "agent.heartbeat", "agent.progress", "agent.stopped"}


@pytest.mark.parametrize(
    ("script", "code", "outcome"),
    [
        ("exit 0", 0, "completed"),
        ("echo done >TASK_COMPLETE.md; exit 1", 0, "completed"),
        ("echo 'Which one?' >BLOCKED.md; echo done >TASK_COMPLETE", 2, "blocked"),
        ("exit 3", 1, "failed"),
        ("exec /nowhere/agent", 1, "failed"),
    ],
)
def test_how_it_ends(machine: Machine, script: str, code: int, outcome: str) -> None:
    done = machine.runs(script, "--max-restarts", "1", "--timeout", "60s")
    assert (done.returncode, machine.state["outcome"]) == (code, outcome), done.stderr


def test_an_agent_that_does_nothing_is_ended_and_begun_again(machine: Machine) -> None:
    """A heartbeat is no progress."""
    done = machine.runs(LONG, "--stall-timeout", "400ms", "--max-restarts", "1", "--shutdown-grace", "1s")
    assert done.returncode == 1
    assert len(machine.events("agent.stall_detected")) == 2
    assert len(machine.events("agent.restart")) == 1
    assert machine.state["stalled"] is True
    assert "nothing was done or said" in machine.state["last_error"]
    assert not machine.alive(LONG)


@pytest.mark.parametrize("place", ["repo", "repo/below", "linked"])
def test_what_it_writes_itself_is_no_work(machine: Machine, place: str) -> None:
    """Wherever its files are in the checkout, they are no progress, and not published with the work."""
    (machine.repo / "below").mkdir()
    machine.git("worktree", "add", "-q", str(machine.folder / "linked"))
    where = machine.folder / place
    own = {
        "BB_EVENT_LOG": "logs/events.jsonl",
        "BB_OUTPUT_LOG": "agent.out",
        "BB_STATE_FILE": "state.json",
        "BB_PID_FILE": "one.pid",
    }
    hangs = ("exec sleep 60", "--stall-timeout", "1500ms", "--max-restarts", "0")
    assert machine.runs(*hangs, "--repo-dir", str(where), **own).returncode == 1
    events = [json.loads(line)["event"] for line in (where / "logs/events.jsonl").read_text().splitlines()]
    assert "agent.stall_detected" in events
    assert "agent.progress" not in events
    listed = ["git", "status", "--porcelain", "--untracked-files=all"]
    assert subprocess.run(listed, cwd=where, check=True, capture_output=True, text=True).stdout == ""


def test_an_agent_in_a_circle_is_off_the_rails_and_not_begun_again(machine: Machine) -> None:
    call = {"type": "tool_use", "id": "1", "name": "Bash", "input": {"command": "make"}}
    answer = {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "no rule"}]}
    lines = [
        {"type": "assistant", "message": {"content": [call]}},
        {"type": "user", "message": {"content": [answer]}},
    ]
    (machine.folder / "lines").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = machine.runs(f"while true; do cat {machine.folder}/lines; sleep 0.02; done")
    assert (done.returncode, machine.state["outcome"]) == (4, "off_rails")
    assert "the same call with the same result 5 times" in machine.state["detail"]
    assert machine.events("agent.restart") == []


def test_restarts_are_counted_and_slow_down(machine: Machine) -> None:
    """The third exit within two minutes opens the breaker; here there is no time for its pause."""
    done = machine.runs("exit 1", "--timeout", "60s")
    assert (done.returncode, machine.state["outcome"]) == (1, "timeout")
    delays = [event["delay"] for event in machine.events("agent.restart")]
    assert delays == [0.0, 0.0, 120.0]


def test_between_two_attempts_it_is_starting(machine: Machine) -> None:
    """Not running: that pause may be half an hour."""
    args = ("start", "--task-file", "-", "--restart-delay", "60s", "--agent-command", machine.agent("exit 1"))
    assert machine.call(*args).returncode == 0
    assert wait_until(lambda: machine.state["restarts"] == 1)
    told = json.loads(machine.call("status", "--json").stdout)
    assert machine.call("stop").returncode == 0
    assert (told["status"], told["agent_pid"], told["exit_code"]) == ("starting", None, 1)


def test_its_time_ends_whatever_it_does(machine: Machine) -> None:
    script = "trap '' TERM; while true; do echo x; sleep 0.1 & wait; done"
    done = machine.runs(script, "--timeout", "1s", "--shutdown-grace", "200ms")
    assert (done.returncode, machine.state["outcome"]) == (1, "timeout")
    assert not machine.alive(str(machine.folder / "agent.sh"))


def test_ralph_goes_on_until_it_says_so(machine: Machine) -> None:
    done = machine.runs("cat >/dev/null; echo x >>n; [ $(wc -l <n) -lt 2 ] || touch TASK_COMPLETE", "--ralph")
    assert (done.returncode, machine.state["iteration"]) == (0, 2)
    assert (machine.repo / "PROMPT.md").read_text() == "Do it."


def test_ralph_ends_at_its_iterations(machine: Machine) -> None:
    done = machine.runs(LONG, "--ralph", "--max-iterations", "1", "--iteration-timeout", "300ms")
    assert (done.returncode, machine.state["outcome"]) == (1, "timeout")


@pytest.fixture
def at_work(machine: Machine) -> Machine:
    """One whose agent ignores SIGTERM and has a child that left its session."""
    script = f"trap '' TERM; (setsid {LONG} &); echo begun; while true; do sleep 1; done"
    args = ("--task-file", "-", *QUICK, "--shutdown-grace", "300ms", "--agent-command", machine.agent(script))
    begun = machine.call("start", *args)
    assert begun.returncode == 0, begun.stderr
    log = machine.repo / ".bb-agent/agent.log"
    while not (log.exists() and b"begun" in log.read_bytes()):
        assert machine.state["status"] in ("starting", "running")
    return machine


def test_stop_reaches_everything(at_work: Machine) -> None:
    assert at_work.call("stop", "--timeout", "30s").stdout == "stopped\n"
    assert not at_work.alive(LONG)
    assert (at_work.state["status"], at_work.state["outcome"]) == ("stopped", "stopped")


@pytest.mark.parametrize("args", [("--timeout", "30s"), ()])
def test_stop_gives_the_time_to_end_that_it_is_told(machine: Machine, args: tuple[str, ...]) -> None:
    """Longer than the supervisor's own, else that one's."""
    told = (
        "read -r -d '' told <.bb-agent/supervisor.pid.stop; echo $told"  # itself: its children are told, too
    )
    ends = f"end() {{ {told}; read -t 0.7 -u 3; echo late >late.txt; exit; }}; trap end TERM"
    script = f"exec 3<> <(:); {ends}; echo begun; while true; do sleep 0.1; done"
    grace = ("--shutdown-grace", "100ms" if args else "30s")
    begun = machine.call(
        "start", "--task-file", "-", *QUICK, *grace, "--agent-command", machine.agent(script)
    )
    assert begun.returncode == 0, begun.stderr
    assert wait_until(lambda: "begun" in machine.call("logs").stdout)
    assert machine.call("stop", *args).stdout == "stopped\n"
    assert '"grace": 30.0' in machine.call("logs").stdout
    assert (machine.repo / "late.txt").read_text() == "late\n"
    assert machine.state["outcome"] == "stopped"
    assert not [path for path in (machine.repo / ".bb-agent").iterdir() if path.suffix == ".stop"]


def test_once_it_has_begun_its_state_is_of_this_task(machine: Machine) -> None:
    """With a git that hangs: nothing else of the new task is there yet, and the last one's is."""
    machine.runs("exit 0")
    (machine.folder / "git").write_text(f"#!/bin/sh\nexec {LONG}\n")
    (machine.folder / "git").chmod(0o755)
    path = f"{machine.folder}:{os.environ['PATH']}"
    begun = machine.call(
        *("start", "--task-file", "-", "--agent-command", machine.agent("exit 0")), stdin="Anew.", PATH=path
    )
    assert begun.returncode == 0, begun.stderr
    told = json.loads(machine.call("status", "--json").stdout)
    assert (told["status"], told["outcome"], told["task"]["prompt"]) == ("starting", None, "Anew.")
    assert machine.call("stop", "--timeout", "0s").returncode == 0
    assert not machine.alive(LONG)


def test_there_is_one_at_a_time(at_work: Machine) -> None:
    second = at_work.runs("exit 0")
    assert second.returncode == 2
    assert "one is at work already" in second.stderr
    at_work.call("stop")


def test_a_killed_supervisor_is_seen_and_leaves_nothing_that_cannot_be_stopped(at_work: Machine) -> None:
    pid = at_work.state["supervisor_pid"]
    os.kill(pid, signal.SIGKILL)
    while Path(f"/proc/{pid}").exists():
        pass
    told = json.loads(at_work.call("status", "--json").stdout)
    assert (told["status"], told["outcome"], told["last_error"]) == (
        "stopped",
        "lost",
        "the supervisor was killed",
    )
    assert at_work.alive(LONG)
    assert at_work.call("stop").returncode == 0
    assert not at_work.alive(LONG)


def test_what_is_wrong_is_said_before_anything_begins(machine: Machine, tmp_path: Path) -> None:
    open_file = tmp_path / "env"
    open_file.write_text("A=1\n")
    open_file.chmod(0o644)
    for args, said in (
        (("--agent", "gemini"), "is none of claude, codex"),
        (("--stall-timeout", "5x"), "is no duration"),
        (("--env-file", str(open_file)), "others can read"),
        (("--agent-env", "KEY=sk-ant-api03-xyz"), "looks like a secret"),
        (("--repo-dir", "/nowhere"), "is no folder"),
    ):
        done = machine.call("start", "--task-file", "-", *args)
        assert (done.returncode, said in done.stderr) == (2, True), (args, done.stderr)
        assert done.stderr.count("\n") == 1
    assert "secret" in machine.call("start", "--task-file", "-", stdin="use ghp_abcdef").stderr
    as_bb = machine.call("start", "--task-file", "-", "--env", "ANTHROPIC_AUTH_TOKEN=moonshine").stderr
    assert "with --env-file" in as_bb
    assert "moonshine" not in as_bb
    assert not (machine.repo / ".bb-agent").exists()


def test_variables_are_the_flags(machine: Machine) -> None:
    done = machine.call(
        "start",
        stdin="",
        BB_AGENT_COMMAND=machine.agent('echo "$@ $GIVEN ${HIDDEN-}"; exit 0'),
        BB_AGENT_FLAGS="--one,--two",
        BB_AGENT_PASS_ENV="GIVEN",
        BB_AGENT_FOREGROUND="true",
        BB_TASK_PROMPT="Do it.",
        BB_SPRITE="bramble",
        GIVEN="given",
        HIDDEN="hidden",
    )
    assert done.returncode == 0, done.stderr
    assert "[stdout] --one --two given \n" in (machine.repo / ".bb-agent/agent.log").read_text()
    assert machine.state["sprite"] == "bramble"


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("claude", "-p --verbose --output-format stream-json --dangerously-skip-permissions --model m"),
        ("codex", "exec --json --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox -m m -"),
        ("kimi-code", "-p Do it. --output-format stream-json"),
        ("opencode", "run --format json --auto -m m Do it."),
    ],
)
@pytest.mark.parametrize("free", ["BB_AGENT_YOLO", "BB_AGENT_FULL_AUTO"])
def test_each_agent_may_do_everything_by_flags_of_its_own(
    machine: Machine, agent: str, words: str, free: str
) -> None:
    program = machine.folder / "bin" / ("kimi" if agent == "kimi-code" else agent)
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    args = ("start", "--task-file", "-", "--foreground", "--model", "m")
    done = machine.call(*args, PATH=path, BB_AGENT=agent, **{free: "true"})
    assert done.returncode == 0, done.stderr
    assert f"[stdout] {words}\n" in (machine.repo / ".bb-agent/agent.log").read_text()


@pytest.fixture
def listener() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    seen: list[tuple[dict[str, str], bytes]] = []

    def answer(request: Request) -> Answer:
        seen.append((dict(request.headers), request.body))
        return Answer(500 if len(seen) == 1 else 204)

    with LoopbackServer(answer) as server:
        yield f"{server.url}/webhooks/sprite/run-1", seen


@pytest.mark.parametrize(
    ("script", "body"),
    [
        (
            'echo \'{"type":"result","usage":{"input_tokens":10,"output_tokens":3}}\'; echo Done. '
            ">TASK_COMPLETE",
            {
                "type": "completed",
                "summary": "Done.",
                "stats": {"messageCount": 0, "inputTokens": 10, "outputTokens": 3},
            },
        ),
        ("echo 'Shall I?' >BLOCKED.md", {"type": "question", "question": "Shall I?"}),
        (
            "exit 9",
            {
                "type": "error",
                "error": "failed: given up after 1 failures in a row: it ended with exit code 9",
            },
        ),
    ],
)
def test_it_calls_back(
    machine: Machine,
    listener: tuple[str, list[tuple[dict[str, str], bytes]]],
    script: str,
    body: dict[str, Any],
) -> None:
    """Signed, with the seed's fields, once more where the other side failed."""
    address, seen = listener
    secret = machine.folder / "secret"
    secret.write_text("s3cret\n")
    secret.chmod(0o600)
    machine.runs(
        *(script, "--callback", address, "--callback-secret-file", str(secret), "--session", "run-1"),
        *("--max-restarts", "0"),
    )
    assert len(seen) == 2
    headers, raw = seen[1]
    assert json.loads(raw) == {"sessionId": "run-1", "taskId": "run-1", **body}
    signed = f"{headers['x-webhook-timestamp']}.".encode() + raw
    assert (
        headers["x-webhook-signature"] == f"sha256={hmac.new(b's3cret', signed, hashlib.sha256).hexdigest()}"
    )


SPENT = (
    """echo '{"type":"assistant","message":{"id":"a","usage":{"input_tokens":600,"output_tokens":9}}}'; """
    """echo '{"type":"assistant","message":{"id":"a","usage":{"input_tokens":600,"output_tokens":400}}}'; """
)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--max-tokens", "1000"), "1000 of 1000 tokens are used"),
        (("--max-usd", "0.9", "--prices", "1000,0,1000"), "$1.0000 of $0.9 are spent"),
        (("--max-tokens", "1001", "--max-usd", "1.1", "--prices", "1000,0,1000"), ""),
    ],
)
def test_an_agent_is_ended_at_a_limit_by_its_own_count(
    machine: Machine, flags: tuple[str, ...], says: str
) -> None:
    """Told of the same answer twice it counts once."""
    code = machine.runs(f"{SPENT} {'sleep 600' if says else 'true'}", *flags).returncode
    assert (code, machine.state["outcome"]) == ((1, "limit") if says else (0, "completed"))
    assert says in machine.state["detail"]
    assert machine.state["stats"]["inputTokens"] == 600


def test_others_are_tried_in_turn_after_failures(machine: Machine) -> None:
    others = "sh -c 'echo two; exit 1'\nsh -c 'echo three'"
    flags = ("--fallback-commands", others, "--restart-delay", "10ms")
    assert machine.runs("echo one; exit 1", *flags).returncode == 0
    assert (machine.state["outcome"], machine.state["fallback"]) == ("completed", 2)
    log = (machine.repo / ".bb-agent/agent.log").read_text()
    assert [line.split()[-1] for line in log.splitlines()] == ["one", "two", "three"]


def _read(*records: Any) -> list[Any]:
    reader = Reader()
    lines = [(one if isinstance(one, str) else json.dumps(one)).encode() for one in records]
    return [(event.kind, event.mistake, event.path) for line in lines for event in reader.events(line, 0.0)]


def test_streams_of_agents_are_read_whatever_is_in_them() -> None:
    call = {"type": "tool_use", "id": "1", "name": "Edit", "input": {"file_path": "a.py"}}
    failed = {
        "type": "tool_result",
        "tool_use_id": "1",
        "is_error": True,
        "content": [{"type": "text", "text": "no"}],
    }
    assert _read(
        {"type": "assistant", "message": {"content": [call]}},
        {"type": "user", "message": {"content": [failed]}},
        {"type": "item.completed", "item": {"type": "file_change", "changes": [{"path": "b.py"}]}},
        '{"type": "cut',
        {"message": ["no", "mapping"], "part": 3, "usage": "none", "item": []},
    ) == [("began", "", ""), ("call", "no", ""), ("call", "", "b.py"), ("text", "", ""), ("text", "", "")]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("1h30m", 5400), ("250ms", 0.25), ("1.5h", 5400), ("7", 7), ("", None), ("5x", None)],
)
def test_durations_are_gos(text: str, seconds: float | None) -> None:
    if seconds is None:
        with pytest.raises(Fault, match="is no duration"):
            duration(text)
    else:
        assert duration(text) == seconds


def test_it_travels_as_one_file(tmp_path: Path) -> None:
    """`sprint agent pack`, and a Python that has nothing of sprint."""
    told = [
        subprocess.run(
            [sys.executable, "-m", "sprint", "agent", "pack", *args],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        for args in (["supervisor.pyz"], ["nowhere/supervisor.pyz"])
    ]
    assert [one.returncode for one in told] == [0, 2]
    assert told[1].stderr == "sprint: cannot write nowhere/supervisor.pyz: No such file or directory\n"
    there = [PYTHON, "-I", "-S", "supervisor.pyz", "start", "--help"]
    shown = subprocess.run(there, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "BB_STALL_TIMEOUT" in shown


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("status", "--nope"), "unrecognized arguments: --nope; see `{} status --help`"),
        (("status", "--no\x1b[31m\npe"), "unrecognized arguments: --no pe; see `{} status --help`"),
        (("stop", "--timeout"), "argument --timeout: expected one argument; see `{} stop --help`"),
        (("start", "--env", "KEY=s3cret"), "--agent-env is for what is no secret; see `{} start --help`"),
    ],
)
def test_wrong_usage_is_one_line(machine: Machine, args: tuple[str, ...], says: str) -> None:
    here = [sys.executable, "-m", "sprint", "agent", *args]
    for program, told in (
        ("python3 supervisor.pyz", machine.call(*args)),
        ("sprint agent", subprocess.run(here, cwd=machine.repo, capture_output=True, text=True)),
    ):
        assert told.returncode == 2
        assert told.stdout == ""
        assert told.stderr.startswith("agent: ")
        assert told.stderr.endswith(says.format(program) + "\n")
        assert told.stderr.count("\n") == 1
        assert "s3cret" not in told.stderr
