"""What `sprint doctor` finds out about a model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sprint import health
from sprint.credentials.secret_places import NO_KEY
from sprint.domain import Endpoint, Finding, Grade, Secret, replace
from sprint.errors import ModelTrouble
from sprint.model.probe import examine
from tests.servers import replies
from tests.servers.able import able
from tests.servers.model import DemoModel, OllamaFacts

Serve = Callable[..., DemoModel]


@pytest.fixture
def model_server(model_server: Serve) -> Serve:
    """Models that answer every question by their script."""
    return lambda script, **options: model_server(script, is_fit=False, **options)


def findings(server: DemoModel, *, deep: bool = True, **more: Any) -> list[Finding]:
    endpoint = Endpoint(server.name, server.base_url, Secret(server.key), **more)
    return list(examine(endpoint, "model", None, seconds=5, deep=deep))


def test_a_fit_model_has_no_fault(model_server: Serve) -> None:
    found = findings(model_server(able), context=64_000)
    assert {finding.grade for finding in found} == {Grade.OK}
    assert "reads the far end" in found[-1].says


def test_without_deep_only_the_tiny_question_is_asked(model_server: Serve) -> None:
    server = model_server(able)
    found = findings(server, deep=False, context=64_000)
    assert {finding.grade for finding in found} == {Grade.OK}
    assert len(server.asked) == 1
    assert len(str(server.asked[0].body)) < 2000


@pytest.mark.parametrize(
    ("runs", "configured", "grade", "says"),
    [
        (4096, None, Grade.FAULT, "a context of 4096 tokens"),
        (16_384, 32_768, Grade.WARNING, "16384 tokens, made for 131072, configured are 32768; set OLLAMA_"),
        (
            32_768,
            None,
            Grade.WARNING,
            "32768 tokens, made for 131072, less than the 64k that hermes asks for",
        ),
        (65_536, None, Grade.OK, "Ollama runs it with 65536 tokens, made for 131072"),
    ],
)
def test_the_window_that_ollama_really_runs_with_is_told(
    model_server: Serve, runs: int, configured: int | None, grade: Grade, says: str
) -> None:
    server = model_server(able, ollama=OllamaFacts(context=runs))
    found = findings(server, deep=False, context=configured)
    assert found[-1].grade is grade
    assert says in found[-1].says


def test_a_window_that_nobody_tells_is_said_with_what_measures_it(model_server: Serve) -> None:
    found = findings(model_server(able), deep=False)
    assert found[-1].grade is Grade.WARNING
    assert "set model.context; `sprint doctor --deep`" in found[-1].says


def test_the_needle_tells_a_message_that_was_cut(model_server: Serve) -> None:
    def forgetful(asked: dict[str, Any], number: int) -> replies.Reply:
        cut = [{**m, "content": str(m["content"])[-8000:]} for m in asked["messages"]]
        reply = able({**asked, "messages": cut}, number)
        return replace(reply, prompt_tokens=2050) if not asked.get("tools") else reply

    found = findings(model_server(forgetful), context=64_000)
    assert found[-1].grade is Grade.WARNING
    assert "cut, for its server counted 2050; set model.context" in found[-1].says


def test_the_needle_tells_a_message_that_was_missed(model_server: Serve) -> None:
    def dull(asked: dict[str, Any], number: int) -> replies.Reply:
        return able(asked, number) if asked.get("tools") else replies.say("Hello!")

    found = findings(model_server(dull), context=64_000)
    assert found[-1].grade is Grade.WARNING
    assert "missed by the model, for its server counted 2" in found[-1].says


def test_every_question_is_bounded(model_server: Serve) -> None:
    server = model_server(able)
    findings(server)
    assert [asked.body["max_tokens"] for asked in server.asked] == [300, 1000]


def test_each_finding_is_there_as_soon_as_it_is_made(model_server: Serve) -> None:
    def slow(asked: dict[str, Any], number: int) -> replies.Reply:
        return able(asked, number) if asked.get("tools") else replies.never_answers()

    server = model_server(slow)
    endpoint = Endpoint(server.name, server.base_url, Secret(server.key), context=64_000)
    found = examine(endpoint, "model", None, seconds=60, deep=True)
    assert [next(found).what for _ in range(3)] == ["model", "model tools", "model context"]
    assert len(server.asked) == 1


def test_what_it_finds_ends_a_remembered_refusal(model_server: Serve, tmp_path: Path) -> None:
    server = model_server(able)
    endpoint = Endpoint(server.name, server.base_url, Secret(server.key), context=64_000)
    health.note_model(tmp_path, endpoint, ModelTrouble.QUOTA, "no money")
    list(examine(endpoint, "model", tmp_path, seconds=5))
    assert [model.kind for model in health.read(tmp_path).models] == [None]
    server.script = lambda asked, number: replies.bad_key()
    list(examine(endpoint, "model", tmp_path, seconds=5))
    assert [model.kind for model in health.read(tmp_path).models] == [ModelTrouble.REFUSED]


def test_a_context_smaller_than_configured_is_told(model_server: Serve) -> None:
    server = model_server(lambda asked, n: able(asked, n) if asked.get("tools") else replies.overflow())
    assert "at most 8192 tokens; set model.context" in findings(server, context=64_000)[-1].says


def test_calls_written_as_text_are_a_warning(model_server: Serve) -> None:
    def texts(asked: dict[str, Any], number: int) -> replies.Reply:
        made = able(asked, number).tool_calls
        return replies.call_as_text("hermes", "report_number", json.loads(made[0].arguments))

    found = findings(model_server(texts), deep=False, context=64_000)
    assert [f.grade for f in found if f.what == "model tools"] == [Grade.WARNING]


def test_a_model_that_cannot_call_tools_is_a_fault(model_server: Serve) -> None:
    for bad, why in (
        (replies.cut(), "no tool call within 2000 tokens"),
        (replies.say("Certainly! The number is 5."), "text in place of a tool call"),
        (replies.call("report_number", '{"number": '), "no JSON"),
        (replies.call("report_number", json.dumps({"number": -1})), "when asked for report_number"),
        (replies.no_tools(), "cannot call tools"),
    ):
        found = findings(model_server(lambda asked, number, bad=bad: bad))
        faults = [finding.says for finding in found if finding.grade is Grade.FAULT]
        assert any(why in says for says in faults), (why, faults)


def test_an_unreachable_model_is_a_fault() -> None:
    found = list(examine(Endpoint("m", "http://127.0.0.1:9/v1", Secret("")), "model", None))
    assert [finding.grade for finding in found] == [Grade.FAULT]
    assert "nothing listens" in found[0].says


def test_each_address_and_each_reason_is_said_once(model_server: Serve) -> None:
    server = model_server(able)
    assert f"reachable at {server.base_url}" in [finding.says for finding in findings(server)]
    (fault,) = findings(model_server(lambda asked, number: replies.no_tools()))
    assert "sprint doctor" not in fault.says


def test_a_key_that_nobody_set_is_not_called_refused(model_server: Serve) -> None:
    server = model_server(able)
    (fault,) = examine(Endpoint(server.name, server.base_url, NO_KEY), "model", None)
    assert "it wants a key, and none is set; set model.api_key_file" in fault.says
