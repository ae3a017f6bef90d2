"""What `sprint doctor` finds out about a model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from sprint.credentials import NO_KEY
from sprint.demo import replies
from sprint.demo.model import DemoModel, OllamaFacts
from sprint.domain import Endpoint, Finding, Grade, Secret
from sprint.model.probe import examine

Serve = Callable[..., DemoModel]


def findings(server: DemoModel, **more: Any) -> list[Finding]:
    endpoint = Endpoint(server.name, server.base_url, Secret(server.key), **more)
    return list(examine(endpoint, "model", timeout=5))


def able(asked: dict[str, Any], number: int) -> replies.Reply:
    """A model that does what it is asked and answers from what reached it."""
    text = "\n".join(str(message["content"]) for message in asked["messages"])
    if asked.get("tools"):
        wanted = re.search(r"number (\d+)", text)
        assert wanted
        return replies.call("report_number", {"number": int(wanted[1])})
    password = re.search(r"password is ([\w-]+)", text)
    return replies.say(password[1] if password else "I do not know.")


def test_a_fit_model_has_no_fault(model_server: Serve) -> None:
    found = findings(model_server(able), context=40_000)
    assert {finding.grade for finding in found} == {Grade.OK}
    assert "reads the far end" in found[-1].says


def test_ollama_cutting_silently_is_found_twice(model_server: Serve) -> None:
    found = findings(model_server(able, ollama=OllamaFacts(context=4096)), context=32_768)
    warnings = [finding.says for finding in found if finding.grade is Grade.WARNING]
    assert any(
        "4096 tokens, configured are 32768" in says and "OLLAMA_CONTEXT_LENGTH" in says for says in warnings
    )


def test_a_server_that_cuts_without_telling_is_found_by_the_needle(model_server: Serve) -> None:
    def forgetful(asked: dict[str, Any], number: int) -> replies.Reply:
        cut = [{**m, "content": str(m["content"])[-8000:]} for m in asked["messages"]]
        return able({**asked, "messages": cut}, number)

    found = findings(model_server(forgetful), context=32_768)
    assert "does not see the far end" in found[-1].says
    assert found[-1].grade is Grade.WARNING


def test_a_context_smaller_than_configured_is_told(model_server: Serve) -> None:
    server = model_server(lambda asked, n: able(asked, n) if asked.get("tools") else replies.overflow())
    assert "at most 8192 tokens" in findings(server, context=32_768)[-1].says


def test_a_model_that_cannot_call_tools_is_a_fault(model_server: Serve) -> None:
    for bad, why in (
        (replies.say("Certainly! The number is 5."), "text in place of a tool call"),
        (replies.call("report_number", '{"number": '), "no JSON"),
        (replies.call("report_number", json.dumps({"number": -1})), "when asked for report_number"),
        (replies.no_tools(), "cannot call tools"),
    ):
        found = findings(model_server(lambda asked, number, bad=bad: bad))
        faults = [finding.says for finding in found if finding.grade is Grade.FAULT]
        assert any(why in says for says in faults), (why, faults)


def test_an_unreachable_model_is_a_fault() -> None:
    found = list(examine(Endpoint("m", "http://127.0.0.1:9/v1", Secret("")), "model"))
    assert [finding.grade for finding in found] == [Grade.FAULT]
    assert "nothing listens" in found[0].says


def test_each_address_and_each_reason_is_said_once(model_server: Serve) -> None:
    server = model_server(able)
    assert f"reachable at {server.base_url}" in [finding.says for finding in findings(server)]
    (fault,) = findings(model_server(lambda asked, number: replies.no_tools()))
    assert "sprint doctor" not in fault.says


def test_a_key_that_nobody_set_is_not_called_refused(model_server: Serve) -> None:
    server = model_server(able)
    (fault,) = examine(Endpoint(server.name, server.base_url, NO_KEY), "model")
    assert "it wants a key, and none is set; set model.api_key_file" in fault.says
