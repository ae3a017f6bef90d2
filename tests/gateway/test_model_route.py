"""The door to the model: what passes, what it costs, and what becomes of a model that fails."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sprint import health, spend
from sprint.budget import Budget
from sprint.config import Limits
from sprint.domain import Endpoint, Secret, replace
from sprint.errors import ModelError, ModelTrouble
from sprint.gateway import Door, opened
from sprint.gateway.models import question, room
from sprint.gateway.models import route as routes
from sprint.gateway.models.dialect import Dialect
from sprint.gateway.models.provider import Provider, misplaced
from sprint.gateway.models.route import ModelRoute
from sprint.gateway.models.used import Tally
from tests.agents.model import ScriptedModel, Sent
from tests.servers.loopback import Answer, HangUp, LoopbackServer, Request, json_answer
from tests.servers.replies import Reply, call, say
from tests.waiting import wait_until

PATHS: dict[Dialect, str] = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
}
DIALECTS = list(PATHS)
TOOL = {"type": "function", "name": "ls", "function": {"name": "ls"}}
TOOLS: dict[Dialect, Any] = {"chat": TOOL, "messages": {"name": "ls", "input_schema": {}}, "responses": TOOL}
LONG = "I will now look at all of it. " * 20


@dataclass
class Said:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Behind:
    """Whoever asks from behind the door, over a port of this machine's loopback."""

    folder: Path
    stack: contextlib.ExitStack
    notes: list[str] = field(default_factory=list)
    limits: Limits = field(default_factory=lambda: Limits(first_token_seconds=5.0, silence_seconds=5.0))

    def open(self, dialect: Dialect, *endpoints: Endpoint) -> ModelRoute:
        self.dialect: Dialect = dialect
        self.route = ModelRoute(
            dialect,
            endpoints,
            tally=Tally(self.folder),
            budget=Budget(self.limits, self.folder / "results", "r1"),
            limits=self.limits,
            results=self.folder / "results",
            note=self.notes.append,
        )
        self.stack.callback(self.route.close)
        doors = {"model": Door(self.route, {}, {})}
        gateway = self.stack.enter_context(opened(self.folder, doors, has_own_network=False))
        self.port = gateway.ports["model"]
        return self.route

    def send(
        self,
        path: str = "",
        *,
        method: str = "POST",
        key: str | None = None,
        body: Any = None,
        **headers: str,
    ) -> Said:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        given = {"Authorization": f"Bearer {self.route.key if key is None else key}", **headers}
        data = json.dumps(body) if body is not None else None
        connection.request(method, path or PATHS[self.dialect], data, given)
        response = connection.getresponse()
        with contextlib.closing(connection):
            told = {name.lower(): value for name, value in response.headers.items()}
            return Said(response.status, told, response.read())

    def ask(self, **more: Any) -> Said:
        return self.send(body={"model": "dearer", "stream": True, "tools": [TOOLS[self.dialect]], **more})

    @property
    def told(self) -> tuple[int, int, int, int]:
        used = self.route.usage()
        return used.turns, used.prompt_tokens, used.cached_tokens, used.completion_tokens


@pytest.fixture
def behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Behind]:
    monkeypatch.setattr(routes, "BACKOFF_SECONDS", 0.01)
    with contextlib.ExitStack() as stack:
        yield Behind(tmp_path, stack)


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedModel]]:
    with contextlib.ExitStack() as stack:
        yield lambda reply, **more: stack.enter_context(
            ScriptedModel(reply if callable(reply) else lambda asked, number: reply, **more)
        )


@pytest.fixture
def answering() -> Iterator[Callable[..., LoopbackServer]]:
    """A server that answers as a function says."""
    with contextlib.ExitStack() as stack:

        def start(answer: Callable[[Request], Answer]) -> LoopbackServer:
            return stack.enter_context(LoopbackServer(answer))

        yield start


def endpoint(server: ScriptedModel | LoopbackServer, name: str = "scripted", key: str = "") -> Endpoint:
    prices: Any = {"input_price": 1.0, "cached_price": 0.1, "output_price": 2.0}
    found = server.key if isinstance(server, ScriptedModel) else key or "sk-the-real-key"
    return Endpoint(name, f"{server.url}/v1", Secret(found), **prices)


def counted(sent: Sent) -> tuple[int, int, int, int]:
    return sent.answers, sent.prompt, sent.cached, sent.completion


# --- what passes


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_passes_and_is_counted_to_the_token(
    behind: Behind, serve: Callable[..., ScriptedModel], dialect: Dialect, stream: bool
) -> None:
    model = serve(
        call("ls", {"a": 1}, text=LONG, prompt_tokens=5000, cached_tokens=3000, completion_tokens=70)
    )
    behind.open(dialect, endpoint(model))
    said = behind.ask(stream=stream)
    assert said.status == 200
    assert said.headers["content-type"] == ("text/event-stream" if stream else "application/json")
    assert b"look at all" in said.body
    assert behind.told == counted(model.sent) == (1, 5000, 3000, 70)
    cost = (2000 * 1.0 + 3000 * 0.1 + 70 * 2.0) / 1e6
    assert spend.spent_today(behind.folder / "results") == pytest.approx(cost)
    assert behind.route.usage().cost_usd == pytest.approx(cost)
    assert behind.route.fault() is None
    again = Tally(behind.folder)  # as the next process finds it
    assert (again.usage(), again.known_usd) == (behind.route.usage(), pytest.approx(cost))


def test_the_configured_model_is_asked_with_the_real_key_and_nothing_of_the_client(
    behind: Behind, answering: Callable[..., LoopbackServer]
) -> None:
    server = answering(lambda request: json_answer({"choices": [{"message": {}, "finish_reason": "stop"}]}))
    behind.open("chat", endpoint(server))
    spoilt = {
        "Cookie": "a=b",
        "X-Forwarded-For": "1.2.3.4",
        "OpenAI-Beta": "yes",
        "Via": "x",
        "TE": "trailers",
    }
    assert behind.send(body={"model": "dearer", "stream": False}, **spoilt).status == 200
    (seen,) = server.requests
    assert json.loads(seen.body)["model"] == "scripted"
    assert seen.headers["authorization"] == "Bearer sk-the-real-key"
    assert set(seen.headers) <= {
        *("host", "authorization", "content-type", "content-length", "user-agent", "accept-encoding"),
        *("openai-beta", "accept"),
    }


def test_what_the_provider_would_run_or_fetch_is_not_passed_on(
    behind: Behind, answering: Callable[..., LoopbackServer]
) -> None:
    server = answering(lambda request: json_answer({"output": [], "usage": {"input_tokens": 3}}))
    behind.open("responses", endpoint(server))
    hosted = {"type": "web_search"}, {"type": "mcp", "server_url": "https://evil.example"}
    asked = {"tools": [TOOL, *hosted], "service_tier": "priority", "background": True}
    assert behind.ask(stream=False, **asked).status == 200
    sent = json.loads(server.requests[0].body)
    assert sent["tools"] == [TOOL]
    assert not {"service_tier", "background"} & sent.keys()
    assert [note.rpartition(": ")[2] for note in behind.notes] == [
        "background",
        "service_tier",
        "web_search",
        "mcp",
    ]
    image = {"type": "input_image", "image_url": "https://evil.example/?the=source"}
    said = behind.ask(input=[{"role": "user", "content": [image]}])
    assert said.status == 400
    assert len(server.requests) == 1
    fine = [{"type": "function_call", "arguments": json.dumps(image)}, {**image, "image_url": "data:x"}]
    assert behind.ask(stream=False, input=fine).status == 200


def test_only_its_own_paths_are_served(behind: Behind, serve: Callable[..., ScriptedModel]) -> None:
    model = serve(say("hi"))
    behind.open("messages", endpoint(model))
    for method, path in (
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/responses"),
        ("GET", "/v1/messages"),
        ("POST", "/v1/files"),
        ("GET", "/v1/organization/keys"),
        ("DELETE", "/v1/models/scripted"),
    ):
        said = behind.send(path, method=method, body={})
        assert (said.status, said.json()["error"]["type"]) == (404, "not_found_error"), path
    assert behind.send("/v1/../admin", body={}).status == 400
    listed = behind.send("/v1/models", method="GET").json()
    assert [entry["id"] for entry in listed["data"]] == ["scripted"]
    assert behind.send("/v1/messages/count_tokens", body={"messages": []}).json() == {"input_tokens": 100}
    assert behind.send("/api/hello", method="HEAD").status == 200
    assert behind.told == (0, 0, 0, 0)
    assert model.asked == []


def test_without_the_runs_own_key_nobody_is_served(
    behind: Behind, serve: Callable[..., ScriptedModel]
) -> None:
    model = serve(say("hi"))
    behind.open("messages", endpoint(model))
    for key in ("", "run-of-another", model.key):
        said = behind.send(key=key, body={})
        assert (said.status, said.json()["error"]["type"]) == (401, "authentication_error")
    assert behind.send(key="", body={"tools": [TOOL]}, **{"x-api-key": behind.route.key}).status == 200
    behind.stack.close()
    with pytest.raises(ConnectionRefusedError):
        behind.send(body={})


@pytest.mark.parametrize("stream", [True, False])
def test_a_chat_client_does_not_hear_of_what_it_did_not_ask(
    behind: Behind, serve: Callable[..., ScriptedModel], stream: bool
) -> None:
    behind.open("chat", endpoint(serve(say("hi"))))
    plain = behind.ask(stream=stream).body
    wanted = behind.ask(stream=stream, stream_options={"include_usage": True}).body
    assert (b'"choices": []' in plain, b'"choices": []' in wanted) == (False, stream)
    assert behind.told == (2, 2000, 0, 34)


def test_a_server_that_does_not_count_is_asked_without_and_estimated(
    behind: Behind, answering: Callable[..., LoopbackServer]
) -> None:
    def answer(request: Request) -> Answer:
        if "stream_options" in request.json():
            return json_answer({"error": {"message": "unknown field stream_options"}}, 400)
        chunk = {"choices": [{"delta": {"content": "x" * 3500}, "finish_reason": "stop"}]}
        return Answer(200, f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode(), {"Content-Type": "x/y"})

    server = answering(answer)
    behind.open("chat", endpoint(server))
    assert behind.ask().status == behind.ask().status == 200
    assert len(server.requests) == 3
    assert behind.told[0] == 2
    assert behind.told[3] == 2000
    assert '"estimated": true' in (behind.folder / "model.jsonl").read_text()


# --- what fails


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("reply", "status", "kind"),
    [
        (Reply(status=401, body='{"error": {"message": "no key"}}'), 401, ModelTrouble.REFUSED),
        (Reply(status=429, body='{"error": {"message": "slow down"}}'), 429, ModelTrouble.BUSY),
        (Reply(status=500, body='{"error": {"message": "oops"}}'), 500, ModelTrouble.AWAY),
        (Reply(status=200, body="<html>Welcome to the portal</html>"), 502, ModelTrouble.AWAY),
        (Reply(status=200, body='{"error": {"message": "upstream failed"}}'), 502, ModelTrouble.AWAY),
        (Reply(status=307, body=""), 404, ModelTrouble.UNKNOWN),
    ],
    ids=["401", "429", "500", "garbage", "error with 200", "redirect"],
)
def test_a_failure_is_told_as_the_provider_would_and_kept(
    behind: Behind,
    serve: Callable[..., ScriptedModel],
    dialect: Dialect,
    reply: Reply,
    status: int,
    kind: ModelTrouble,
) -> None:
    model = serve(reply)
    behind.open(dialect, endpoint(model))
    said = behind.ask()
    assert said.status == status
    assert said.json()["error"]["message"]
    assert model.key.encode() not in said.body
    fault = behind.route.fault()
    assert fault is not None
    assert fault.kind is kind
    assert behind.told == (0, 0, 0, 0)
    assert any("asked again" in note for note in behind.notes) is (kind in ("away", "busy"))
    model._script = lambda asked, number: say("hi")
    assert behind.ask().status == 200
    assert behind.route.fault() is None


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("then", ["end", "silence"])
def test_a_stream_that_breaks_off_ends_in_an_error_event(
    behind: Behind, serve: Callable[..., ScriptedModel], dialect: Dialect, then: str
) -> None:
    behind.limits = Limits(first_token_seconds=5.0, silence_seconds=0.3)
    model = serve(say(LONG, keep=4, then=then, prompt_tokens=900))
    behind.open(dialect, endpoint(model))
    said = behind.ask()
    assert said.status == 200
    last = json.loads(said.body.rstrip().rpartition(b"data: ")[2])
    assert "error" in last or last["response"]["status"] == "failed"
    assert behind.route.fault() is not None
    assert behind.told == counted(model.sent), "what it told before"


def test_no_answer_at_all_is_cut_at_the_first_token_limit(
    behind: Behind, serve: Callable[..., ScriptedModel]
) -> None:
    behind.limits = Limits(first_token_seconds=0.3)
    behind.open("messages", endpoint(serve(Reply(hang=3600))))
    said = behind.ask()
    assert (said.status, said.json()["error"]["type"]) == (504, "timeout_error")
    fault = behind.route.fault()
    assert fault is not None
    assert fault.kind is ModelTrouble.SLOW


def test_only_requests_with_tools_tell_how_the_model_is(
    behind: Behind, answering: Callable[..., LoopbackServer]
) -> None:
    behind.open("chat", endpoint(answering(lambda request: json_answer({"error": "no"}, 500))))
    assert behind.send(body={"messages": []}).status == 500
    assert behind.route.fault() is None
    assert behind.ask().status == 500
    assert behind.route.fault() is not None


@pytest.mark.parametrize(("status", "is_remembered"), [(400, False), (503, True)])
def test_a_bad_request_of_one_agent_is_held_against_no_model(
    behind: Behind, answering: Callable[..., LoopbackServer], status: int, is_remembered: bool
) -> None:
    server = answering(lambda request: json_answer({"error": {"message": "no such parameter"}}, status))
    behind.open("chat", endpoint(server))
    assert behind.ask().status == status
    assert behind.route.fault() is not None
    known = health.model(behind.folder / "results", endpoint(server))
    assert (known is not None) is is_remembered


def test_a_key_that_the_server_shows_does_not_come_through(
    behind: Behind, answering: Callable[..., LoopbackServer]
) -> None:
    def answer(request: Request) -> Answer:
        shown = request.headers["authorization"]
        if request.json().get("stream"):
            chunk = {"choices": [{"delta": {"content": shown}, "finish_reason": "stop"}]}
            return Answer(
                200, f"data: {json.dumps(chunk)}\n\n".encode(), {"Content-Type": "text/event-stream"}
            )
        return json_answer({"error": {"message": f"bad request with {shown}"}}, 400, {"Set-Cookie": shown})

    behind.open("chat", endpoint(answering(answer)))
    for said in (behind.ask(), behind.ask(stream=False)):
        assert b"Bearer ***" in said.body
        assert b"sk-the-real-key" not in said.body
        assert "sk-the-real-key" not in str(said.headers)
    assert "sk-the-real-key" not in str(behind.notes)


# --- limits


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_budget_that_is_used_up_ends_it_as_a_provider_would(
    behind: Behind, serve: Callable[..., ScriptedModel], dialect: Dialect
) -> None:
    behind.limits = Limits(usd=0.001)
    model = serve(say("hi", prompt_tokens=1000))
    behind.open(dialect, endpoint(model))
    assert behind.ask().status == 200
    said = behind.ask()
    assert (said.status, said.headers["x-should-retry"]) == (429, "false")
    assert "limits.usd" in said.json()["error"]["message"]
    assert behind.route.over().startswith("limits.usd: $0.0010 of $0.001")
    assert len(model.asked) == 1
    assert behind.route.fault() is None
    assert len([note for note in behind.notes if "not asked any more" in note]) == 1


def test_the_days_budget_and_tokens_are_limits_too(
    behind: Behind, serve: Callable[..., ScriptedModel]
) -> None:
    spend.record(behind.folder / "results", "another", 3.0)
    behind.limits = Limits(usd_per_day=2.0)
    behind.open("chat", endpoint(serve(say("hi"))))
    assert behind.ask().status == 429
    assert behind.route.over().startswith("limits.usd_per_day")
    behind.limits = Limits(tokens=1000)
    behind.open("chat", endpoint(serve(say("hi"))))
    assert (behind.ask().status, behind.ask().status) == (200, 429)
    assert behind.route.over().startswith("limits.tokens")


def test_a_stream_under_way_is_cut_when_the_budget_goes(
    behind: Behind, serve: Callable[..., ScriptedModel]
) -> None:
    behind.limits = Limits(usd_per_day=2.0)
    model = serve(say(LONG, keep=4, then="silence"))
    behind.open("chat", endpoint(model))
    threading.Timer(0.3, lambda: spend.record(behind.folder / "results", "another", 3.0)).start()
    said = behind.ask()
    assert b"limits.usd_per_day" in said.body.rpartition(b"data: ")[2]
    assert behind.route.fault() is None
    assert behind.told[0] == 1, "what was cut by us is paid for all the same"


def test_who_hangs_up_early_has_paid(behind: Behind, serve: Callable[..., ScriptedModel]) -> None:
    model = serve(say(LONG, keep=6, then="silence"))
    route = behind.open("chat", endpoint(model))
    body = json.dumps({"stream": True, "tools": [TOOL], "messages": ["x" * 7000]}).encode()
    with socket.create_connection(("127.0.0.1", behind.port)) as client:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nx-api-key: {route.key}\r\n"
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        client.recv(100)
    assert wait_until(lambda: behind.told[0] == 1)
    assert behind.told[1] >= 2000


def test_what_is_spent_must_be_written(behind: Behind, serve: Callable[..., ScriptedModel]) -> None:
    (behind.folder / "results").write_text("in the way")
    behind.open("chat", endpoint(serve(say("hi"))))
    with pytest.raises((OSError, http.client.HTTPException)):
        behind.ask()
    with pytest.raises(Exception, match="results"):
        behind.route.over()


def test_requests_are_bounded(
    behind: Behind, serve: Callable[..., ScriptedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "REQUEST_BYTES", 1000)
    model = serve(say("hi"))
    behind.open("chat", endpoint(model))
    assert behind.ask(messages=["x" * 2000]).status == 413
    for body in ("no JSON", "[1]", "[" * 500 + "]" * 500):
        connection = http.client.HTTPConnection("127.0.0.1", behind.port, timeout=30)
        connection.request("POST", PATHS["chat"], body, {"x-api-key": behind.route.key})
        assert connection.getresponse().status == 400
        connection.close()
    monkeypatch.setattr(room, "AT_ONCE", 0)
    assert behind.ask().status == 429
    assert model.asked == []


# --- fallbacks


def test_another_model_takes_over_only_before_the_first_good_answer(
    behind: Behind, serve: Callable[..., ScriptedModel]
) -> None:
    replies = {"first": Reply(status=401, body="{}"), "second": say("hi")}
    first = serve(lambda asked, number: replies["first"], name="first")
    second = serve(lambda asked, number: replies["second"], name="second")
    chain = endpoint(first, "first"), endpoint(second, "second")
    route = behind.open("chat", *chain)
    assert behind.ask().status == 200
    assert (route.model, route.fault()) == ("second", None)
    assert any("takes over" in note for note in behind.notes)
    replies["first"], replies["second"] = say("hi"), Reply(status=500, body='{"error": "no"}')
    before = len(first.asked)
    assert behind.ask().status == 500
    assert len(first.asked) == before, "the run has its model"
    assert (route.model, route.fault() is None) == ("second", False)
    again = behind.open("chat", *chain)
    assert again.model == "second", "the next process knows it too"


def test_long_streams_do_not_wait_for_their_end(
    behind: Behind, answering: Callable[..., LoopbackServer]
) -> None:
    """The first event is with the client while the server still holds the second one back."""
    go = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'
        if not go.wait(30):
            raise HangUp
        yield b'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'

    behind.open(
        "chat",
        endpoint(answering(lambda request: Answer(200, pieces(), {"Content-Type": "text/event-stream"}))),
    )
    connection = http.client.HTTPConnection("127.0.0.1", behind.port, timeout=30)
    connection.request("POST", PATHS["chat"], '{"stream": true}', {"x-api-key": behind.route.key})
    response = connection.getresponse()
    assert b'"content": "a"' in response.read1()
    go.set()
    assert response.read().endswith(b"data: [DONE]\n\n")
    connection.close()


def test_connections_to_the_server_are_used_again(
    behind: Behind, serve: Callable[..., ScriptedModel]
) -> None:
    model = serve(say("hi"))
    behind.open("messages", endpoint(model))
    for _ in range(5):
        assert behind.ask().status == 200
        assert wait_until(lambda: len(behind.route._providers[0]._transport._idle) == 1)


def test_a_kept_connection_that_is_gone_is_made_anew(
    behind: Behind, serve: Callable[..., ScriptedModel]
) -> None:
    model = serve(say("hi"))
    route = behind.open("chat", endpoint(model))
    assert behind.ask().status == 200
    assert wait_until(lambda: bool(route._providers[0]._transport._idle))
    kept = route._providers[0]._transport._idle[0]
    assert kept.sock is not None
    kept.sock.shutdown(socket.SHUT_RDWR)
    assert behind.ask().status == 200
    assert behind.told[0] == 2


# --- before the claim


@pytest.mark.parametrize("dialect", ["messages", "responses"])
def test_a_server_that_lacks_the_dialect_is_refused_with_those_that_have_it(
    answering: Callable[..., LoopbackServer], tmp_path: Path, dialect: Dialect
) -> None:
    server = answering(lambda request: json_answer({"error": {"message": "Not Found"}}, 404))
    found = endpoint(server)
    for _ in range(2):  # the second time by what is remembered
        with pytest.raises(ModelError, match=r"it does not speak .*; Ollama, vLLM, llama\.cpp"):
            question.check(lambda: [found], dialect, tmp_path, 10.0)
    assert [seen.path for seen in server.requests] == [PATHS[dialect]]
    with pytest.raises(ModelError):
        question.check(lambda: [found], dialect, tmp_path, 10.0, anew=True)
    assert len(server.requests) == 2


@pytest.mark.parametrize("dialect", ["messages", "responses"])
def test_a_server_that_has_it_is_asked_once(
    serve: Callable[..., ScriptedModel], tmp_path: Path, dialect: Dialect
) -> None:
    model = serve(say("hi"))
    for _ in range(2):
        question.check(lambda: [endpoint(model)], dialect, tmp_path, 10.0)
    assert len(model._server.requests) == 1
    assert spend.spent_today(tmp_path) > 0


def test_a_model_that_calls_no_tool_or_is_refused_is_not_fit(
    serve: Callable[..., ScriptedModel], tmp_path: Path
) -> None:
    model = serve(say("I will not."))
    model.is_fit = False
    with pytest.raises(ModelError, match="it calls no tool") as raised:
        question.check(lambda: [endpoint(model)], "messages", tmp_path, 10.0)
    assert raised.value.kind is ModelTrouble.NO_TOOLS
    wrong = replace(endpoint(model), key=Secret("sk-of-somebody-else"))
    with pytest.raises(ModelError, match="the key is refused") as raised:
        question.check(lambda: [wrong], "messages", tmp_path, 10.0, anew=True)
    assert "somebody" not in str(raised.value)


@pytest.mark.parametrize(
    ("key", "dialect", "sent"),
    [
        ("sk-ant-api03-abc", "messages", {"x-api-key": "sk-ant-api03-abc"}),
        (
            "sk-ant-oat01-abc",
            "messages",
            {"authorization": "Bearer sk-ant-oat01-abc", "anthropic-beta": "some-beta,oauth-2025-04-20"},
        ),
        ("sk-ant-api03-abc", "chat", {"authorization": "Bearer sk-ant-api03-abc"}),
    ],
)
def test_anthropics_own_server_gets_its_keys_as_it_wants_them(
    key: str, dialect: Dialect, sent: dict[str, str]
) -> None:
    anthropic = Endpoint("claude", "https://api.anthropic.com/v1", Secret(key))
    assert Provider(anthropic, dialect)._authorization({"anthropic-beta": "some-beta"}) == sent
    assert misplaced(anthropic) == ""
    assert misplaced(replace(anthropic, base_url="https://openrouter.ai/api/v1")).startswith("its key is one")
