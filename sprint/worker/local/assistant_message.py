"""A model's answer as it goes back to it: what servers refuse to take back is made harmless."""

from __future__ import annotations

import json
import re
from typing import Any

from sprint.model import Reply, ToolCall
from sprint.worker.local.tools import BadCall, decoded, tool_named


def assistant_message(reply: Reply, text: str, calls: tuple[ToolCall, ...]) -> dict[str, Any]:
    """`text` and `calls` are what was made of the reply."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text or None,
        "tool_calls": [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": _safe_name(call.name), "arguments": _safe_arguments(call)},
            }
            for call in calls
        ],
    }
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    return message


def _safe_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", tool_named(name))[:64] or "unnamed"


def _safe_arguments(call: ToolCall) -> str:
    """The arguments as an object in JSON: many servers break on any other when they come back."""
    try:
        return json.dumps(decoded("finish", call.arguments), ensure_ascii=False)
    except BadCall:
        return json.dumps({"not_json": call.arguments[:2000]}, ensure_ascii=False)
