"""Before a claim: which models are fit for work, and that one that refuses is not asked at every tick."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sprint import health, spend
from sprint.credentials.secret_places import NO_KEY
from sprint.domain import Endpoint, Secret, replace
from sprint.errors import ModelError, ModelTrouble
from sprint.model import readiness
from tests.servers import replies
from tests.servers.loopback import Answer, LoopbackServer, Request
from tests.servers.model import DemoModel, OllamaFacts

Serve = Callable[..., DemoModel]


@pytest.fixture
def model_server(model_server: Serve) -> Serve:
    """Models that answer the question by their script."""
    return lambda script, **options: model_server(script, is_fit=False, **options)


def calls(asked: dict[str, Any], number: int) -> replies.Reply:
    """A model that does what it is asked."""
    return replies.call("report_number", {"number": wanted(asked)})


def wanted(asked: dict[str, Any]) -> int:
    found = re.search(r"number (\d+)", str(asked["messages"]))
    assert found
    return int(found[1])


def as_text(asked: dict[str, Any], number: int) -> replies.Reply:
    return replies.call_as_text("hermes", "report_number", {"number": wanted(asked)})


def endpoint_of(server: DemoModel, **more: Any) -> Endpoint:
    return Endpoint(server.name, server.base_url, Secret(server.key), **more)


def check(results: Path, *endpoints: Endpoint, seconds: float = 5.0) -> None:
    readiness.check(lambda: endpoints, results, seconds)


def known(results: Path) -> health.ModelHealth:
    (model,) = health.read(results).models
    return model


def expired(results: Path) -> None:
    """Let what is remembered be no longer good."""
    for path in (results / "health").glob("*.json"):
        text = path.read_text()
        until = known(results).until
        old = datetime.now(UTC) - timedelta(seconds=1)
        assert until.isoformat().replace("+00:00", "Z") in text
        path.write_text(text.replace(until.isoformat().replace("+00:00", "Z"), old.isoformat()))


def test_a_model_that_calls_tools_is_fit_and_asked_once_in_ten_minutes(
    model_server: Serve, tmp_path: Path
) -> None:
    server = model_server(calls)
    for _ in range(3):
        check(tmp_path, endpoint_of(server))
    assert len(server.asked) == 1
    assert server.asked[0].body["max_tokens"] == 300
    assert known(tmp_path).kind is None


def test_what_the_question_costs_is_spent_money(model_server: Serve, tmp_path: Path) -> None:
    check(tmp_path, endpoint_of(model_server(calls), input_price=1000.0, output_price=1000.0))
    assert spend.spent_today(tmp_path) > 0


@pytest.mark.parametrize(
    ("bad", "why", "kind"),
    [
        (replies.bad_key(), "the key is refused", ModelTrouble.REFUSED),
        (replies.no_quota(), "out of quota", ModelTrouble.QUOTA),
        (replies.no_quota(402), "out of quota", ModelTrouble.QUOTA),
        (replies.failed(403, "Country not supported"), "the key is refused", ModelTrouble.REFUSED),
        (replies.no_such_model(), "no such model", ModelTrouble.UNKNOWN),
        (replies.server_error(), "HTTP 500", ModelTrouble.AWAY),
        (replies.server_error(503), "HTTP 503", ModelTrouble.BUSY),
        (replies.rate_limited("3600"), "HTTP 429", ModelTrouble.BUSY),
        (replies.no_tools(), "cannot call tools", ModelTrouble.NO_TOOLS),
        (replies.say("Certainly! The number is 5."), "text in place of a tool call", ModelTrouble.NO_TOOLS),
        (replies.cut("Well, let me think"), "no tool call within 2000 tokens", ModelTrouble.NO_TOOLS),
        (replies.html_page(), "a web page titled Sign in", ModelTrouble.AWAY),
        (replies.not_json(), "no JSON", ModelTrouble.AWAY),
        (replies.closed_halfway(), "cut off half-way", ModelTrouble.AWAY),
        (replies.dropped_halfway(), "cut off half-way", ModelTrouble.AWAY),
        (replies.error_with_200(), "Provider returned error", ModelTrouble.AWAY),
    ],
)
def test_what_refuses_is_told_in_one_line_and_not_asked_again(
    model_server: Serve, tmp_path: Path, bad: replies.Reply, why: str, kind: ModelTrouble
) -> None:
    server = model_server(lambda asked, number: bad)
    started = time.monotonic()
    with pytest.raises(ModelError, match=re.escape(why)) as caught:
        check(tmp_path, endpoint_of(server))
    assert time.monotonic() - started < 10
    asked = len(server.requests)
    with pytest.raises(ModelError, match=re.escape(why)) as again:
        check(tmp_path, endpoint_of(server))
    assert len(server.requests) == asked, "while it refuses, no request is made"
    assert sum(request.path.endswith("/completions") for request in server.requests) <= 2
    for error in (caught.value, again.value):
        assert (error.exit_code, error.kind, error.public) == (5, kind, kind.words)
        assert "\n" not in str(error)
        assert "asked again after" in str(error)
    assert known(tmp_path).kind is kind
    assert server.url not in known(tmp_path).reason


def test_it_does_not_matter_that_the_list_of_models_answers(model_server: Serve, tmp_path: Path) -> None:
    server = model_server(lambda asked, number: replies.no_quota())
    with pytest.raises(ModelError, match="out of quota"):
        check(tmp_path, endpoint_of(server))
    assert "/v1/models" not in [request.path for request in server.requests]


@pytest.mark.parametrize("stall", [replies.never_answers(), replies.falls_silent()])
def test_a_stall_ends_with_the_first_tokens_seconds(
    model_server: Serve, tmp_path: Path, stall: replies.Reply
) -> None:
    server = model_server(lambda asked, number: stall)
    with pytest.raises(ModelError, match=r"limits\.first_token_seconds") as caught:
        check(tmp_path, endpoint_of(server), seconds=0.5)
    assert caught.value.kind is ModelTrouble.SLOW


def test_two_tries_and_no_more(model_server: Serve, tmp_path: Path) -> None:
    server = model_server(lambda asked, number: calls(asked, 0) if number else replies.server_error())
    check(tmp_path, endpoint_of(server))
    wrong = model_server(lambda asked, number: replies.call("report_number", {"number": -1}), name="wrong")
    with pytest.raises(ModelError, match="when asked for report_number"):
        check(tmp_path, endpoint_of(wrong))
    assert (len(server.asked), len(wrong.asked)) == (2, 2)
    text_first = model_server(
        lambda asked, number: calls(asked, number) if number else replies.say("Certainly!"), name="flaky"
    )
    check(tmp_path, endpoint_of(text_first))
    assert [asked.body["max_tokens"] for asked in text_first.asked] == [300, 2000]


def test_a_model_that_thinks_at_length_is_given_the_room(model_server: Serve, tmp_path: Path) -> None:
    def thinks(asked: dict[str, Any], number: int) -> replies.Reply:
        if asked["max_tokens"] < 1000:
            return replies.Reply(reasoning="hm " * 50, finish_reason="length")
        return calls(asked, number)

    check(tmp_path, endpoint_of(model_server(thinks)))


def test_a_model_that_writes_its_calls_as_text_is_fit(model_server: Serve, tmp_path: Path) -> None:
    check(tmp_path, endpoint_of(model_server(as_text)))


@pytest.mark.parametrize(("context", "is_fit"), [(4096, False), (7999, False), (8192, True), (65_536, True)])
def test_a_window_that_is_too_small_is_the_operators_to_mend(
    model_server: Serve, tmp_path: Path, context: int, is_fit: bool
) -> None:
    server = model_server(calls, ollama=OllamaFacts(context=context))
    with contextlib.nullcontext() if is_fit else pytest.raises(ModelError) as caught:
        check(tmp_path, endpoint_of(server))
    if not is_fit:
        assert caught.value.kind is ModelTrouble.WINDOW
        assert f"a context of {context} tokens" in str(caught.value)
        assert "OLLAMA_CONTEXT_LENGTH" in str(caught.value)


def test_a_small_window_that_is_configured_is_too_small_as_well(model_server: Serve, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="a context of 2000 tokens"):
        check(tmp_path, endpoint_of(model_server(calls), context=2000))


def test_one_fit_model_is_enough(model_server: Serve, tmp_path: Path) -> None:
    first = model_server(lambda asked, number: replies.bad_key(), name="first")
    second = model_server(calls, name="second")
    check(tmp_path, endpoint_of(first), endpoint_of(second))
    check(tmp_path, endpoint_of(first), endpoint_of(second))
    assert (len(first.asked), len(second.asked)) == (1, 1)


def test_where_none_is_fit_each_is_named(model_server: Serve, tmp_path: Path) -> None:
    servers = [model_server(lambda a, n: replies.bad_key(), name="first"), model_server([], name="second")]
    with pytest.raises(ModelError) as caught:
        check(tmp_path, *map(endpoint_of, servers))
    for server in servers:
        assert f"{server.name} at {server.base_url}" in str(caught.value)
    with pytest.raises(ModelError, match="none is configured"):
        check(tmp_path)


def test_a_refusal_that_has_run_out_is_asked_about_and_lasts_longer_the_next_time(
    model_server: Serve, tmp_path: Path
) -> None:
    server = model_server(lambda asked, number: replies.bad_key())
    lasted = []
    for _ in range(4):
        with pytest.raises(ModelError):
            check(tmp_path, endpoint_of(server))
        lasted.append(round((known(tmp_path).until - known(tmp_path).asked_at).total_seconds() / 60))
        expired(tmp_path)
    assert lasted == [10, 20, 40, 40]
    server.script = calls
    check(tmp_path, endpoint_of(server))
    assert known(tmp_path).kind is None


def test_a_key_that_nobody_set_is_not_called_refused(model_server: Serve, tmp_path: Path) -> None:
    endpoint = replace(endpoint_of(model_server(calls)), key=NO_KEY)
    with pytest.raises(ModelError, match=r"it wants a key, and none is set; set model\.api_key_file"):
        check(tmp_path, endpoint)


def test_nothing_listens(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nothing listens there; start the server") as caught:
        check(tmp_path, Endpoint("absent", "http://127.0.0.1:9/v1", Secret("")))
    assert caught.value.kind is ModelTrouble.AWAY


def test_the_key_is_in_no_file_and_no_message(model_server: Serve, tmp_path: Path) -> None:
    server = model_server(lambda asked, number: replies.failed(400, f"what is {server.key}?"))
    with pytest.raises(ModelError) as caught:
        check(tmp_path, endpoint_of(server))
    assert server.key not in str(caught.value)
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and server.key.encode() in p.read_bytes()]


@contextlib.contextmanager
def babbling() -> Iterator[LoopbackServer]:
    """A model that never stops by itself, but keeps to the tokens it is given."""

    def answer(request: Request) -> Answer:
        if request.path != "/v1/chat/completions":
            return Answer(404, b"{}", {"Content-Type": "application/json"})
        limit = request.json().get("max_tokens", 10_000_000)
        word = b'data: {"choices": [{"delta": {"content": "blah "}}]}\n\n'
        end = b'data: {"choices": [{"delta": {}, "finish_reason": "length"}]}\n\ndata: [DONE]\n\n'
        return Answer(200, (piece for piece in (*[word] * limit, end)), {"Content-Type": "text/event-stream"})

    with LoopbackServer(answer) as server:
        yield server


def test_a_model_that_babbles_is_stopped_by_tokens(tmp_path: Path) -> None:
    with babbling() as server, pytest.raises(ModelError, match="no tool call within 2000 tokens"):
        check(tmp_path, Endpoint("m", f"{server.url}/v1", Secret("")), seconds=30)
