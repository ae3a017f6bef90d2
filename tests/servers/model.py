"""The models of the tests: the demo's, and all that real ones do wrong."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sprint.demo.loopback import Answer, Request, json_answer
from sprint.demo.model import CHARACTERS_PER_TOKEN, ScriptedModel, cut
from sprint.demo.scenario import answer_to_question
from tests.servers.loopback import FaultyServer, HangUp
from tests.servers.replies import Reply

Script = Callable[[dict[str, Any], int], Reply]


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


class _Model(ScriptedModel):
    """What a model says where nothing spoils its HTTP."""

    def __init__(self, script: Script, name: str, ollama: OllamaFacts | None, is_fit: bool) -> None:
        super().__init__(script, name)
        self._is_fit = is_fit
        self.asked: list[Asked] = []
        self._ollama = ollama
        if ollama:
            self.key = "ollama"
            self.script = lambda asked, number: script(self._cut(asked), number)

    def answer(self, request: Request) -> Answer:
        if self._ollama and request.path.startswith("/api/"):
            return self._answer_as_ollama(request, self._ollama)
        return super().answer(request)

    def authorized(self, request: Request) -> bool:
        return self._ollama is not None or super().authorized(request)

    def _answer_as_ollama(self, request: Request, facts: OllamaFacts) -> Answer:
        about = {"name": self.name, "model": self.name, "size": 1, "details": {"family": "demo"}}
        if request.path == "/api/version":
            return json_answer({"version": "0.12.6"})
        if request.path == "/api/tags":
            return json_answer({"models": [about]})
        if request.path == "/api/ps":
            return json_answer({"models": [{**about, "context_length": facts.context}]})
        if request.path == "/api/show":
            return self._shown(request.json().get("model"), facts)
        return json_answer({"error": "not found"}, 404)

    def _shown(self, name: str, facts: OllamaFacts) -> Answer:
        if name != self.name:
            return json_answer({"error": "model not found"}, 404)
        return json_answer(
            {
                "parameters": f"num_ctx                        {facts.context}",
                "model_info": {"general.architecture": "demo", "demo.context_length": facts.trained_context},
                "capabilities": ["completion", "tools"],
            }
        )

    def complete(self, request: Request) -> Answer:
        asked = request.json()
        if self._is_fit and (fit := answer_to_question(asked)):
            return super().respond(Reply(tool_calls=fit.tool_calls), asked, 0, 0)
        with self._lock:
            self.asked.append(Asked(asked, request.headers))
        return super().complete(request)

    def respond(self, reply: Reply, asked: dict[str, Any], number: int, cached: int) -> Answer:
        if reply.hang:
            self.wait(reply.hang)
        if reply.status:
            headers = {"Content-Type": "application/json", **reply.headers}
            return Answer(reply.status, reply.body.encode(), headers)
        if asked.get("stream"):
            return super().respond(reply, asked, number, cached)
        usage = self.usage(reply, asked["messages"], cached)
        return json_answer(self._whole(reply, number) | ({"usage": usage} if usage else {}))

    def _whole(self, reply: Reply, number: int) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
        if reply.tool_calls:
            message["tool_calls"] = [
                {
                    "id": f"call_{next(self._call_numbers)}",
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in reply.tool_calls
            ]
        return {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self.name,
            "choices": [{"index": 0, "message": message, "finish_reason": reply.ending}],
        }

    def stream(self, reply: Reply, number: int, usage: Mapping[str, Any]) -> Generator[bytes, None, None]:
        for event in itertools.islice(super().stream(reply, number, usage), reply.keep):
            if reply.pause:
                self.wait(reply.pause)
            yield event
        if reply.keep is None:
            return
        if reply.then == "drop":
            raise HangUp
        if reply.then == "error":
            yield b"data: " + reply.body.encode() + b"\n\n"
        while reply.then == "silence":
            self.wait(reply.heartbeat)
            yield b": still here\n\n"

    def deltas(self, reply: Reply) -> Iterator[dict[str, Any]]:
        told = super().deltas(reply)
        yield next(told)
        for piece in cut(reply.reasoning):
            yield {"reasoning_content": piece}
        yield from told

    def usage(self, reply: Reply, messages: Sequence[Any], cached: int) -> dict[str, Any]:
        if not reply.has_usage:
            return {}
        return super().usage(reply, messages, cached if reply.cached_tokens is None else reply.cached_tokens)

    def counts(self, reply: Reply, messages: Sequence[Any]) -> tuple[int, int]:
        told = (reply.prompt_tokens, reply.completion_tokens)
        estimated = super().counts(reply, self._cut({"messages": messages})["messages"])
        return tuple(here if given is None else given for given, here in zip(told, estimated, strict=True))

    def _cut(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What is left of a request where only so many tokens are looked at."""
        if not self._ollama:
            return asked
        return {**asked, "messages": _last(asked["messages"], self._ollama.context)}


class DemoModel(FaultyServer, _Model):
    """Answers by `script`: a callable, or replies given out in order (then an error).

    The API is at `base_url` and wants `key`. With `ollama`, Ollama's own endpoints are there too, no key is
    wanted, and only the last `ollama.context` tokens of the messages reach the script, as with the real one.
    The tiny question that is asked before a claim is answered rightly; without `is_fit`, by the script.
    `requests` are all HTTP requests, completions among them; `asked` the completions that no fault struck.
    """

    def __init__(
        self,
        script: Script | Sequence[Reply],
        *,
        name: str = "scripted",
        ollama: OllamaFacts | None = None,
        is_fit: bool = True,
    ) -> None:
        super().__init__(script if callable(script) else _in_order(script), name, ollama, is_fit)

    def secrets(self) -> list[str]:
        return [self.key]

    def times_asked(self) -> int:
        """How often a completion was asked for, whatever came of it."""
        return sum(request.path.endswith("/completions") for request in self.requests)


_REVIEWED = "Not handed in yet: this is what a reviewer would see."


def _in_order(replies: Sequence[Reply]) -> Script:
    """One after the other. A review of what is to be handed in is confirmed with the same call again."""
    left = iter(list(replies))
    last: list[Reply] = []

    def script(request: dict[str, Any], number: int) -> Reply:
        if last and _REVIEWED in str(request["messages"][-1].get("content")):
            return last[-1]
        reply = next(left, None)
        if reply is None:
            return Reply(
                status=400, body=json.dumps({"error": {"message": f"no reply for request {number}"}})
            )
        last.append(reply)
        return reply

    return script


def _last(messages: list[Any], tokens: int) -> list[Any]:
    """The messages whose contents fit, from the end; the first that does not fit loses its beginning."""
    room = tokens * CHARACTERS_PER_TOKEN
    kept: list[Any] = []
    for message in reversed(messages):
        content = str(message.get("content") or "")
        kept.append({**message, "content": content[-room:]})
        room -= len(content)
        if room <= 0:
            break
    return kept[::-1]
