"""OpenAI's Responses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sprint.gateway.models.dialect import Heard, is_remote, mapping

PATH = "/responses"
NAMED = "OpenAI's Responses"
TAKES_EXTRA = False
HAS_MARK = False
OWN_TOOLS: tuple[str, ...] = ("function", "custom", "local_shell", "apply_patch")
_ENDED = ("response.completed", "response.incomplete")
_CALLS = ("function_call", "custom_tool_call", "local_shell_call", "apply_patch_call")
_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}


def prepare(body: dict[str, Any]) -> bool:
    return False


def take(event: Mapping[str, Any], heard: Heard) -> None:
    kind = str(event.get("type"))
    response = mapping(event.get("response"))
    _count(mapping(response.get("usage")), heard)
    if kind.endswith(".delta"):
        heard.piece(event.get("delta"))
    elif kind.startswith("response.output_item."):
        item = mapping(event.get("item"))
        heard.calls += kind.endswith(".done") and item.get("type") in _CALLS
        heard.piece(item.get("arguments") if kind.endswith(".done") else "")
    elif kind in _ENDED:
        heard.has_ended = True
    elif kind == "response.failed":
        heard.failure = response.get("error") or "the response failed"
    elif kind == "error":
        heard.failure = event.get("error") or {key: event.get(key) for key in ("code", "message")}


def take_whole(answer: Mapping[str, Any], heard: Heard) -> None:
    _count(mapping(answer.get("usage")), heard)
    heard.failure = answer.get("error")
    output = answer.get("output")
    for item in map(mapping, output if isinstance(output, list) else ()):
        heard.calls += item.get("type") in _CALLS
        heard.piece(json.dumps(item.get("content") or item.get("arguments") or ""))
    heard.has_ended = isinstance(output, list) and not heard.failure


def is_only_usage(event: Mapping[str, Any]) -> bool:
    return False


def _count(usage: Mapping[str, Any], heard: Heard) -> None:
    cached = mapping(usage.get("input_tokens_details")).get("cached_tokens")
    heard.count(prompt=usage.get("input_tokens"), cached=cached, completion=usage.get("output_tokens"))


def error(status: int, message: str) -> dict[str, Any]:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": _CODES.get(status, kind)}}


def error_event(status: int, message: str) -> bytes:
    failed = {
        "id": "resp_none",
        "object": "response",
        "status": "failed",
        "error": {"code": _CODES.get(status, "server_error"), "message": message},
    }
    event = {"type": "response.failed", "response": failed}
    return b"event: response.failed\ndata: " + json.dumps(event).encode() + b"\n\n"


def outside(part: Mapping[str, Any]) -> bool:
    kind = part.get("type")
    return (kind == "input_image" and is_remote(part.get("image_url"))) or (
        kind == "input_file" and is_remote(part.get("file_url"))
    )


def question(model: str, words: str, tool: Mapping[str, Any], longest: int) -> dict[str, Any]:
    return {
        "model": model,
        "max_output_tokens": longest,
        "input": [{"role": "user", "content": words}],
        "tools": [{"type": "function", "strict": False, **tool}],
    }
