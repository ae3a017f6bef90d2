"""What hermes' agent server streams, as what any agent says: its steps, its words, its end.

It answers HTTP 200 also where its model failed: `finish_reason` and `hermes.failed` tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sprint.domain import Usage
from sprint.worker.agents import fields
from sprint.worker.agents.agent_kind import Answered, Called, Ended, Said, Seen


class Reader:
    """Reads one answer. `usage` is what the server says that it used; nobody else counts it."""

    NAME = "hermes server"
    TELLS_STEPS = True

    def __init__(self) -> None:
        self.usage = Usage()
        self._words: list[str] = []
        self._answers = 0

    def read(self, record: Mapping[str, Any]) -> Iterator[Seen]:
        if "toolCallId" in record:
            yield from self._step(record)
        choices = record.get("choices")
        for choice in fields.blocks(choices if isinstance(choices, list) else None):
            self._words.append(fields.text_of(fields.mapping(choice.get("delta")).get("content")))
            if reason := choice.get("finish_reason"):
                yield from self._ended(record, str(reason))

    def read_text(self, line: str) -> Iterator[Seen]:
        yield from ()

    def closing(self, stdout: str, stderr: str, exit_code: int) -> Iterator[Seen]:
        yield from self._said()

    def _step(self, record: Mapping[str, Any]) -> Iterator[Seen]:
        call = str(record.get("toolCallId"))
        if record.get("status") == "running":
            yield from self._said()
            yield Called(call, str(record.get("tool")), fields.text_of(record.get("label")))
        elif record.get("status") == "completed":
            yield Answered(call, "")

    def _said(self) -> Iterator[Seen]:
        text = "".join(self._words).strip()
        self._words.clear()
        if text:
            self._answers += 1
            yield Said(text, turn=f"answer {self._answers}")

    def _ended(self, record: Mapping[str, Any], reason: str) -> Iterator[Seen]:
        text = "".join(self._words).strip()
        yield from self._said()
        counted, told = fields.mapping(record.get("usage")), fields.mapping(record.get("hermes"))
        self.usage = Usage(
            turns=1,
            prompt_tokens=max(fields.whole(counted.get("prompt_tokens")) or 0, 0),
            completion_tokens=max(fields.whole(counted.get("completion_tokens")) or 0, 0),
        )
        failure = ""
        if told.get("failed") or reason == "error":
            why = fields.text_of(told.get("error")) or fields.text_of(record.get("error"))
            failure = why or f"finish_reason {reason}"
        yield Ended(failure, text)
