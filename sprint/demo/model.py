"""A scripted model behind the part of OpenAI's API that a run asks, on loopback."""

from __future__ import annotations

import itertools
import json
import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sprint.demo.loopback import Answer, LoopbackServer, Request, json_answer

_PIECE = 24
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class ToolCall:
    """A call as the model words it: `arguments` is the text that it sends, JSON or not."""

    name: str
    arguments: str


@dataclass(frozen=True)
class Reply:
    """One answer of the model."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()

    @property
    def ending(self) -> str:
        """Its finish reason."""
        return "tool_calls" if self.tool_calls else "stop"


Script = Callable[[dict[str, Any], int], Reply]
"""Given the request's JSON and its number, from 0, says what to answer."""


class ScriptedModel(LoopbackServer):
    """Answers by `script`, in streams. The API is at `base_url` and wants `key`."""

    def __init__(self, script: Script, name: str = "scripted") -> None:
        super().__init__()
        self.script = script
        self.name = name
        self.key = f"sk-{secrets.token_hex(20)}"
        self.answers = 0
        self._lock = threading.Lock()
        self._before: list[Any] = []
        self._call_numbers = itertools.count(1)

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def answer(self, request: Request) -> Answer:
        if not self.authorized(request):
            return refusal(401, "Incorrect API key provided.", "invalid_api_key")
        asked = f"{request.method} {request.path}"
        if asked == "GET /v1/models":
            listed = {"id": self.name, "object": "model", "created": 1, "owned_by": "demo"}
            return json_answer({"object": "list", "data": [listed]})
        if asked == "POST /v1/chat/completions":
            return self.complete(request)
        return refusal(404, f"Unknown request URL: {asked}")

    def authorized(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {self.key}"

    def complete(self, request: Request) -> Answer:
        asked = request.json()
        if asked["model"] != self.name:
            message = f"The model `{asked['model']}` does not exist or you do not have access to it."
            return refusal(404, message, "model_not_found")
        with self._lock:
            number = self.answers
            self.answers += 1
            before, self._before = self._before, asked["messages"]
        cached = tokens(before) if asked["messages"][: len(before)] == before else 0
        return self.respond(self.script(asked, number), asked, number, cached)

    def respond(self, reply: Reply, asked: dict[str, Any], number: int, cached: int) -> Answer:
        """The answer to a request of which `cached` tokens were in the one before."""
        wants_usage = (asked.get("stream_options") or {}).get("include_usage")
        usage = self.usage(reply, asked["messages"], cached) if wants_usage else {}
        body = self.stream(reply, number, usage)
        return Answer(200, body, {"Content-Type": "text/event-stream; charset=utf-8"})

    def stream(self, reply: Reply, number: int, usage: Mapping[str, Any]) -> Generator[bytes, None, None]:
        for delta in self.deltas(reply):
            yield self.event(number, [{"index": 0, "delta": delta, "finish_reason": None}])
        yield self.event(number, [{"index": 0, "delta": {}, "finish_reason": reply.ending}])
        if usage:
            yield self.event(number, [], usage=usage)
        yield b"data: [DONE]\n\n"

    def event(self, number: int, choices: list[Any], **more: Any) -> bytes:
        event = {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": self.name,
            "choices": choices,
            **more,
        }
        return b"data: " + json.dumps(event).encode() + b"\n\n"

    def deltas(self, reply: Reply) -> Iterator[dict[str, Any]]:
        """The reply in pieces, as a model writes it."""
        yield {"role": "assistant", "content": ""}
        for piece in cut(reply.text):
            yield {"content": piece}
        for index, call in enumerate(reply.tool_calls):
            function = {"name": call.name, "arguments": ""}
            identity = f"call_{next(self._call_numbers)}"
            yield {"tool_calls": [{"index": index, "id": identity, "type": "function", "function": function}]}
            for piece in cut(call.arguments):
                yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}

    def usage(self, reply: Reply, messages: Sequence[Any], cached: int) -> dict[str, Any]:
        prompt, completion = self.counts(reply, messages)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": min(cached, prompt)},
        }

    def counts(self, reply: Reply, messages: Sequence[Any]) -> tuple[int, int]:
        """The tokens of messages and reply, estimated by their characters."""
        written = len(reply.text) + sum(len(call.name) + len(call.arguments) for call in reply.tool_calls)
        return tokens(messages), written // CHARACTERS_PER_TOKEN + 1


def refusal(status: int, message: str, code: str | None = None) -> Answer:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return json_answer({"error": error}, status)


def cut(text: str) -> Iterator[str]:
    return (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))


def tokens(messages: Sequence[Any]) -> int:
    return sum(len(str(message.get("content") or "")) for message in messages) // CHARACTERS_PER_TOKEN
