"""Lines of Claude Code's stream."""

from __future__ import annotations

from typing import Any

INIT = {"type": "system", "subtype": "init", "session_id": "s-1"}
RESULT = {"type": "result", "subtype": "success", "is_error": False, "result": "All done."}


def text(words: str, turn: str = "m1") -> dict[str, Any]:
    content = [{"type": "text", "text": words}]
    return {"type": "assistant", "message": {"id": turn, "role": "assistant", "content": content}}


def use(call: str, command: str, turn: str = "m1") -> dict[str, Any]:
    block = {"type": "tool_use", "id": call, "name": "Bash", "input": {"command": command}}
    return {"type": "assistant", "message": {"id": turn, "content": [block]}}


def result(call: str, content: Any, *, is_error: bool = False) -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": call, "content": content, "is_error": is_error}
    return {"type": "user", "message": {"role": "user", "content": [block]}}
