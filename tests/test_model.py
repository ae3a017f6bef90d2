"""The door to a model, against a server that misbehaves in each way that was seen."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sprint import health
from sprint.domain import Endpoint, Secret, replace
from sprint.model import ContextCut, ContextOverflow, ModelError, Models, ModelTrouble, OutOfTime, inquiry
from tests.servers import replies
from tests.servers.loopback import Answer, HangUp, LoopbackServer, Request
from tests.servers.model import DemoModel

MESSAGES = [{"role": "user", "content": "hello"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "run_command",
        "description": "",
        "parameters": {"type": "object", "properties": {}},
    },
}


def endpoint_of(server: DemoModel, **more: Any) -> Endpoint:
    return Endpoint(server.name, server.base_url, Secret(server.key), **more)


def models_of(
    *servers: DemoModel,
    first: float = 5.0,
    silence: float = 5.0,
    seconds: float = 20.0,
    backoff: float = 0.01,
    results: Path | None = None,
    **more: Any,
) -> Models:
    return Models(
        [endpoint_of(server, **more) for server in servers],
        first_token_seconds=first,
        silence_seconds=silence,
        deadline=time.monotonic() + seconds,
        backoff_seconds=backoff,
        results=results,
    )


Serve = Callable[..., DemoModel]


def test_text_and_calls_and_usage_come_whole(model_server: Serve) -> None:
    server = model_server(
        [
            replies.calls(
                ("run_command", {"command": "ls -la"}),
                ("read_file", {"path": "é.txt"}),
                text="Looking around, in several pieces of text.",
                reasoning="hm",
                prompt_tokens=1_000_000,
                cached_tokens=400_000,
                completion_tokens=100_000,
            )
        ]
    )
    with models_of(server, input_price=1.0, cached_price=0.5, output_price=10.0) as models:
        reply = models.complete(MESSAGES, [TOOL])
    assert reply.content == "Looking around, in several pieces of text."
    assert reply.reasoning == "hm"
    assert [(call.name, call.arguments) for call in reply.tool_calls] == [
        ("run_command", '{"command": "ls -la"}'),
        ("read_file", '{"path": "\\u00e9.txt"}'),
    ]
    assert reply.finish_reason == "tool_calls"
    assert reply.usage.cost_usd == pytest.approx(0.6 + 0.2 + 1.0)
    assert not reply.estimated


def test_cached_tokens_cost_as_others_where_no_price_is_known(model_server: Serve) -> None:
    reply = replies.say("x", prompt_tokens=1_000_000, cached_tokens=900_000, completion_tokens=0)
    server = model_server([reply])
    models = models_of(server, input_price=2.0, output_price=1.0)
    assert models.complete(MESSAGES, []).usage.cost_usd == pytest.approx(2.0)


def test_cached_tokens_that_are_counted_apart_are_counted(model_server: Serve) -> None:
    usage = (
        '{"choices": [], "usage": {"prompt_tokens": 280, "prompt_tokens_details": {"cached_tokens": 1500}}}'
    )
    counted = ask_raw([sse(CONTENT, END, usage, "[DONE]")]).usage
    assert (counted.prompt_tokens, counted.cached_tokens) == (1780, 1500)


def test_unknown_price_is_unknown_and_missing_usage_is_estimated(model_server: Serve) -> None:
    server = model_server([replies.without_usage(replies.say("x" * 700))])
    reply = models_of(server).complete([{"role": "user", "content": "y" * 3500}], [])
    assert reply.estimated
    assert reply.usage.cost_usd is None
    assert reply.usage.prompt_tokens >= 1000
    assert reply.usage.completion_tokens == 200


@pytest.mark.parametrize(
    "bad",
    [
        replies.closed_halfway(),
        replies.dropped_halfway(),
        replies.error_event(),
        replies.html_page(),
        replies.error_with_200(),
        replies.not_json(),
        replies.server_error(500),
        replies.server_error(503),
        replies.rate_limited("0"),
        replies.overloaded("0"),
        replies.rate_limited(None),
        replies.say("Upstream failed", finish_reason="error"),
        replies.Reply(status=200, body="", headers={"Content-Type": "text/event-stream"}),
        replies.Reply(status=200, body="data: {half\n\n", headers={"Content-Type": "text/event-stream"}),
        replies.Reply(status=200, body="data: [DONE]\n\n", headers={"Content-Type": "text/event-stream"}),
    ],
    ids=lambda reply: f"{reply.status}-{reply.then}-{reply.body[:12]!r}-{reply.finish_reason}",
)
def test_a_failure_that_may_pass_is_tried_again(model_server: Serve, bad: replies.Reply) -> None:
    server = model_server([bad, replies.say("well")])
    assert models_of(server).complete(MESSAGES, []).content == "well"
    assert len(server.asked) == 2


def test_silence_is_counted_in_content(model_server: Serve) -> None:
    server = model_server([replies.falls_silent(), replies.say("well")])
    started = time.monotonic()
    assert models_of(server, silence=0.3).complete(MESSAGES, []).content == "well"
    assert time.monotonic() - started < 3


def test_a_prompt_that_is_read_for_too_long_is_not_sent_again(model_server: Serve) -> None:
    server = model_server([replies.never_answers(), replies.say("well")])
    with pytest.raises(ModelError, match=r"within 0\.3 s; raise limits\.first_token_seconds") as caught:
        models_of(server, first=0.3, silence=0.1).complete(MESSAGES, [])
    assert caught.value.kind is ModelTrouble.SLOW
    assert len(server.asked) == 1


def test_a_slow_prompt_leads_to_the_next_endpoint_and_is_no_refusal(model_server: Serve) -> None:
    slow = model_server([replies.never_answers(), replies.say("well")], name="slow")
    other = model_server([replies.say("second")], name="other")
    models = models_of(slow, other, first=0.3)
    assert models.complete(MESSAGES, []).content == "second"
    assert not models._connections[1].is_refused


def test_a_first_token_may_take_longer_than_silence(model_server: Serve) -> None:
    server = model_server([replies.Reply(text="well", hang=0.6)])
    assert models_of(server, first=10, silence=0.2).complete(MESSAGES, []).content == "well"


def streaming(*pieces: bytes, pause: float) -> Answer:
    def body() -> Generator[bytes, None, None]:
        for piece in pieces:
            time.sleep(pause)
            yield piece

    return Answer(200, body(), {"Content-Type": "text/event-stream"})


PING = b": still here\n\n"
WELL = b'data: {"choices": [{"delta": {"content": "well"}, "finish_reason": "stop"}]}\n\n'


def test_pings_are_signs_of_life_before_the_first_token() -> None:
    answers = [streaming(*[PING] * 8, WELL, pause=0.15)]
    with serving(lambda request: answers.pop()) as url:
        models = raw_models(url, first=0.5)
        assert models.complete(MESSAGES, []).content == "well"


def test_pings_are_none_after_it(model_server: Serve) -> None:
    server = model_server([replies.falls_silent(heartbeat=0.02), replies.say("well")])
    assert models_of(server, first=60, silence=0.3).complete(MESSAGES, []).content == "well"


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every connection that is made, by its address."""
    made: list[Any] = []
    real = socket.create_connection

    def noted(address: Any, *args: Any, **more: Any) -> socket.socket:
        made.append(address)
        return real(address, *args, **more)

    monkeypatch.setattr(socket, "create_connection", noted)
    return made


def test_a_connection_is_kept_from_turn_to_turn(model_server: Serve, connections: list[Any]) -> None:
    server = model_server([replies.say(text) for text in "abc"])
    with models_of(server) as models:
        assert [models.complete(MESSAGES, []).content for _ in range(3)] == ["a", "b", "c"]
    assert len(connections) == 1


def test_one_that_the_server_closed_meanwhile_is_made_anew_at_once(connections: list[Any]) -> None:
    """It is no failure: also where none is tried again."""
    asked = []

    def answer(request: Request) -> Answer:
        asked.append(request)
        if len(asked) == 2:
            raise HangUp
        return sse(CONTENT, END, "[DONE]")

    with serving(answer) as url, raw_models(url, tries=1) as models:
        assert [models.complete(MESSAGES, []).content for _ in range(2)] == ["well"] * 2
    assert (len(asked), len(connections)) == (3, 2)


def test_one_that_is_held_open_after_the_end_mark_is_waited_for_once(connections: list[Any]) -> None:
    over = threading.Event()

    def held() -> Generator[bytes, None, None]:
        yield WELL + b"data: [DONE]\n\n"
        over.wait(60)

    headers = {"Content-Type": "text/event-stream"}
    with serving(lambda request: Answer(200, held(), headers)) as url, raw_models(url) as models:
        started = time.monotonic()
        assert [models.complete(MESSAGES, []).content for _ in range(2)] == ["well"] * 2
        assert time.monotonic() - started < 20
        over.set()
    assert len(connections) == 2


def test_a_slow_answer_is_no_silence(model_server: Serve) -> None:
    text = "piece by piece, " * 20
    server = model_server([replies.slow(text, 0.06)])
    assert models_of(server, silence=0.5).complete(MESSAGES, []).content == text
    assert len(server.asked) == 1


def test_the_deadline_ends_a_silent_call(model_server: Serve) -> None:
    server = model_server(lambda asked, number: replies.falls_silent())
    started = time.monotonic()
    with pytest.raises(OutOfTime):
        models_of(server, seconds=0.4, first=60, silence=60).complete(MESSAGES, [])
    assert time.monotonic() - started < 3


def test_a_wait_as_told_is_waited(model_server: Serve) -> None:
    server = model_server([replies.rate_limited("1"), replies.say("well")])
    started = time.monotonic()
    assert models_of(server).complete(MESSAGES, []).content == "well"
    assert time.monotonic() - started >= 1


def test_a_wait_beyond_the_deadline_is_not_begun(model_server: Serve) -> None:
    server = model_server([replies.rate_limited("3600")])
    started = time.monotonic()
    with pytest.raises(ModelError, match="429"):
        models_of(server).complete(MESSAGES, [])
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("bad", "why", "kind"),
    [
        (replies.bad_key(), "key is refused", ModelTrouble.REFUSED),
        (replies.no_quota(), "out of quota", ModelTrouble.QUOTA),
        (replies.no_quota(402), "out of quota", ModelTrouble.QUOTA),
        (replies.no_such_model(), "no such model", ModelTrouble.UNKNOWN),
        (replies.failed(400, "qwen/nope is not a valid model ID"), "no such model", ModelTrouble.UNKNOWN),
        (replies.no_tools(), "cannot call tools", ModelTrouble.NO_TOOLS),
        (replies.failed(403, "Country not supported"), "key is refused", ModelTrouble.REFUSED),
        (
            replies.failed(308, "Moved", location="https://elsewhere.example/"),
            "redirects",
            ModelTrouble.UNKNOWN,
        ),
        (replies.failed(400, "invalid tool call arguments"), "invalid tool call", ModelTrouble.REQUEST),
    ],
)
def test_a_refusal_leads_to_the_next_endpoint_at_once(
    model_server: Serve,
    bad: replies.Reply,
    why: str,
    kind: ModelTrouble,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = model_server(lambda asked, number: bad, name="first")
    second = model_server(lambda asked, number: replies.say("second"), name="second")
    models = models_of(first, second)
    assert models.complete(MESSAGES, [TOOL]).endpoint.name == "second"
    assert models.complete(MESSAGES, [TOOL]).endpoint.name == "second"
    assert len(first.asked) == 1
    assert [why in record.message for record in caplog.records if record.levelname == "WARNING"] == [True]
    caplog.clear()
    with pytest.raises(ModelError, match=why) as caught:
        models_of(first).complete(MESSAGES, [TOOL])
    assert not [record for record in caplog.records if record.levelname == "WARNING"]  # the error says it
    assert caught.value.kind is kind
    assert caught.value.public == kind.words


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (replies.server_error(), ModelTrouble.AWAY),
        (replies.server_error(503), ModelTrouble.BUSY),
        (replies.rate_limited("0"), ModelTrouble.BUSY),
        (replies.overloaded(), ModelTrouble.BUSY),
        (replies.closed_halfway(), ModelTrouble.AWAY),
        (replies.html_page(), ModelTrouble.AWAY),
        (replies.not_json(), ModelTrouble.AWAY),
    ],
)
def test_what_does_not_pass_has_its_kind_and_words_without_address(
    model_server: Serve, bad: replies.Reply, kind: ModelTrouble
) -> None:
    server = model_server(lambda asked, number: bad)
    with pytest.raises(ModelError) as caught:
        models_of(server, backoff=0.001).complete(MESSAGES, [])
    assert caught.value.kind is kind
    assert server.url in str(caught.value)
    assert "127.0.0.1" not in caught.value.public


def test_the_endpoint_that_answered_is_kept(model_server: Serve) -> None:
    first = model_server(
        lambda asked, number: replies.server_error() if number < 3 else replies.say("late"), name="first"
    )
    second = model_server(lambda asked, number: replies.say("second"), name="second")
    models = models_of(first, second)
    assert [models.complete(MESSAGES, []).content for _ in range(3)] == ["second"] * 3
    assert len(first.asked) == 3


def test_no_usable_model_names_each_and_why(model_server: Serve) -> None:
    first = model_server(lambda asked, number: replies.bad_key(), name="first")
    second = model_server(lambda asked, number: replies.server_error(), name="second")
    with pytest.raises(ModelError) as caught:
        models_of(first, second).complete(MESSAGES, [])
    assert caught.value.exit_code == 5
    message = str(caught.value)
    assert "\n" not in message
    assert f"first at {first.base_url}" in message
    assert "refused" in message
    assert f"second at {second.base_url}" in message
    assert "500" in message


def test_nothing_listens() -> None:
    with pytest.raises(ModelError, match="refused: nothing listens there; start the server") as caught:
        raw_models("http://127.0.0.1:9/v1").complete(MESSAGES, [])
    assert caught.value.kind is ModelTrouble.AWAY


def test_a_host_that_there_is_not() -> None:
    with pytest.raises(
        ModelError, match=r"at http://model\.invalid/v1: no host has this name; check model\.base"
    ):
        raw_models("http://model.invalid/v1").complete(MESSAGES, [])


@pytest.mark.parametrize(
    ("provider", "window"),
    [
        ("openai", 8192),
        ("vllm", 8192),
        ("anthropic", 200_000),
        ("openrouter", 32768),
        ("llama.cpp", None),
        ("gemini", 1_048_576),
        ("groq", None),
        ("ollama", None),
    ],
)
def test_an_overflow_is_its_own_exception(model_server: Serve, provider: str, window: int | None) -> None:
    server = model_server([replies.overflow(provider)])
    with pytest.raises(ContextOverflow) as caught:
        models_of(server).complete(MESSAGES, [])
    assert caught.value.window == window
    assert len(server.asked) == 1


def test_every_provider_wording_is_covered() -> None:
    assert set(replies.OVERFLOWS) == {
        "openai",
        "vllm",
        "anthropic",
        "openrouter",
        "llama.cpp",
        "gemini",
        "groq",
        "ollama",
    }


def test_a_server_that_refuses_stream_options_is_asked_without(model_server: Serve) -> None:
    def script(asked: dict[str, Any], number: int) -> replies.Reply:
        if "stream_options" in asked:
            return replies.failed(400, "Unrecognized request argument supplied: stream_options")
        return replies.say("well")

    server = model_server(script)
    models = models_of(server)
    assert [models.complete(MESSAGES, []).content for _ in range(2)] == ["well", "well"]
    assert len(server.asked) == 3


def test_reasoning_is_sent_back_only_where_it_is_wanted(model_server: Serve) -> None:
    def script(asked: dict[str, Any], number: int) -> replies.Reply:
        if "reasoning_content" not in asked["messages"][0]:
            return replies.failed(400, "Missing `reasoning_content` field in the assistant message")
        return replies.say("well")

    server = model_server(script)
    messages = [{"role": "assistant", "content": "a", "reasoning_content": "b"}, *MESSAGES]
    assert models_of(server).complete(messages, []).content == "well"
    assert "reasoning_content" not in server.asked[0].body["messages"][0]


def test_the_environment_changes_nothing(model_server: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "OPENAI_ORG_ID": "org-env",
        "OPENAI_PROJECT_ID": "proj-env",
        "OPENAI_API_KEY": "sk-env",
        "OPENAI_ADMIN_KEY": "sk-admin-env",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "OPENAI_CUSTOM_HEADERS": "Authorization: Bearer sk-env\nX-Env: 1",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    server = model_server([replies.say("well")])
    assert models_of(server).complete(MESSAGES, []).content == "well"
    inquiry.window(endpoint_of(server))
    for request in server.requests:
        if request.path.startswith("/api/"):
            continue  # which gets no key
        sent = {key.lower(): value for key, value in request.headers.items()}
        assert sent["authorization"] == f"Bearer {server.key}"
        assert not [value for value in sent.values() if "env" in value]
        assert not [key for key in sent if key.startswith(("openai-", "x-"))]


def test_a_redirect_is_not_followed_with_the_key(model_server: Serve) -> None:
    elsewhere = model_server(lambda asked, number: replies.say("stolen"))
    first = model_server(
        lambda asked, number: replies.failed(307, "moved", location=f"{elsewhere.base_url}/chat/completions")
    )
    with pytest.raises(ModelError, match="redirects elsewhere"):
        models_of(first).complete(MESSAGES, [])
    assert elsewhere.requests == []


def test_the_key_is_in_no_error_and_no_log(model_server: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server = model_server(lambda asked, number: replies.failed(500, "x" * 280 + f" Bearer {server.key}"))
    with pytest.raises(ModelError) as caught:
        models_of(server).complete(MESSAGES, [])
    assert server.key[:8] not in str(caught.value)
    assert server.key[:8] not in caplog.text
    bad = replace(endpoint_of(server), key=Secret("sk-ключ-that-is-no-header"))
    with pytest.raises(ModelError, match="no HTTP header") as caught:
        Models([bad], first_token_seconds=1, silence_seconds=1, deadline=time.monotonic() + 5).complete(
            MESSAGES, []
        )
    assert "ключ" not in str(caught.value)


@contextlib.contextmanager
def serving(answer: Callable[[Request], Answer]) -> Iterator[str]:
    with LoopbackServer(answer) as server:
        yield f"{server.url}/v1"


def sse(*events: str) -> Answer:
    body = "".join(f"data: {event}\n\n" for event in events)
    return Answer(200, body.encode(), {"Content-Type": "text/event-stream"})


def raw_models(url: str, first: float = 5.0, tries: int = 6) -> Models:
    return Models(
        [Endpoint("raw", url, Secret("none"))],
        first_token_seconds=first,
        silence_seconds=5,
        deadline=time.monotonic() + 10,
        backoff_seconds=0.01,
        tries=tries,
    )


def ask_raw(answers: Sequence[Answer]) -> Any:
    left = iter(answers)
    with serving(lambda request: next(left)) as url, raw_models(url) as models:
        return models.complete(MESSAGES, [TOOL])


def delta(calls: str, reason: str = "null") -> str:
    return f'{{"choices": [{{"index": 0, "delta": {{"tool_calls": {calls}}}, "finish_reason": {reason}}}]}}'


END = '{"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}'


def test_calls_without_end_and_without_a_word_are_ended() -> None:
    """Each is looked for among those before it: a million of them would take hours."""
    reply = ask_raw([sse(delta(json.dumps([{"id": f"call-{number}"} for number in range(3_000)])))])
    assert reply.finish_reason == "length"
    assert len(reply.tool_calls) < 1_010


@pytest.mark.parametrize(
    ("events", "calls"),
    [
        pytest.param(
            [
                delta('[{"id": "a", "function": {"name": "one", "arguments": "{}"}}]'),
                delta('[{"id": "b", "function": {"name": "two", "arguments": "{}"}}]'),
            ],
            [("one", "{}"), ("two", "{}")],
            id="no index",
        ),
        pytest.param(
            [
                delta('[{"index": 0, "function": {"name": "one", "arguments": "{\\"a\\": 1}"}}]'),
                delta('[{"index": 0, "function": {"name": "one", "arguments": "{\\"a\\": 2}"}}]'),
            ],
            [("one", '{"a": 1}'), ("one", '{"a": 2}')],
            id="one index for all and no ids",
        ),
        pytest.param(
            [
                delta('[{"index": 0, "id": "a", "function": {"name": "one", "arguments": ""}}]'),
                delta('[{"index": 0, "id": "a", "function": {"name": "one", "arguments": "{\\"a\\""}}]'),
                delta('[{"index": 0, "id": "a", "function": {"name": "one", "arguments": ": 1}"}}]'),
            ],
            [("one", '{"a": 1}')],
            id="the name again with each piece",
        ),
        pytest.param(
            [
                delta('[{"index": 0, "id": "a", "function": {"name": "run_", "arguments": ""}}]'),
                delta('[{"index": 0, "function": {"name": "command", "arguments": "{}"}}]'),
            ],
            [("run_command", "{}")],
            id="the name in pieces",
        ),
        pytest.param(
            [delta('[{"index": 0, "id": "a", "function": {"name": "one", "arguments": {"a": 1}}}]')],
            [("one", '{"a": 1}')],
            id="arguments as an object",
        ),
        pytest.param(
            [
                delta('[{"index": 0, "id": "x1", "function": {"name": "one", "arguments": "{\\"a\\""}}]'),
                delta('[{"index": 0, "id": "x2", "function": {"name": null, "arguments": ": 1}"}}]'),
            ],
            [("one", '{"a": 1}')],
            id="a new id with each piece",
        ),
        pytest.param(
            [
                '{"choices": [{"delta": {"function_call": {"name": "one", "arguments": "{}"}}}]}',
                '{"choices": null}',
                '"noise"',
                '{"choices": [5]}',
            ],
            [("one", "{}")],
            id="the old way, between noise",
        ),
    ],
)
def test_calls_are_put_together_however_they_come(events: list[str], calls: list[tuple[str, str]]) -> None:
    reply = ask_raw([sse(*events, END)])
    assert [(call.name, call.arguments) for call in reply.tool_calls] == calls
    assert len({call.id for call in reply.tool_calls}) == len(calls)
    assert all(call.id for call in reply.tool_calls)


def test_a_character_cut_in_two_is_put_together() -> None:
    halves = [f'{{"choices": [{{"delta": {{"content": "{half}"}}}}]}}' for half in ("\\ud83d", "\\ude00")]
    assert ask_raw([sse(*halves, END)]).content == "😀"


def test_a_server_that_does_not_stream_is_understood() -> None:
    body = b'{"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]}'
    assert ask_raw([Answer(200, body, {"Content-Type": "application/json"})]).content == "whole"


CONTENT = '{"choices": [{"delta": {"content": "well"}}]}'
USAGE = '{"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 1}}'


def test_a_stream_that_holds_no_json_is_told_as_that() -> None:
    with pytest.raises(ModelError, match="an answer that is no JSON"):
        ask_raw([sse("{'content': 'well'}")] * 6)


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1/v1", "ftp://127.0.0.1/v1", "http:///v1", "http://x:port/v1"]
)
def test_an_address_that_is_none_is_told(address: str) -> None:
    with pytest.raises(ModelError, match="no usable address"), raw_models(address) as models:
        models.complete(MESSAGES, [])


def test_a_server_that_never_gives_a_reason_but_ends_its_stream_is_believed() -> None:
    reply = ask_raw([sse(CONTENT, "[DONE]")])
    assert (reply.content, reply.finish_reason) == ("well", "")


@pytest.mark.parametrize("cut_at", range(1, 15))
def test_an_end_mark_cut_in_two_is_seen(cut_at: int) -> None:
    whole = f"data: {CONTENT}\n\ndata: [DONE]\n\n".encode()
    at = len(whole) - cut_at
    answer = streaming(whole[:at], whole[at:], pause=0.02)
    assert ask_raw([answer]).content == "well"


def test_an_end_mark_that_the_model_wrote_is_none() -> None:
    said = '{"choices": [{"delta": {"content": "data: [DONE]\\ndata: [DONE]"}}]}'
    with pytest.raises(ModelError, match="cut off half-way"):
        ask_raw([sse(said)] * 6)


@pytest.mark.parametrize("events", [[CONTENT], [CONTENT, USAGE]], ids=["plain", "counted"])
def test_an_answer_that_is_cut_off_is_none_however_often_it_comes(events: list[str]) -> None:
    with pytest.raises(ModelError, match="cut off half-way") as caught:
        ask_raw([sse(*events)] * 6)
    assert caught.value.kind is ModelTrouble.AWAY


def test_a_cut_after_the_finish_reason_loses_nothing() -> None:
    def body() -> Generator[bytes, None, None]:
        yield WELL
        raise HangUp

    with serving(lambda request: Answer(200, body(), {"Content-Type": "text/event-stream"})) as url:
        assert raw_models(url).complete(MESSAGES, []).content == "well"


# --- what the operator configured --------------------------------------------------------------


def test_parameters_go_with_each_request(model_server: Serve) -> None:
    server = model_server([replies.say("well")] * 2)
    extra = {"reasoning_effort": "low", "provider": {"order": ["one"]}}
    models = models_of(server, temperature=0.2, max_tokens=500, extra=extra)
    models.complete(MESSAGES, [])
    models.complete(MESSAGES, [], max_tokens=100)
    first, second = (asked.body for asked in server.asked)
    assert (first["temperature"], first["max_tokens"]) == (0.2, 500)
    assert (first["reasoning_effort"], first["provider"]) == ("low", {"order": ["one"]})
    assert second["max_tokens"] == 100


def test_nothing_is_said_that_was_not_configured(model_server: Serve) -> None:
    server = model_server([replies.say("well")])
    models_of(server).complete(MESSAGES, [])
    assert set(server.asked[0].body) == {"model", "messages", "stream", "stream_options"}


def test_a_server_with_another_name_for_max_tokens_is_asked_by_that(model_server: Serve) -> None:
    def script(asked: dict[str, Any], number: int) -> replies.Reply:
        if "max_tokens" in asked:
            return replies.failed(
                400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            )
        return replies.say(str(asked["max_completion_tokens"]))

    server = model_server(script)
    models = models_of(server, max_tokens=7)
    assert [models.complete(MESSAGES, []).content for _ in range(2)] == ["7", "7"]
    assert len(server.asked) == 3


# --- what is remembered ------------------------------------------------------------------------


def test_what_came_of_asking_is_remembered(model_server: Serve, tmp_path: Path) -> None:
    first = model_server(lambda asked, number: replies.no_quota(), name="first")
    second = model_server(lambda asked, number: replies.say("second"), name="second")
    models_of(first, second, results=tmp_path).complete(MESSAGES, [])
    known = {model.name: model.kind for model in health.read(tmp_path).models}
    assert known == {"first": ModelTrouble.QUOTA, "second": None}
    models_of(first, second, results=tmp_path).complete(MESSAGES, [])
    assert len(first.asked) == 1, "the next run begins with the one that works"


# --- a server that cuts ------------------------------------------------------------------------


def conversation(turns: int, characters: int = 1000) -> list[dict[str, Any]]:
    """A task and so many turns, in which the model says little and a tool much."""
    call = {"id": "c", "type": "function", "function": {"name": "run_command", "arguments": "{}"}}
    turn = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "x" * characters},
    ]
    return [{"role": "user", "content": "the task " * 50}, *turn * turns]


def counting(count: Callable[[int, int], int]) -> Callable[[dict[str, Any], int], replies.Reply]:
    """A model whose server counts so many tokens for the real ones; gets the number of the request, too."""

    def script(asked: dict[str, Any], number: int) -> replies.Reply:
        return replies.say("well", prompt_tokens=count(len(str(asked["messages"])) // 4, number))

    return script


def turns_until_cut(models: Models, turns: int = 60, characters: int = 1000) -> int | None:
    for turn in range(1, turns):
        try:
            models.complete(conversation(turn, characters), [TOOL])
        except ContextCut:
            return turn
    return None


@pytest.mark.parametrize(
    ("count", "cut"),
    [
        (lambda tokens, number: min(tokens, 4096 - number % 7 * 20), (14, 18)),  # whole messages dropped
        (lambda tokens, number: tokens if tokens <= 4096 else 2050, (14, 16)),  # half a window kept
        (lambda tokens, number: tokens, None),
        (lambda tokens, number: tokens * 9 // 10 if number % 2 else tokens, None),  # two tokenizers in turn
        (lambda tokens, number: tokens if number < 20 else tokens * 8 // 10, None),  # another from then on
        (lambda tokens, number: 120 if number else tokens, None),  # only what is new is counted
    ],
    ids=["oldest dropped", "middle dropped", "none", "two tokenizers", "another tokenizer", "new only"],
)
def test_a_count_that_stops_growing_is_a_server_that_cuts(
    model_server: Serve, count: Callable[[int, int], int], cut: tuple[int, int] | None
) -> None:
    server = model_server(counting(count))
    found = turns_until_cut(models_of(server))
    assert found is None if cut is None else cut[0] <= (found or 0) <= cut[1], found


def test_a_conversation_that_was_shortened_is_not_cut(model_server: Serve) -> None:
    server = model_server(counting(lambda tokens, number: tokens))
    models = models_of(server)
    for turns in (10, 11, 4, 5, 6, 3, 4):
        models.complete(conversation(turns), [TOOL])


def test_a_server_that_cuts_is_remembered_with_the_remedy(model_server: Serve, tmp_path: Path) -> None:
    server = model_server(counting(lambda tokens, number: min(tokens, 2000)))
    assert turns_until_cut(models_of(server, results=tmp_path)) is not None
    (known,) = health.read(tmp_path).models
    assert known.kind is ModelTrouble.WINDOW
    assert "OLLAMA_CONTEXT_LENGTH" in known.reason
    assert "2000 tokens" in known.reason
