"""What agents print, as the detector's events and as counts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sprint.sprite.detector import Event

_LINE = 1 << 20  # bytes of a line that are looked at


class Reader:
    """Turns lines of output into the detector's events, and keeps what a call-back tells."""

    def __init__(self) -> None:
        self.said = ""
        self.stats = {"messageCount": 0, "inputTokens": 0, "outputTokens": 0}
        self.cached = 0  # of inputTokens
        self._closed = (0, 0, 0)  # read, of that cached, written: of what has told its sum
        self._open: dict[str, tuple[int, int, int]] = {}  # of answers of which no sum is told yet
        self._calls: dict[str, tuple[str, str]] = {}

    def events(self, line: bytes, at: float) -> Iterator[Event]:
        try:
            record = json.loads(line[:_LINE]) if line.lstrip().startswith(b"{") else None
        except ValueError:
            record = None
        if not isinstance(record, dict):
            if line.strip():
                yield Event("text", at)
            return
        self._count(record)
        seen = False
        for event in (
            *self._of_claude(record, at),
            *self._of_codex(record, at),
            *self._of_opencode(record, at),
            *self._of_kimi(record, at),
        ):
            seen = True
            yield event
        if not seen and record.get("type") != "system":
            yield Event("text", at)

    def _of_claude(self, record: Mapping[str, Any], at: float) -> Iterator[Event]:
        if record.get("subtype") == "api_retry":
            yield Event("retry", at)
        content = _mapping(record.get("message")).get("content")
        for block in map(_mapping, content if isinstance(content, list) else ()):
            if block.get("type") == "text":
                yield self._spoke(str(block.get("text") or ""), at)
            elif block.get("type") == "tool_use":
                given = _mapping(block.get("input"))
                call = f"{block.get('name')} {json.dumps(given, sort_keys=True)}"
                path = (
                    str(given.get("file_path") or "")
                    if block.get("name") in ("Edit", "MultiEdit", "Write")
                    else ""
                )
                self._calls[str(block.get("id"))] = (call, path)
                yield Event("began", at, call=call)
            elif block.get("type") == "tool_result":
                yield self._answered(str(block.get("tool_use_id")), _text(block.get("content")), block, at)

    def _spoke(self, text: str, at: float) -> Event:
        self.said = text or self.said
        self.stats["messageCount"] += 1
        return Event("text", at)

    def _answered(self, number: str, text: str, block: Mapping[str, Any], at: float) -> Event:
        call, path = self._calls.pop(number, (number, ""))
        if not block.get("is_error"):
            return Event("call", at, call=call, result=text, path=path)
        command = re.match(r"(?:Error: )?Exit code \d+", text)
        mistake, failure = ("", text) if command else (text, "")
        return Event("call", at, call=call, result=text, mistake=mistake, failure=failure)

    def _of_codex(self, record: Mapping[str, Any], at: float) -> Iterator[Event]:
        kind, item = str(record.get("type")), _mapping(record.get("item"))
        if kind == "item.started":
            yield Event("began", at, call=_codex_call(item))
        elif kind == "item.completed" and item.get("type") == "agent_message":
            yield self._spoke(str(item.get("text") or ""), at)
        elif kind == "item.completed":
            output = str(item.get("aggregated_output") or item.get("status") or "")
            failure = output[-2000:] if item.get("exit_code") not in (None, 0) else ""
            changes = item.get("changes")
            path = (
                str(_mapping(changes[0]).get("path") or "") if isinstance(changes, list) and changes else ""
            )
            yield Event("call", at, call=_codex_call(item), result=output, failure=failure, path=path)
        elif kind == "error":
            yield Event("retry" if "econnect" in str(record.get("message")) else "text", at)

    def _of_opencode(self, record: Mapping[str, Any], at: float) -> Iterator[Event]:
        part = _mapping(record.get("part"))
        if record.get("type") == "text":
            yield self._spoke(str(part.get("text") or ""), at)
        elif record.get("type") == "tool_use":
            state = _mapping(part.get("state"))
            call = f"{part.get('tool')} {json.dumps(state.get('input'), sort_keys=True)}"
            result = _text(state.get("output") or state.get("error"))
            mistake = result if state.get("status") == "error" else ""
            yield Event("call", at, call=call, result=result, mistake=mistake)

    def _of_kimi(self, record: Mapping[str, Any], at: float) -> Iterator[Event]:
        calls = record.get("tool_calls")
        if record.get("role") == "assistant":
            yield self._spoke(_text(record.get("content")), at)
            for call in map(_mapping, calls if isinstance(calls, list) else ()):
                made = _mapping(call.get("function")) or call
                self._calls[str(call.get("id"))] = (f"{made.get('name')} {made.get('arguments')}", "")
                yield Event("began", at, call=f"{made.get('name')}")
        elif record.get("role") == "tool":
            yield self._answered(str(record.get("tool_call_id")), _text(record.get("content")), record, at)

    def _count(self, record: Mapping[str, Any]) -> None:
        """Claude tells of each answer, and its sum in its last record, codex after each turn, opencode after
        each step."""
        usage, tokens = _mapping(record.get("usage")), _mapping(_mapping(record.get("part")).get("tokens"))
        kind, message = record.get("type"), _mapping(record.get("message"))
        if kind == "assistant" and message.get("usage"):
            self._open[str(message.get("id"))] = _of_claude(_mapping(message["usage"]))
        elif kind == "system" and record.get("subtype") == "init":  # one before this told no sum
            self._close(*self._open.values())
        elif kind == "result":
            self._open.clear()
            self._close(_of_claude(usage))
        elif kind == "turn.completed":
            read, cached = _number(usage.get("input_tokens")), _number(usage.get("cached_input_tokens"))
            self._close((read, cached, _number(usage.get("output_tokens"))))
        elif kind == "step_finish":
            cached = _number(_mapping(tokens.get("cache")).get("read"))
            fresh = _number(tokens.get("input")) + _number(_mapping(tokens.get("cache")).get("write"))
            self._close((fresh + cached, cached, _number(tokens.get("output"))))
        parts = (self._closed, *self._open.values())
        self.stats["inputTokens"] = sum(read for read, _, _ in parts)
        self.stats["outputTokens"] = sum(written for _, _, written in parts)
        self.cached = sum(cached for _, cached, _ in parts)

    def _close(self, *told: tuple[int, int, int]) -> None:
        for read, cached, written in told:
            before = self._closed
            self._closed = (before[0] + read, before[1] + cached, before[2] + written)
        self._open.clear()

    def dollars(self, prices: tuple[float, float, float]) -> float:
        fresh, of_cache, written = prices
        read = self.stats["inputTokens"] - self.cached
        return (read * fresh + self.cached * of_cache + self.stats["outputTokens"] * written) / 1e6


def _of_claude(usage: Mapping[str, Any]) -> tuple[int, int, int]:
    """Read, of that from a cache, written."""
    cached = _number(usage.get("cache_read_input_tokens"))
    fresh = _number(usage.get("input_tokens")) + _number(usage.get("cache_creation_input_tokens"))
    return fresh + cached, cached, _number(usage.get("output_tokens"))


def _codex_call(item: Mapping[str, Any]) -> str:
    return f"{item.get('type')} {item.get('command') or item.get('query') or item.get('changes') or ''}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _text(value: object) -> str:
    """A tool's result: text, or a list of blocks that hold it."""
    if isinstance(value, list):
        return "\n".join(_text(_mapping(one).get("text")) for one in value)
    return value if isinstance(value, str) else ("" if value is None else json.dumps(value, sort_keys=True))
