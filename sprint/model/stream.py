"""Puts a reply together from the pieces of a stream, however oddly a provider cuts them."""

from __future__ import annotations

import json
import secrets
from typing import Any

from msgspec import Struct

from sprint.model.reply import ToolCall, joined

LONGEST = 2_000_000  # characters: a model that never stops is stopped here
_MOST_CALLS = 1_000  # which need no characters at all


class _Slot(Struct):
    id: str = ""
    name: str = ""
    arguments: str = ""

    @property
    def is_whole(self) -> bool:
        return bool(self.name) and parses(self.arguments)


class Assembly(Struct):
    """A reply in the making."""

    finish_reason: str = ""
    counted: Any = None  # the server's own usage record
    size: int = 0
    _content: list[str] = []
    _reasoning: list[str] = []
    _slots: list[_Slot] = []
    _by_index: dict[int, _Slot] = {}

    @property
    def content(self) -> str:
        return joined("".join(self._content))

    @property
    def reasoning(self) -> str:
        return joined("".join(self._reasoning))

    @property
    def is_empty(self) -> bool:
        return not self._content and not self._reasoning and not self._slots

    @property
    def is_endless(self) -> bool:
        return self.size > LONGEST or len(self._slots) > _MOST_CALLS

    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls in the order they came, each with an id of its own."""
        seen: set[str] = set()
        calls = []
        for slot in self._slots:
            call_id = slot.id if slot.id and slot.id not in seen else f"call_{secrets.token_hex(6)}"
            seen.add(call_id)
            calls.append(ToolCall(joined(call_id), joined(slot.name), joined(slot.arguments)))
        return tuple(calls)

    def feed(self, event: Any) -> bool:
        """Take in one event; True where it brought a piece of the answer (a heartbeat does not)."""
        if not isinstance(event, dict):
            return False
        if isinstance(event.get("usage"), dict):
            self.counted = event["usage"]
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            return False
        before = self.size
        message = choice.get("delta") or choice.get("message")
        if isinstance(message, dict):
            self._take(message)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self.finish_reason = reason
        if self.is_endless and not self.finish_reason:
            self.finish_reason = "length"
        return self.size > before or bool(reason)

    def _take(self, message: dict[str, Any]) -> None:
        self._add(self._content, message.get("content"))
        self._add(self._content, message.get("refusal"))
        self._add(self._reasoning, message.get("reasoning_content") or message.get("reasoning"))
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else []:
            if isinstance(call, dict) and not self.is_endless:
                self._add_call(call)
        if isinstance(message.get("function_call"), dict):
            self._add_call({"index": 0, "function": message["function_call"]})

    def _add(self, pieces: list[str], value: Any) -> None:
        if isinstance(value, list):
            for part in value:
                self._add(pieces, part.get("text") if isinstance(part, dict) else part)
        elif isinstance(value, str) and value:
            pieces.append(value)
            self.size += len(value)

    def _add_call(self, call: dict[str, Any]) -> None:
        function = call.get("function")
        function = function if isinstance(function, dict) else call
        name = function.get("name")
        name = name if isinstance(name, str) else ""
        arguments = function.get("arguments")
        if isinstance(arguments, dict | list):
            arguments = json.dumps(arguments, ensure_ascii=False)
        arguments = arguments if isinstance(arguments, str) else ""
        call_id = call.get("id")
        call_id = call_id if isinstance(call_id, str) else ""
        index = call.get("index")
        slot = self._slot(index if isinstance(index, int) else None, call_id, name, arguments)
        slot.id = slot.id or call_id
        slot.name = _grown(slot.name, name)
        if not (slot.arguments == arguments and slot.is_whole and call_id):  # a provider that says it twice
            slot.arguments += arguments
        self.size += len(name) + len(arguments)

    def _slot(self, index: int | None, call_id: str, name: str, arguments: str) -> _Slot:
        """Which call a piece belongs to; servers leave out ids, or indexes, or give all the same one."""
        slot: _Slot | None
        if index is None:
            slot = next((s for s in self._slots if call_id and s.id == call_id), None)
            if slot is None and not call_id and self._slots:
                slot = self._slots[-1]
        else:
            slot = self._by_index.get(index)
        if slot is not None and not _begins_another(slot, call_id, name, arguments):
            return slot
        slot = _Slot()
        self._slots.append(slot)
        if index is not None:
            self._by_index[index] = slot
        return slot


def _begins_another(slot: _Slot, call_id: str, name: str, arguments: str) -> bool:
    if call_id and slot.id and call_id != slot.id:
        # Some servers make up a new id for every piece: only a name tells that a call begins.
        return bool(name)
    return bool(name and arguments and slot.is_whole and slot.arguments and not call_id)


def _grown(name: str, piece: str) -> str:
    """A name that came in pieces, or was sent again whole with each piece of the arguments."""
    if not piece or piece == name:
        return name
    return piece if piece.startswith(name) else name + piece


def parses(arguments: str) -> bool:
    """True for text that is a whole JSON value; no arguments at all count as whole."""
    if not arguments.strip():
        return True
    try:
        json.loads(arguments, strict=False)
    except ValueError:
        return False
    return True
