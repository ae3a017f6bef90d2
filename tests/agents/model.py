"""A scripted model that speaks the three dialects of coding agents, on loopback, and counts what it sends."""

from __future__ import annotations

import itertools
import json
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tests.servers.loopback import Answer, HangUp, LoopbackServer, Request, json_answer
from tests.servers.replies import Reply, call, say

Script = Callable[[dict[str, Any], int], Reply]
"""Given a request's JSON and its number, from 0, says what to answer; asked for requests with tools only."""

_PIECE = 40


@dataclass
class Sent:
    """What it says that it has sent, over all answers."""

    answers: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0


class ScriptedModel:
    """Speaks Messages, Responses and chat completions. `last` is the status of the last answer to a request
    with tools, 0 for a cut stream or none at all."""

    def __init__(self, script: Script, name: str = "scripted") -> None:
        self.name = name
        self.key = f"sk-{secrets.token_hex(16)}"
        self.asked: list[dict[str, Any]] = []
        self.sent = Sent()
        self.last = 200
        self.is_fit = True  # answers the question before a claim, and does not count it
        self._script = script
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._server = LoopbackServer(self._answer, lambda: [self.key])

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

    def _answer(self, request: Request) -> Answer:
        speak = _SPEAK.get(request.path)
        if request.path == "/v1/messages/count_tokens":
            return json_answer({"input_tokens": 100})
        if request.method == "HEAD":
            return Answer(200)
        if request.path == "/v1/models":
            return json_answer({"object": "list", "data": [{"id": self.name, "object": "model"}]})
        if speak is None or request.method != "POST":
            return json_answer({"error": {"message": "not found"}}, 404)
        given = f"{request.headers.get('authorization', '')} {request.headers.get('x-api-key', '')}"
        if self.key not in given:
            self.last = 401
            return json_answer({"error": {"type": "authentication_error", "message": "no such key"}}, 401)
        return self._scripted(request.json(), speak)

    def _scripted(self, asked: dict[str, Any], speak: Callable[..., Iterator[bytes]]) -> Answer:
        if (asked_to := _question(asked)) is not None and self.is_fit:
            body = speak(asked_to, 0, self.name, stream=bool(asked.get("stream")))
            kind = "text/event-stream" if asked.get("stream") else "application/json"
            return Answer(200, b"".join(body), {"Content-Type": kind})
        with self._lock:
            number = len(self.asked)
            if asked.get("tools"):
                self.asked.append(asked)
                self.last = 0
        reply = self._script(asked, number) if asked.get("tools") else say("ok")
        if reply.hang:
            self._server.wait(reply.hang)
        if reply.status:
            self.last = reply.status if reply.status != 200 else 0
            return Answer(reply.status, reply.body.encode(), {"Content-Type": "application/json"})
        if not asked.get("stream"):
            if reply.keep is not None:
                raise HangUp
            whole = b"".join(speak(reply, next(self._ids), self.name, stream=False))
            self._count(reply, asked)
            return Answer(200, whole, {"Content-Type": "application/json"})
        return Answer(200, self._streamed(reply, asked, speak), {"Content-Type": "text/event-stream"})

    def _streamed(
        self, reply: Reply, asked: dict[str, Any], speak: Callable[..., Iterator[bytes]]
    ) -> Iterator[bytes]:
        options = asked.get("stream_options") or {}
        is_untold = speak is _chat and not options.get("include_usage")
        more = {"with_usage": False} if is_untold else {}
        for number, piece in enumerate(speak(reply, next(self._ids), self.name, stream=True, **more)):
            if reply.keep is not None and number >= reply.keep:
                if speak is _messages:  # its first event tells of the prompt
                    self._add(*tokens(reply)[:2], 1)
                if reply.then == "silence":
                    self._server.wait(3600)
                raise HangUp
            yield piece
        self._count(reply, asked)

    def _count(self, reply: Reply, asked: dict[str, Any]) -> None:
        self._add(*tokens(reply))
        with self._lock:
            self.last = 200 if asked.get("tools") else self.last

    def _add(self, prompt: int, cached: int, completion: int) -> None:
        with self._lock:
            self.sent.answers += 1
            self.sent.prompt += prompt
            self.sent.cached += cached
            self.sent.completion += completion


def _question(asked: dict[str, Any]) -> Reply | None:
    """The call that the tiny question before a claim asks for; None for any other request."""
    tools = [tool.get("name") or tool.get("function", {}).get("name") for tool in asked.get("tools") or ()]
    if tools != ["report_number"]:
        return None
    number = re.search(r"number (\d+)", json.dumps(asked))
    return call("report_number", {"number": int(number[1]) if number else 0})


def tokens(reply: Reply) -> tuple[int, int, int]:
    """What an answer says of itself: tokens of the prompt, of these cached, and of the completion."""
    return reply.prompt_tokens or 1000, reply.cached_tokens or 0, reply.completion_tokens or 17


def _pieces(text: str) -> Iterator[str]:
    return (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))


def _data(event: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(event)}\n\n".encode()


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


# --- Anthropic's Messages


def _messages(reply: Reply, number: int, model: str, *, stream: bool) -> Iterator[bytes]:
    prompt, cached, completion = tokens(reply)
    usage = {"input_tokens": prompt - cached, "cache_read_input_tokens": cached, "output_tokens": 1}
    message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": model}
    blocks: list[dict[str, Any]] = [{"type": "text", "text": reply.text}] if reply.text else []
    blocks += [
        {"type": "tool_use", "id": f"toolu_{number}_{index}", "name": call.name, "input": call.arguments}
        for index, call in enumerate(reply.tool_calls)
    ]
    reason = reply.finish_reason or ("tool_use" if reply.tool_calls else "end_turn")
    if not stream:
        whole = {**message, "content": blocks, "stop_reason": reason, "stop_sequence": None}
        yield json.dumps({**whole, "usage": {**usage, "output_tokens": completion}}).encode()
        return
    empty = {**message, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    yield _event("message_start", message=empty)
    for index, block in enumerate(blocks):
        is_text = block["type"] == "text"
        begun = {**block, "text": ""} if is_text else {**block, "input": {}}
        yield _event("content_block_start", index=index, content_block=begun)
        for piece in _pieces(block["text"] if is_text else block["input"]):
            delta = (
                {"type": "text_delta", "text": piece}
                if is_text
                else {"type": "input_json_delta", "partial_json": piece}
            )
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    delta = {"stop_reason": reason, "stop_sequence": None}
    yield _event("message_delta", delta=delta, usage={"output_tokens": completion})
    yield _event("message_stop")


# --- OpenAI's Responses


def _responses(reply: Reply, number: int, model: str, *, stream: bool) -> Iterator[bytes]:
    prompt, cached, completion = tokens(reply)
    items: list[dict[str, Any]] = []
    if reply.text:
        content = [{"type": "output_text", "text": reply.text, "annotations": []}]
        items.append(
            {
                "type": "message",
                "id": f"msg_{number}",
                "role": "assistant",
                "status": "completed",
                "content": content,
            }
        )
    items += [
        {
            "type": "function_call",
            "id": f"fc_{number}_{index}",
            "call_id": f"call_{number}_{index}",
            "name": call.name,
            "arguments": call.arguments,
            "status": "completed",
        }
        for index, call in enumerate(reply.tool_calls)
    ]
    usage = {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + completion,
    }
    response = {"id": f"resp_{number}", "object": "response", "model": model, "status": "completed"}
    if not stream:
        yield json.dumps({**response, "output": items, "usage": usage}).encode()
        return
    yield _event("response.created", response={**response, "status": "in_progress", "output": []})
    for index, item in enumerate(items):
        yield _event("response.output_item.added", output_index=index, item=item)
        for piece in _pieces(reply.text) if item["type"] == "message" else ():
            yield _event(
                "response.output_text.delta",
                output_index=index,
                content_index=0,
                item_id=item["id"],
                delta=piece,
            )
        yield _event("response.output_item.done", output_index=index, item=item)
    yield _event("response.completed", response={**response, "output": items, "usage": usage})


# --- chat completions


def _chat(reply: Reply, number: int, model: str, *, stream: bool, with_usage: bool = True) -> Iterator[bytes]:
    prompt, cached, completion = tokens(reply)
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    calls = [
        {
            "id": f"call_{number}_{index}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for index, call in enumerate(reply.tool_calls)
    ]
    reason = reply.finish_reason or ("tool_calls" if calls else "stop")
    head = {"id": f"chatcmpl-{number}", "created": 1, "model": model}
    if not stream:
        message = {
            "role": "assistant",
            "content": reply.text or None,
            **({"tool_calls": calls} if calls else {}),
        }
        choice = {"index": 0, "message": message, "finish_reason": reason}
        yield json.dumps({**head, "object": "chat.completion", "choices": [choice], "usage": usage}).encode()
        return

    def chunk(delta: dict[str, Any], end: str | None = None, **more: Any) -> bytes:
        choices = [{"index": 0, "delta": delta, "finish_reason": end}]
        return _data({**head, "object": "chat.completion.chunk", "choices": choices, **more})

    yield chunk({"role": "assistant", "content": ""})
    for piece in _pieces(reply.text):
        yield chunk({"content": piece})
    for index, made in enumerate(calls):
        yield chunk({"tool_calls": [{**made, "index": index}]})
    yield chunk({}, reason)
    if with_usage:
        yield _data({**head, "object": "chat.completion.chunk", "choices": [], "usage": usage})
    yield b"data: [DONE]\n\n"


_SPEAK: dict[str, Callable[..., Iterator[bytes]]] = {
    "/v1/messages": _messages,
    "/v1/responses": _responses,
    "/v1/chat/completions": _chat,
}
