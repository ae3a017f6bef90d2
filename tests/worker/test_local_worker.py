"""The worker across processes: killed, interrupted, polled from elsewhere, taken up again."""

from __future__ import annotations

import contextlib
import fcntl
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sprint import transcript
from sprint.config import CommandWorkerConfig, Limits, LocalWorkerConfig
from sprint.domain import Ending, Endpoint, Liveness, Secret, replace
from sprint.errors import Busy, ModelError
from sprint.runs import RunStore
from sprint.view import words
from sprint.worker.attached import Attached
from sprint.worker.kinds import Services, make
from sprint.worker.local import conversation
from sprint.worker.local.worker import LocalPerformer
from tests.around import around
from tests.servers import replies
from tests.waiting import wait_until
from tests.worker.conftest import NO_CONFIG, Bench

WRITE = replies.call("write_file", {"path": "a.txt", "content": "hello\n"})


def _interrupt(signum: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _work(bench: Bench, endpoint: Endpoint) -> None:
    signal.signal(signal.SIGTERM, _interrupt)
    store = RunStore(bench.results)

    def watch() -> str:
        request = store.asked_to_stop(bench.job.run.id)
        return request.why if request else ""

    job = replace(bench.job, run=replace(bench.job.run, pid=os.getpid()), watch=watch)
    with contextlib.suppress(KeyboardInterrupt):
        worker_at(endpoint, bench).start(job)


def worker_at(endpoint: Endpoint, bench: Bench) -> Attached:
    return Attached(LocalPerformer(lambda: [endpoint], bench.results, Limits()), RunStore(bench.results))


def in_another_process(bench: Bench, script: Any) -> tuple[multiprocessing.Process, Attached]:
    server = bench.serve(script)
    bench.server = server
    endpoint = Endpoint(server.name, server.base_url, Secret(server.key))
    process = multiprocessing.get_context("fork").Process(target=_work, args=(bench, endpoint))
    process.start()
    return process, worker_at(endpoint, bench)


def slow_after(number_of_turns: int) -> Callable[[dict[str, Any], int], replies.Reply]:
    def script(asked: dict[str, Any], number: int) -> replies.Reply:
        return WRITE if number < number_of_turns else replies.call("run_command", {"command": "sleep 60"})

    return script


def test_a_killed_worker_is_found_dead_with_what_it_used_and_goes_on(bench: Bench) -> None:
    process, local = in_another_process(bench, slow_after(2))
    run = bench.job.run
    try:
        assert wait_until(lambda: len(bench.events("assistant")) == 3)
        assert local.poll(run).liveness is Liveness.RUNNING
        with pytest.raises(Busy):
            local.resume(bench.job, "Me too.")
    finally:
        process.kill()
        process.join(20)
    assert local.poll(run).liveness is Liveness.DONE
    result = local.collect(bench.job)
    assert result.ending is Ending.INTERRUPTED
    assert result.usage.turns == 3
    assert result.usage.prompt_tokens > 0
    assert bench.file("a.txt").read_text() == "hello\n"
    resumed = bench.resume([replies.finish()], "You were interrupted.")
    assert resumed.ending is Ending.IMPLEMENTED
    roles = [message["role"] for message in bench.sent()]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "tool"]
    assert "You were interrupted." in bench.told()


def test_a_stop_ends_it_with_its_evidence_within_two_seconds(bench: Bench) -> None:
    process, local = in_another_process(bench, slow_after(1))
    assert wait_until(lambda: len(bench.events("assistant")) == 2)
    started = time.monotonic()
    local.stop(bench.job.run)
    assert time.monotonic() - started < 2
    process.join(20)
    assert process.exitcode == 0
    assert local.poll(bench.job.run).liveness is Liveness.DONE
    result = local.collect(bench.job)
    assert (result.ending, result.detail) == (Ending.CANCELLED, "its claim was lost")
    assert bench.events()[-1]["ending"] == "cancelled"
    talk = conversation.load(bench.job.folder)
    assert talk is not None
    assert talk.messages[-1]["role"] == "tool"


def test_a_stop_while_the_model_is_silent_ends_it_within_two_seconds(bench: Bench) -> None:
    process, local = in_another_process(bench, lambda asked, number: replies.never_answers())
    assert bench.server is not None
    assert wait_until(lambda: len(bench.server.asked) == 1)
    started = time.monotonic()
    local.stop(bench.job.run)
    assert time.monotonic() - started < 2
    process.join(20)
    assert local.collect(bench.job).ending is Ending.CANCELLED


def test_a_signal_while_the_model_is_silent_leaves_it_to_be_gone_on_with(bench: Bench) -> None:
    process, local = in_another_process(bench, lambda asked, number: replies.never_answers())
    assert bench.server is not None
    assert wait_until(lambda: len(bench.server.asked) == 1)
    started = time.monotonic()
    os.kill(process.pid or 0, signal.SIGTERM)
    process.join(20)
    assert time.monotonic() - started < 3
    assert local.collect(bench.job).ending is Ending.INTERRUPTED
    assert bench.resume([replies.finish("question", question="Which?")], "Go on.").ending is Ending.QUESTION


def test_stop_leaves_dead_ones_alone(bench: Bench) -> None:
    bench.worker().stop(bench.job.run)
    assert not (bench.job.folder / "stop").exists()


def test_a_run_that_never_began_is_told_from_one_whose_process_died(bench: Bench) -> None:
    local = bench.worker()
    assert local.poll(bench.job.run).liveness is Liveness.ABSENT
    (bench.job.folder / "worker.lock").touch()
    assert local.poll(bench.job.run).liveness is Liveness.DONE
    assert local.collect(bench.job).ending is Ending.INTERRUPTED
    assert bench.resume([replies.finish("question", question="?")], "Go on.").ending is Ending.QUESTION
    assert bench.sent()[1]["content"].startswith("Fix issue 3.")


def test_a_result_of_before_does_not_answer_for_a_resumed_run(bench: Bench) -> None:
    bench.run([WRITE, replies.finish()])
    with pytest.raises(ModelError):
        bench.resume([replies.bad_key()], "The checks fail.")
    assert bench.worker().collect(bench.job).ending is Ending.INTERRUPTED


def test_two_processes_do_not_work_on_one_run(bench: Bench) -> None:
    with (bench.job.folder / "worker.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Busy):
            bench.run([replies.finish()])


def test_kinds_are_made_from_their_section(tmp_path: Path) -> None:
    def never() -> list[Endpoint]:
        raise AssertionError("asked too early")

    services = Services(never, RunStore(tmp_path), tmp_path, Limits(), around(tmp_path), NO_CONFIG)
    assert make(LocalWorkerConfig(), services).attached
    assert make(CommandWorkerConfig(command="true"), services).attached
    closed = Endpoint("m", "http://127.0.0.1:9/v1", Secret(""))
    nowhere = Services(lambda: [closed], RunStore(tmp_path), tmp_path, Limits(), around(tmp_path), NO_CONFIG)
    with pytest.raises(ModelError, match="nothing listens"):
        make(LocalWorkerConfig(), nowhere).check()


def test_a_transcript_is_shown_for_a_person(bench: Bench) -> None:
    bench.prices = {"input_price": 1.0, "output_price": 1.0}
    bench.run(
        [
            replies.call(
                "run_command", {"command": r"printf '\033[31mred\n'; exit 4"}, text="Looking \x1b[31mat it."
            ),
            WRITE,
            replies.finish("implemented", "Wrote a.txt."),
        ]
    )
    with (bench.job.folder / "transcript.jsonl").open("a") as file:
        file.write('{"at": "x", "event": "future", "text": "y"}\n[1]\n{"event": "tool", "te')
    lines = list(words.in_full(transcript.read(bench.job.folder), width=60))
    text = "\n".join(lines)
    assert max(map(len, lines)) <= 60
    assert "\x1b" not in text
    assert "turn 1 scripted" in text
    assert "> run_command printf" in text
    assert "exit code 4" in text
    assert "ended: implemented" in text
    assert "future" in text
    assert "\x1b[1m" in "\n".join(words.in_full(transcript.read(bench.job.folder), colour=True))
    transcript.append(bench.job.folder, "note", text="after a torn line")
    assert list(transcript.read(bench.job.folder))[-1]["text"] == "after a torn line"
    assert list(words.in_full(transcript.read(bench.job.folder / "none"))) == []


def test_every_transcript_line_is_json_with_a_time(bench: Bench) -> None:
    bench.run([WRITE, replies.finish()])
    for line in (bench.job.folder / "transcript.jsonl").read_text().splitlines():
        event = json.loads(line)
        assert event["at"].endswith("+00:00")
        assert event["event"] in {"system", "user", "assistant", "tool", "note", "end"}
