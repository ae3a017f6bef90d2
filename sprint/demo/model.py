"""A scripted model behind an OpenAI-compatible API, on loopback."""

from __future__ import annotations

import itertools
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from sprint.demo.http_messages import Answer, Fault, HangUp, Request, Seen, json_answer
from sprint.demo.loopback import LoopbackServer
from sprint.demo.replies import Reply, bad_key, call, no_such_model

Script = Callable[[dict[str, Any], int], Reply]
"""Given the request's JSON and its number, from 0, says what to answer."""

_PIECE = 24
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class OllamaFacts:
    """What an Ollama server would say of the model: what it was trained for and what it is run with."""

    trained_context: int = 131072
    context: int = 4096


@dataclass(frozen=True)
class Asked:
    """One completion asked for."""

    body: dict[str, Any]
    headers: Mapping[str, str]


class DemoModel:
    """Answers by `script`: a callable, or replies given out in order (then an error).

    The API is at `base_url` and wants `key`. With `ollama`, Ollama's own endpoints are there too, no key is
    wanted, and only the last `ollama.context` tokens of the messages reach the script, as with the real one.
    The tiny question that is asked before a claim is answered rightly; without `is_fit`, by the script.
    """

    def __init__(
        self,
        script: Script | Sequence[Reply],
        *,
        name: str = "scripted",
        ollama: OllamaFacts | None = None,
        is_fit: bool = True,
    ) -> None:
        self.name = name
        self.key = "ollama" if ollama else f"sk-{secrets.token_hex(20)}"
        self.asked: list[Asked] = []
        self.script: Script = script if callable(script) else _in_order(script)
        self._ollama = ollama
        self._is_fit = is_fit
        self._lock = threading.Lock()
        self._before: list[Any] = []
        self._server = LoopbackServer(self._answer, lambda: [self.key])
        self.faults: list[Fault] = self._server.faults

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    @property
    def requests(self) -> list[Seen]:
        """Every HTTP request, completions among them, with its headers and body."""
        return self._server.requests

    def _answer(self, request: Request) -> Answer:
        path = request.path
        if path.startswith("/api/") and self._ollama:
            return self._answer_as_ollama(request, path, self._ollama)
        if request.headers.get("authorization") != f"Bearer {self.key}" and not self._ollama:
            return _raw(bad_key())
        if path == "/v1/models" and request.method == "GET":
            listed = {"id": self.name, "object": "model", "created": 1, "owned_by": "demo"}
            return json_answer({"object": "list", "data": [listed]})
        if path == "/v1/chat/completions" and request.method == "POST":
            return self._complete(request)
        return json_answer({"error": {"message": f"Unknown request URL: {request.method} {path}"}}, 404)

    def _answer_as_ollama(self, request: Request, path: str, facts: OllamaFacts) -> Answer:
        about = {"name": self.name, "model": self.name, "size": 1, "details": {"family": "demo"}}
        if path == "/api/version":
            return json_answer({"version": "0.12.6"})
        if path == "/api/tags":
            return json_answer({"models": [about]})
        if path == "/api/ps":
            return json_answer({"models": [{**about, "context_length": facts.context}]})
        if path == "/api/show":
            if request.json().get("model") != self.name:
                return json_answer({"error": "model not found"}, 404)
            return json_answer(
                {
                    "parameters": f"num_ctx                        {facts.context}",
                    "model_info": {
                        "general.architecture": "demo",
                        "demo.context_length": facts.trained_context,
                    },
                    "capabilities": ["completion", "tools"],
                }
            )
        return json_answer({"error": "not found"}, 404)

    def _complete(self, request: Request) -> Answer:
        asked = request.json()
        if self._is_fit and (wanted := _number_to_report(asked)) is not None:
            answer = call("report_number", {"number": wanted})
            return json_answer(_whole(answer, 0, self.name, _usage(answer, asked["messages"], 0)))
        with self._lock:
            number = len(self.asked)
            self.asked.append(Asked(asked, request.headers))
            cached = _tokens(_common(self._before, asked["messages"]))
            self._before = asked["messages"]
        if asked.get("model") != self.name:
            return _raw(no_such_model(str(asked.get("model"))))
        if self._ollama:
            asked = {**asked, "messages": _last(asked["messages"], self._ollama.context)}
        reply = self.script(asked, number)
        if reply.hang:
            self._server.wait(reply.hang)
        if reply.status:
            return _raw(reply)
        usage = _usage(reply, asked["messages"], cached)
        if asked.get("stream"):
            wants_usage = bool((asked.get("stream_options") or {}).get("include_usage"))
            body = self._stream(reply, number, usage if wants_usage else None)
            return Answer(200, body, {"Content-Type": "text/event-stream; charset=utf-8"})
        return json_answer(_whole(reply, number, self.name, usage))

    def _stream(
        self, reply: Reply, number: int, usage: dict[str, Any] | None
    ) -> Generator[bytes, None, None]:
        deltas = list(_deltas(reply))
        for delta in deltas if reply.keep is None else deltas[: reply.keep]:
            if reply.pause:
                self._server.wait(reply.pause)
            yield self._event(number, [{"index": 0, "delta": delta, "finish_reason": None}])
        if reply.keep is not None:
            yield from self._break_off(reply)
            return
        yield self._event(number, [{"index": 0, "delta": {}, "finish_reason": _finish_reason(reply)}])
        if usage is not None and reply.has_usage:
            yield self._event(number, [], usage=usage)
        yield b"data: [DONE]\n\n"

    def _event(self, number: int, choices: list[Any], **more: Any) -> bytes:
        event = {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": self.name,
            "choices": choices,
            **more,
        }
        return b"data: " + json.dumps(event).encode() + b"\n\n"

    def _break_off(self, reply: Reply) -> Iterator[bytes]:
        if reply.then == "drop":
            raise HangUp
        if reply.then == "error":
            yield b"data: " + reply.body.encode() + b"\n\n"
        while reply.then == "silence":
            self._server.wait(reply.heartbeat)
            yield b": still here\n\n"


def _number_to_report(asked: dict[str, Any]) -> int | None:
    """What the question before a claim asks for; None for any other."""
    tools = [tool["function"]["name"] for tool in asked.get("tools") or ()]
    found = re.search(r"number (\d+)", str(asked["messages"][-1].get("content")))
    return int(found[1]) if tools == ["report_number"] and found else None


def _in_order(replies: Sequence[Reply]) -> Script:
    left = iter(list(replies))

    def script(_request: dict[str, Any], number: int) -> Reply:
        reply = next(left, None)
        if reply is None:
            return Reply(
                status=400, body=json.dumps({"error": {"message": f"no reply for request {number}"}})
            )
        return reply

    return script


def _raw(reply: Reply) -> Answer:
    return Answer(reply.status, reply.body.encode(), {"Content-Type": "application/json", **reply.headers})


def _finish_reason(reply: Reply) -> str:
    return reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop")


def _cut(text: str) -> Iterator[str]:
    return (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))


def _deltas(reply: Reply) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    for piece in _cut(reply.reasoning):
        yield {"reasoning_content": piece}
    for piece in _cut(reply.text):
        yield {"content": piece}
    for index, made in enumerate(_calls(reply)):
        function = {"name": made["function"]["name"], "arguments": ""}
        yield {"tool_calls": [{**made, "index": index, "function": function}]}
        for piece in _cut(made["function"]["arguments"]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


_call_numbers = itertools.count(1)


def _calls(reply: Reply) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_{next(_call_numbers)}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in reply.tool_calls
    ]


def _whole(reply: Reply, number: int, model: str, usage: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.tool_calls:
        message["tool_calls"] = _calls(reply)
    whole = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": _finish_reason(reply)}],
    }
    return {**whole, "usage": usage} if reply.has_usage else whole


def _common(before: list[Any], messages: list[Any]) -> list[Any]:
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(before, messages, strict=False))
    return [message for message, _ in same]


def _tokens(messages: list[Any]) -> int:
    return sum(len(str(message.get("content") or "")) for message in messages) // _CHARACTERS_PER_TOKEN


def _usage(reply: Reply, messages: list[Any], cached: int) -> dict[str, Any]:
    written = len(reply.text) + sum(len(call.name) + len(call.arguments) for call in reply.tool_calls)
    prompt = _tokens(messages) if reply.prompt_tokens is None else reply.prompt_tokens
    completion = (
        written // _CHARACTERS_PER_TOKEN + 1 if reply.completion_tokens is None else reply.completion_tokens
    )
    kept = cached if reply.cached_tokens is None else reply.cached_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": min(kept, prompt)},
    }


def _last(messages: list[Any], tokens: int) -> list[Any]:
    """The messages whose contents fit, from the end; the first that does not fit loses its beginning."""
    room = tokens * _CHARACTERS_PER_TOKEN
    kept: list[Any] = []
    for message in reversed(messages):
        content = str(message.get("content") or "")
        kept.append({**message, "content": content[-room:]})
        room -= len(content)
        if room <= 0:
            break
    return kept[::-1]
