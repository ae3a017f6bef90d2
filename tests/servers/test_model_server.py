"""The scripted model, met with the real openai client and raw HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest
import requests

from tests.servers import replies
from tests.servers.model import DemoModel, OllamaFacts
from tests.servers.replies import Reply, call, calls, say

Serve = Callable[..., DemoModel]
HELLO: list[Any] = [{"role": "user", "content": "hello"}]


def client(model: DemoModel, key: str = "", seconds: float = 5.0) -> openai.OpenAI:
    return openai.OpenAI(base_url=model.base_url, api_key=key or model.key, max_retries=0, timeout=seconds)


def stream(model: DemoModel, messages: Any = HELLO, seconds: float = 5.0) -> list[Any]:
    options = {"include_usage": True}
    asked = client(model, seconds=seconds).chat.completions.create(
        model=model.name, messages=messages, stream=True, stream_options=options
    )
    return list(asked)


def text_of(events: list[Any]) -> str:
    return "".join(event.choices[0].delta.content or "" for event in events if event.choices)


def finish_of(events: list[Any]) -> str | None:
    reasons = [event.choices[0].finish_reason for event in events if event.choices]
    return next((reason for reason in reasons if reason), None)


def raw(model: DemoModel, **body: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {model.key}"}
    body = {"model": model.name, "messages": HELLO, **body}
    return requests.post(f"{model.base_url}/chat/completions", json=body, headers=headers, timeout=5)


def test_streams_text_calls_and_usage(model_server: Serve) -> None:
    model = model_server(
        [calls(("read_file", {"path": "a" * 60}), ("run_command", "{oops"), text="I look. " * 9)]
    )
    events = stream(model)
    assert text_of(events) == "I look. " * 9
    assert finish_of(events) == "tool_calls"
    arguments = ["", ""]
    names = {}
    for event in events:
        for part in (event.choices[0].delta.tool_calls or []) if event.choices else []:
            arguments[part.index] += part.function.arguments or ""
            names[part.index] = names.get(part.index) or part.function.name
    assert names == {0: "read_file", 1: "run_command"}
    assert json.loads(arguments[0]) == {"path": "a" * 60}
    assert arguments[1] == "{oops"
    assert events[-1].usage.completion_tokens > 0


def test_answers_whole_too(model_server: Serve) -> None:
    model = model_server([call("finish", {"status": "implemented"}, prompt_tokens=7, completion_tokens=3)])
    whole = client(model).chat.completions.create(model=model.name, messages=HELLO)
    assert whole.choices[0].finish_reason == "tool_calls"
    assert whole.choices[0].message.tool_calls[0].function.name == "finish"  # type: ignore[index, union-attr]
    assert (whole.usage.prompt_tokens, whole.usage.total_tokens) == (7, 10)  # type: ignore[union-attr]


def test_counts_the_common_beginning_as_cached(model_server: Serve) -> None:
    model = model_server(lambda _request, number: say(f"answer {number}"))
    start = [{"role": "user", "content": "x" * 400}]
    assert stream(model, start)[-1].usage.prompt_tokens_details.cached_tokens == 0
    more = [*start, {"role": "user", "content": "y" * 40}]
    usage = stream(model, more)[-1].usage
    assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens) == (110, 100)


def test_wants_its_key_and_its_name(model_server: Serve) -> None:
    model = model_server([say("hi")])
    with pytest.raises(openai.AuthenticationError):
        client(model, key="sk-wrong").models.list()
    assert [listed.id for listed in client(model).models.list()] == [model.name]
    with pytest.raises(openai.NotFoundError):
        client(model).chat.completions.create(model="absent", messages=HELLO)


def test_keeps_what_it_was_asked(model_server: Serve) -> None:
    model = model_server([say("hi")])
    stream(model)
    (asked,) = model.asked
    assert asked.body["messages"] == HELLO
    assert asked.headers["authorization"] == f"Bearer {model.key}"


def test_a_script_that_is_at_its_end_says_so(model_server: Serve) -> None:
    model = model_server([])
    with pytest.raises(openai.BadRequestError, match="no reply for request 0"):
        stream(model)


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (replies.rate_limited("3"), 429),
        (replies.overloaded(None), 529),
        (replies.server_error(), 500),
        (replies.bad_key(), 401),
        (replies.no_quota(402), 402),
        (replies.no_quota(), 429),
        (replies.no_such_model(), 404),
        (replies.no_tools(), 400),
        *((replies.overflow(name), replies.OVERFLOWS[name][0]) for name in replies.OVERFLOWS),
    ],
)
def test_statuses(model_server: Serve, reply: Reply, status: int) -> None:
    model = model_server([reply])
    with pytest.raises(openai.APIStatusError) as caught:
        stream(model)
    assert caught.value.status_code == status
    assert caught.value.response.headers.get("retry-after") == reply.headers.get("retry-after")


@pytest.mark.parametrize("reply", [replies.html_page(), replies.closed_halfway()], ids=["html", "halfway"])
def test_streams_that_end_without_any_error(model_server: Serve, reply: Reply) -> None:
    assert finish_of(stream(model_server([reply]))) is None


def test_an_error_with_status_200(model_server: Serve) -> None:
    answered = raw(model_server([replies.error_with_200("upstream")]), stream=True)
    assert (answered.status_code, answered.json()["error"]["message"]) == (200, "upstream")


def test_an_error_event_in_a_stream(model_server: Serve) -> None:
    with pytest.raises(openai.APIError, match="upstream model failed"):
        stream(model_server([replies.error_event()]))


def test_a_connection_cut_in_a_stream(model_server: Serve) -> None:
    with pytest.raises((openai.APIError, httpx2.TransportError)):
        stream(model_server([replies.dropped_halfway()]))


def test_no_headers_at_all(model_server: Serve) -> None:
    with pytest.raises(openai.APITimeoutError):
        stream(model_server([replies.never_answers()]), seconds=0.2)


def test_heartbeats_hide_the_silence(model_server: Serve) -> None:
    model = model_server([replies.falls_silent(heartbeat=0.02)])
    body = {"model": model.name, "messages": HELLO, "stream": True}
    with requests.post(
        f"{model.base_url}/chat/completions",
        json=body,
        headers={"Authorization": f"Bearer {model.key}"},
        stream=True,
        timeout=2,
    ) as answered:
        lines = answered.iter_lines()
        beats = 0
        while beats < 5:
            beats += next(lines) == b": still here"


def test_cut_empty_and_without_usage(model_server: Serve) -> None:
    model = model_server(
        [replies.cut(), replies.empty(), replies.without_usage(say("x")), replies.slow("x" * 50, 0.01)]
    )
    assert finish_of(stream(model)) == "length"
    assert text_of(events := stream(model)) == ""
    assert finish_of(events) == "stop"
    assert all(event.usage is None for event in stream(model))
    assert text_of(stream(model)) == "x" * 50


@pytest.mark.parametrize(
    "dialect", ["json-fence", "bare-json", "hermes", "function", "xml-parameters", "mistral"]
)
def test_calls_as_text(model_server: Serve, dialect: str) -> None:
    model = model_server([replies.call_as_text(dialect, "run_command", {"command": "ls"})])
    text = text_of(stream(model))
    assert "run_command" in text
    assert "ls" in text


def test_ollama_tells_its_window_and_cuts_silently(model_server: Serve) -> None:
    seen: list[str] = []

    def script(request: dict[str, Any], _number: int) -> Reply:
        seen.append("".join(message["content"] for message in request["messages"]))
        return say("ok")

    model = model_server(script, ollama=OllamaFacts(trained_context=100_000, context=10))
    stream(model, [{"role": "system", "content": "needle"}, {"role": "user", "content": "x" * 100}])
    assert seen == ["x" * 40]
    assert "needle" in json.dumps(model.asked[0].body)
    shown = requests.post(f"{model.url}/api/show", json={"model": model.name}, timeout=5).json()
    assert shown["model_info"]["demo.context_length"] == 100_000
    assert requests.get(f"{model.url}/api/ps", timeout=5).json()["models"][0]["context_length"] == 10
    assert requests.get(f"{model.url}/api/tags", timeout=5).json()["models"][0]["name"] == model.name
