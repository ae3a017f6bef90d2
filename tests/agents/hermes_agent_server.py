"""Hermes' agent server on loopback, as 0.19.0 behaves: a whole agent behind the address of a model.

The real one needs aiohttp besides hermes, and five seconds to start. It streams what that one does: a
chunk for the role, steps as events of their own, comments that keep the connection, HTTP 200 for failures.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from tests.servers.loopback import Answer, HangUp, LoopbackServer, Request, json_answer


@dataclass
class Act:
    """What it does with a task: `steps` are tools with their labels, `text` its last words."""

    work: Callable[[str], object] = lambda prompt: None
    steps: tuple[tuple[str, str], ...] = ()
    text: str = "I did it."
    failure: str = ""
    cut: bool = False
    hang: float = 0.0
    status: int = 0


@dataclass
class HermesAgentServer:
    """`told` are the tasks in order, `sessions` the names that came with them."""

    acts: list[Act]
    key: str = field(default_factory=lambda: secrets.token_hex(16))
    told: list[str] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    hung_up: int = 0

    def __post_init__(self) -> None:
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
        return self._server.url.replace("127.0.0.1", "localhost")

    def _answer(self, request: Request) -> Answer:
        if request.path == "/health":
            return json_answer({"status": "ok", "platform": "hermes-agent", "version": "0.19.0"})
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return json_answer({"error": {"message": "Invalid API key"}}, 401)
        asked = request.json()
        assert (asked["model"], asked["stream"]) == ("hermes-agent", True)
        self.told.append(asked["messages"][-1]["content"])
        self.sessions.append(request.headers.get("x-hermes-session-id", ""))
        act = self.acts[min(len(self.told), len(self.acts)) - 1]
        if act.status:
            return json_answer({"error": {"message": "Too many concurrent runs (max 10)"}}, act.status)
        headers = {"Content-Type": "text/event-stream", "X-Hermes-Session-Id": f"api-{len(self.told)}"}
        return Answer(200, self._stream(act, self.told[-1]), headers)

    def _stream(self, act: Act, prompt: str) -> Iterator[bytes]:
        try:
            yield from self._pieces(act, prompt)
        except GeneratorExit:
            self.hung_up += 1
            raise

    def _pieces(self, act: Act, prompt: str) -> Iterator[bytes]:
        yield _chunk({"role": "assistant"})
        for number, (tool, label) in enumerate(act.steps):
            step = {"tool": tool, "toolCallId": f"call_{number}"}
            yield _event({**step, "emoji": "x", "label": label, "status": "running"})
            yield b": keepalive\n\n"
            yield _event({**step, "status": "completed"})
        act.work(prompt)
        while act.hang > 0:
            self._server.wait(0.1)
            act.hang -= 0.1
            yield b": keepalive\n\n"
        for piece in act.text.split(" "):
            yield _chunk({"content": f"{piece} "})
        if act.cut:
            raise HangUp
        told = {"hermes": {"failed": True, "completed": False, "error": act.failure}} if act.failure else {}
        used = {"prompt_tokens": 2000, "completion_tokens": 34, "total_tokens": 2034}
        yield _chunk({}, "error" if act.failure else "stop", usage=used, **told)
        yield b"data: [DONE]\n\n"


def _chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": reason}]
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": choices, **more}
    return f"data: {json.dumps(chunk)}\n\n".encode()


def _event(payload: dict[str, Any]) -> bytes:
    return f"event: hermes.tool.progress\ndata: {json.dumps(payload)}\n\n".encode()
