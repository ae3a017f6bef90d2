"""The loop: what a model does right, and every way in which it goes wrong."""

from __future__ import annotations

import json
import logging
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from sprint import spend
from sprint.config import Limits
from sprint.domain import Ending, Endpoint, Liveness, replace
from sprint.errors import ModelError, ModelTrouble
from tests.servers import replies
from tests.servers.model import OllamaFacts
from tests.worker.conftest import Bench, contents

WRITE = replies.call("write_file", {"path": "a.txt", "content": "hello\n"})
DONE = replies.finish("implemented", "Wrote a.txt.")


def test_a_run_ends_with_its_work_its_result_and_its_evidence(bench: Bench) -> None:
    bench.prices = {"input_price": 1.0, "output_price": 10.0}
    result = bench.run([replies.call("run_command", {"command": "echo hi"}, text="Looking."), WRITE, DONE])
    assert result.ending is Ending.IMPLEMENTED
    assert result.summary == "Wrote a.txt."
    assert result.model == "scripted"
    assert result.usage.turns == 3
    assert result.usage.cost_usd is not None
    assert result.usage.cost_usd > 0
    assert spend.spent_today(bench.results) == pytest.approx(result.usage.cost_usd)
    assert bench.file("a.txt").read_text() == "hello\n"
    kinds = [event["event"] for event in bench.events()]
    assert kinds == ["system", "user", *["assistant", "tool"] * 3, "end"]
    command = bench.events("tool")[0]
    assert (command["exit_code"], command["text"]) == (0, "hi\n[exit code 0]")
    assert (bench.job.folder / "result.json").exists()


def test_nothing_of_a_run_holds_the_key(bench: Bench) -> None:
    bench.run([WRITE, DONE])
    assert bench.server is not None
    for path in bench.job.folder.rglob("*"):
        assert path.is_dir() or bench.server.key.encode() not in path.read_bytes()


def test_already_fixed_needs_a_commit_of_the_history(bench: Bench) -> None:
    base = bench.job.run.base_sha
    result = bench.run(
        [
            replies.finish("already_fixed", "Was done."),
            replies.finish("already_fixed", "Was done.", commit="deadbeefdeadbeef"),
            replies.finish("already_fixed", "Was done.", commit=base[:10]),
        ]
    )
    assert result.ending is Ending.ALREADY_FIXED
    assert result.commit == base
    told = contents(bench.sent(), "tool")
    assert "needs the id of the commit" in told[0]
    assert "no commit deadbeef" in told[1]


def test_a_commit_of_the_agents_own_fixed_nothing_before(bench: Bench) -> None:
    def script(asked: dict[str, Any], number: int) -> replies.Reply:
        if number == 0:
            return replies.call(
                "run_command", {"command": "git commit -q --allow-empty -m x; git rev-parse HEAD"}
            )
        if number == 1:
            own = re.search(r"[0-9a-f]{40}", asked["messages"][-1]["content"])
            assert own
            return replies.finish("already_fixed", "By me.", commit=own[0])
        assert "no commit" in asked["messages"][-1]["content"]
        return replies.finish("question", "?", question="Really?")

    assert bench.run(script).ending is Ending.QUESTION


def test_a_question_needs_its_text(bench: Bench) -> None:
    result = bench.run(
        [replies.finish("question", "Stuck."), replies.finish("question", "Stuck.", question="Which colour?")]
    )
    assert (result.ending, result.detail) == (Ending.QUESTION, "Which colour?")
    assert "needs the question" in bench.told()


def test_implemented_without_a_change_is_doubted_once(bench: Bench) -> None:
    result = bench.run([DONE, DONE])
    assert result.ending is Ending.IMPLEMENTED
    assert "Nothing has changed" in bench.told()


def test_finish_is_not_believed_after_a_failure_in_the_same_turn(bench: Bench) -> None:
    both = replies.calls(
        ("edit_file", {"path": "none.txt", "old": "a", "new": "b"}),
        ("finish", {"status": "implemented", "summary": "x"}),
    )
    assert bench.run([both, WRITE, DONE]).ending is Ending.IMPLEMENTED
    assert "An earlier call of this turn failed" in contents(bench.sent(1), "tool")[-1]


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (replies.broken_arguments(), "not valid JSON"),
        (replies.call("run_command", '["ls"]'), "must be a JSON object"),
        (replies.call("run_command", {"command": 5}), "Expected `str`"),
        (replies.call("run_command", {"cmd": "ls"}), "command"),
        (replies.call("run_command", {"command": "ls", "cwd": "/"}), "unknown field `cwd`"),
        (replies.call("run_command", ""), "missing required field `command`"),
        (replies.call("search_web", {"q": "x"}), "The tools are: run_command"),
        (replies.call("we ird$name", "{"), "There is no tool"),
        (replies.call("run_command", {"command": "a\0b"}), "NUL"),
        (replies.call("read_file", {"path": "a\0b"}), "NUL"),
        (replies.broken_arguments("write_file", '{"path": "a", "content": "half'), "not valid JSON"),
    ],
)
def test_a_bad_call_is_answered_with_the_right_way(bench: Bench, bad: replies.Reply, told: str) -> None:
    assert bench.run([bad, WRITE, DONE]).ending is Ending.IMPLEMENTED
    assert told in bench.told(1)
    for call in bench.sent(1)[-2]["tool_calls"]:
        assert isinstance(json.loads(call["function"]["arguments"]), dict)
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", call["function"]["name"])


def test_what_leaves_no_doubt_is_let_pass(bench: Bench) -> None:
    bench.run(
        [
            replies.call("functions.run_command", '{"command": "printf \'a\nb\'"}'),
            replies.call("run_command", json.dumps(json.dumps({"command": "echo twice"}))),
            replies.call("read_file", {"path": "a.txt", "offset": "1"}),
            WRITE,
            DONE,
        ]
    )
    texts = contents(bench.sent(), "tool")
    assert texts[0].startswith("a\nb")
    assert texts[1].startswith("twice")
    assert "does not exist" in texts[2]


def test_empty_answers_are_answered_and_then_stop_the_run(bench: Bench) -> None:
    assert bench.run([replies.empty(), WRITE, DONE]).ending is Ending.IMPLEMENTED
    assert "empty" in bench.told(1)
    result = bench.run(lambda asked, number: replies.empty())
    assert result.ending is Ending.OFF_RAILS
    assert result.usage.turns == 4


def test_cut_answers_are_answered(bench: Bench) -> None:
    half = replies.call("write_file", '{"path": "a.txt", "content": "ab', finish_reason="length")
    assert bench.run([replies.cut(), half, WRITE, DONE]).ending is Ending.IMPLEMENTED
    assert "cut off" in bench.told(1)
    assert "smaller steps" in bench.told(2)
    assert bench.run(lambda asked, number: replies.cut()).ending is Ending.OFF_RAILS


def test_text_without_a_call_is_nudged_twice(bench: Bench) -> None:
    result = bench.run(lambda asked, number: replies.say("I would change the code."))
    assert result.ending is Ending.OFF_RAILS
    assert result.usage.turns == 3
    assert "no tool call" in bench.told(1)


def test_text_without_a_call_after_changes_is_taken_as_done(bench: Bench) -> None:
    result = bench.run([WRITE, *[replies.say("All done: a.txt is there.")] * 3])
    assert (result.ending, result.summary) == (Ending.IMPLEMENTED, "All done: a.txt is there.")


def test_the_same_call_with_the_same_result_is_told_and_then_stops_the_run(bench: Bench) -> None:
    result = bench.run(lambda asked, number: replies.call("run_command", {"command": "date +%s%N"}))
    assert result.ending is Ending.OFF_RAILS
    assert "5 times in a row" in result.detail
    assert result.usage.turns == 5
    assert "3 times in a row" in bench.told(3)


def test_going_back_and_forth_stops_the_run(bench: Bench) -> None:
    commands = ["echo a", "echo b"]
    result = bench.run(lambda asked, number: replies.call("run_command", {"command": commands[number % 2]}))
    assert result.ending is Ending.OFF_RAILS
    assert "the same 2 calls" in result.detail


def test_the_same_mistake_again_and_again_stops_the_run(bench: Bench) -> None:
    result = bench.run(
        lambda asked, number: replies.call("edit_file", {"path": "x.txt", "old": f"a{number}", "new": "b"})
    )
    assert result.ending is Ending.OFF_RAILS
    assert "the same mistake 6 times" in result.detail


def test_work_with_failing_tests_in_between_is_on_the_rails(bench: Bench) -> None:
    def script(asked: dict[str, Any], number: int) -> replies.Reply:
        if number >= 24:
            return DONE
        if number % 2:
            return replies.call("run_command", {"command": "echo 'FAILED test_a'; exit 1"})
        return replies.call("write_file", {"path": "a.txt", "content": str(number)})

    assert bench.run(script).ending is Ending.IMPLEMENTED


def test_too_many_calls_at_once_are_not_all_run(bench: Bench) -> None:
    many = replies.calls(*[("run_command", {"command": f"echo {n} >>log"}) for n in range(30)])
    bench.run([many, DONE])
    assert len(bench.file("log").read_text().split()) == 16
    assert "too many calls" in bench.told(1)


# --- limits ---------------------------------------------------------------------------------------


def busy(asked: dict[str, Any], number: int) -> replies.Reply:
    return replies.call("write_file", {"path": "a.txt", "content": str(number)})


def test_turns_are_limited_and_the_end_is_announced(bench: Bench) -> None:
    bench.limit(turns=7)
    result = bench.run(busy)
    assert (result.ending, result.usage.turns) == (Ending.LIMIT, 7)
    assert "limits.turns" in result.detail
    assert bench.file("a.txt").read_text() == "6"
    warned = [n for n in range(7) if "turns left" in json.dumps(bench.sent(n))]
    assert warned == [4, 5, 6]
    assert json.dumps(bench.sent()).count("turns left") == 1


def test_the_end_is_announced_when_a_tenth_is_left(bench: Bench) -> None:
    assert Limits().turns == 200
    bench.limit(turns=40)
    bench.run(lambda asked, number: replies.call("run_command", {"command": f"echo {'x' * number}"}))
    assert [n for n in range(40) if "Only 4 turns left" in bench.told(n)] == [36]


def test_minutes_are_limited_even_in_the_middle_of_an_answer(bench: Bench) -> None:
    bench.limit(minutes=0.02, silence_seconds=60)
    result = bench.run(lambda asked, number: replies.falls_silent())
    assert result.ending is Ending.LIMIT
    assert "limits.minutes" in result.detail


def test_a_command_gets_no_more_time_than_the_run(bench: Bench) -> None:
    bench.limit(minutes=0.025)
    result = bench.run(lambda asked, number: replies.call("run_command", {"command": "sleep 30"}))
    assert result.ending is Ending.LIMIT
    assert "killed after" in bench.events("tool")[0]["text"]


def test_tokens_are_limited(bench: Bench) -> None:
    bench.limit(tokens=1000)
    result = bench.run(lambda asked, number: replace(busy(asked, number), prompt_tokens=400))
    assert result.ending is Ending.LIMIT
    assert "limits.tokens" in result.detail
    assert result.usage.turns <= 3


def test_dollars_are_limited_per_run_and_per_day(bench: Bench) -> None:
    bench.prices = {"input_price": 1000.0, "output_price": 1000.0}
    bench.limit(usd=1.0, usd_per_day=1.5)
    dear = lambda asked, number: replace(busy(asked, number), prompt_tokens=400, completion_tokens=1)  # noqa: E731
    first = bench.run(dear)
    assert first.ending is Ending.LIMIT
    assert "limits.usd:" in first.detail
    assert first.usage.turns == 3
    spend.record(bench.results, "another", 0.5)
    second = bench.run(dear)
    assert "limits.usd_per_day" in second.detail
    assert second.usage.turns == 0


def test_an_unknown_price_is_said_once_and_stops_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    result = bench.run([WRITE, busy({}, 1), DONE])
    assert result.ending is Ending.IMPLEMENTED
    assert result.usage.cost_usd is None
    assert caplog.text.count("price is unknown") == 1
    assert len([note for note in bench.events("note") if "price is unknown" in note["text"]]) == 1


def test_a_reason_to_stop_cancels(bench: Bench) -> None:
    bench.job = replace(bench.job, watch=lambda: "the issue was closed")
    result = bench.run(busy)
    assert (result.ending, result.detail) == (Ending.CANCELLED, "the issue was closed")


def test_nobody_waits_for_a_model_that_is_loaded_once_there_is_a_reason_to_stop(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_over, waited, said = threading.Event(), list[bool](), iter([""])

    def window(_endpoint: Endpoint) -> None:
        waited.append(is_over.wait(20))

    monkeypatch.setattr("sprint.model.inquiry.window", window)
    bench.job = replace(bench.job, watch=lambda: next(said, "the issue was closed"))
    result = bench.run(busy)
    assert waited == []
    is_over.set()
    assert (result.ending, result.detail) == (Ending.CANCELLED, "the issue was closed")


# --- models that fail -------------------------------------------------------------------------------


def test_no_model_is_an_error_of_the_operators_and_the_run_goes_on_later(bench: Bench) -> None:
    with pytest.raises(ModelError, match="key is refused"):
        bench.run([WRITE, replies.bad_key()])
    assert not (bench.job.folder / "result.json").exists()
    result = bench.resume([DONE], "Go on.")
    assert result.ending is Ending.IMPLEMENTED
    assert result.usage.turns == 2
    assert "Go on." in bench.told()


def test_a_fallback_takes_over_in_the_middle_of_a_run(bench: Bench) -> None:
    first = bench.serve([WRITE, replies.no_quota()], name="first")
    second = bench.serve([DONE], name="second")
    worker = bench.worker(first, second)
    worker.start(bench.job)
    result = worker.collect(bench.job)
    assert (result.ending, result.model) == (Ending.IMPLEMENTED, "second")
    assert len(second.asked[0].body["messages"]) == 4


# --- the context ------------------------------------------------------------------------------------


def reading(asked: dict[str, Any], number: int) -> replies.Reply:
    """Reads much, turn after turn; the server counts four characters as a token."""
    return replies.call("run_command", {"command": f"seq {number * 1000} {number * 1000 + 1500}"})


def test_old_results_are_shortened_in_one_step(bench: Bench) -> None:
    bench.prices = {"context": 16_000}  # type: ignore[dict-item]
    bench.limit(turns=30)
    bench.run(reading)
    sizes = [sum(len(str(m.get("content") or "")) for m in bench.sent(n)) for n in range(30)]
    assert max(sizes) <= 16_000 * 4 * 0.9
    drops = [n for n in range(1, 30) if sizes[n] < sizes[n - 1]]
    assert 1 <= len(drops) <= 8
    for n in drops:
        assert sizes[n] <= 16_000 * 4 * 0.65
    last = bench.sent(29)
    assert last[0]["content"] == "You fix issues."
    assert last[1]["content"] == "Fix issue 3."
    assert "left out" not in json.dumps(last[-3:]).replace("the middle is left out", "")
    for n in set(range(1, 30)) - set(drops):
        assert bench.sent(n)[: len(bench.sent(n - 1))] == bench.sent(n - 1)


@pytest.mark.parametrize("provider", sorted(replies.OVERFLOWS))
def test_an_overflow_shortens_and_goes_on(bench: Bench, provider: str) -> None:
    def script(asked: dict[str, Any], number: int) -> replies.Reply:
        size = sum(len(str(message.get("content") or "")) for message in asked["messages"])
        if size > 40_000:
            return replies.overflow(provider)
        return reading(asked, number)

    bench.limit(turns=9)
    result = bench.run(script)
    assert result.usage.turns == 9
    assert "limits.turns" in result.detail
    assert any("left out" in event["text"] for event in bench.events("note"))


def test_a_context_that_cannot_hold_the_task_is_the_operators_to_mend(bench: Bench) -> None:
    with pytest.raises(ModelError, match="maximum context length is 8192") as caught:
        bench.run(lambda asked, number: replies.overflow())
    assert caught.value.kind is ModelTrouble.WINDOW
    assert bench.worker().poll(bench.job.run).liveness is Liveness.DONE
    assert bench.worker().collect(bench.job).ending is Ending.INTERRUPTED


def test_a_server_that_begins_to_cut_stops_the_run_and_is_kept_within_when_it_goes_on(bench: Bench) -> None:
    def cutting(asked: dict[str, Any], number: int) -> replies.Reply:
        tokens = sum(len(str(message.get("content") or "")) for message in asked["messages"]) // 4
        return replace(reading(asked, number), prompt_tokens=min(tokens, 12_000))

    bench.limit(turns=60)
    with pytest.raises(ModelError, match="has begun to cut the conversation") as caught:
        bench.run(cutting)
    assert caught.value.kind is ModelTrouble.WINDOW
    before = len(bench.sent())
    bench.limit(turns=bench.events("assistant")[-1]["turn"] + 6)
    assert bench.resume(cutting, "Go on.").ending is Ending.LIMIT
    sent = sum(len(str(message.get("content") or "")) for message in bench.sent(0))
    assert sent < 12_000 * 4
    assert len(bench.sent(0)) == before, "only old results are shortened"


def test_ollamas_real_window_is_asked_and_kept_to(bench: Bench) -> None:
    bench.limit(turns=12)
    bench.run(reading, ollama=OllamaFacts(context=9000))
    assert any("context of 9000 tokens only" in event["text"] for event in bench.events("note"))
    for number in range(12):
        assert sum(len(str(m.get("content") or "")) for m in bench.sent(number)) <= 9000 * 4


# --- resuming ---------------------------------------------------------------------------------------


def test_resume_goes_on_with_the_conversation_and_the_limits(bench: Bench) -> None:
    bench.limit(turns=4)
    bench.run([WRITE, DONE])
    result = bench.resume(busy, "The checks fail: FAILED test_a")
    assert (result.ending, result.usage.turns) == (Ending.LIMIT, 4)
    roles = [message["role"] for message in bench.sent(0)]
    assert roles == ["system", "user", "assistant", "tool", "assistant", "tool"]
    assert "FAILED test_a" in bench.told(0)


def test_a_model_that_puts_its_thoughts_into_the_answer(bench: Bench) -> None:
    bench.run(
        [
            replies.call("run_command", {"command": "true"}, text="<think>secret plan</think>Going."),
            DONE,
            DONE,
        ]
    )
    assert "secret plan" not in json.dumps(bench.sent())
    assert "secret plan" in Path(bench.job.folder / "transcript.jsonl").read_text()
