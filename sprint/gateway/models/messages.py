"""Anthropic's Messages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sprint.gateway.models.dialect import Heard, is_remote, mapping, tokens

PATH = "/messages"
NAMED = "Anthropic's Messages"
TAKES_EXTRA = False
HAS_MARK = False
OWN_TOOLS: tuple[str, ...] = ("custom", "bash_*", "text_editor_*", "memory_*", "computer_*")
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
}


def prepare(body: dict[str, Any]) -> bool:
    return False


def take(event: Mapping[str, Any], heard: Heard) -> None:
    match event.get("type"):
        case "message_start":
            _count(mapping(mapping(event.get("message")).get("usage")), heard)
        case "content_block_start":
            heard.calls += mapping(event.get("content_block")).get("type") == "tool_use"
            heard.piece()
        case "content_block_delta":
            delta = mapping(event.get("delta"))
            heard.piece(delta.get("text"), delta.get("thinking"), delta.get("partial_json"))
        case "message_delta":
            _count(mapping(event.get("usage")), heard)
        case "message_stop":
            heard.has_ended = True
        case "error":
            heard.failure = event.get("error") or event


def take_whole(answer: Mapping[str, Any], heard: Heard) -> None:
    if answer.get("type") == "error" or answer.get("error"):
        heard.failure = answer.get("error") or answer
    _count(mapping(answer.get("usage")), heard)
    content = answer.get("content")
    for block in map(mapping, content if isinstance(content, list) else ()):
        heard.calls += block.get("type") == "tool_use"
        heard.piece(block.get("text"), json.dumps(block.get("input") or ""))
    heard.has_ended = isinstance(content, list) and not heard.failure


def is_only_usage(event: Mapping[str, Any]) -> bool:
    return False


def _count(usage: Mapping[str, Any], heard: Heard) -> None:
    """What was read from the cache and what was written there is counted apart from the rest."""
    cached = tokens(usage.get("cache_read_input_tokens")) or 0
    fresh = tokens(usage.get("input_tokens"))
    written = tokens(usage.get("cache_creation_input_tokens")) or 0
    prompt = fresh + cached + written if fresh is not None else None
    heard.count(prompt=prompt, cached=cached, completion=usage.get("output_tokens"))


def error(status: int, message: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": _KINDS.get(status, "api_error"), "message": message}}


def error_event(status: int, message: str) -> bytes:
    return b"event: error\ndata: " + json.dumps(error(status, message)).encode() + b"\n\n"


def outside(part: Mapping[str, Any]) -> bool:
    source = mapping(part.get("source"))
    return (
        part.get("type") in ("image", "document")
        and source.get("type") == "url"
        and is_remote(source.get("url"))
    )


def question(model: str, words: str, tool: Mapping[str, Any], longest: int) -> dict[str, Any]:
    made = {"name": tool["name"], "description": tool["description"], "input_schema": tool["parameters"]}
    return {
        "model": model,
        "max_tokens": longest,
        "messages": [{"role": "user", "content": words}],
        "tools": [made],
    }
