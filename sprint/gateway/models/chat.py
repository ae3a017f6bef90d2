"""OpenAI's chat completions, as most servers speak them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sprint.gateway.models.dialect import Heard, is_remote, mapping

PATH = "/chat/completions"
NAMED = "OpenAI's chat completions"
TAKES_EXTRA = True
HAS_MARK = True
OWN_TOOLS: tuple[str, ...] = ("function", "custom")
_KINDS = {401: "authentication_error", 429: "rate_limit_error"}


def prepare(body: dict[str, Any]) -> bool:
    if not body.get("stream"):
        return False
    options = body.get("stream_options")
    options = dict(options) if isinstance(options, dict) else {}
    is_wanted = bool(options.get("include_usage"))
    body["stream_options"] = {**options, "include_usage": True}
    return not is_wanted


def take(event: Mapping[str, Any], heard: Heard) -> None:
    if event.get("error"):
        heard.failure = event["error"]
    _count(event, heard)
    choices = event.get("choices")
    for choice in map(mapping, choices if isinstance(choices, list) else ()):
        said = mapping(choice.get("delta") or choice.get("message"))
        texts = [said.get(key) for key in ("content", "reasoning_content", "reasoning", "refusal")]
        calls = said.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            made = mapping(mapping(call).get("function"))
            heard.calls += bool(made.get("name"))
            texts += [made.get("name"), made.get("arguments")]
        if any(texts):
            heard.piece(*texts)
        heard.has_ended = heard.has_ended or bool(choice.get("finish_reason"))


def take_whole(answer: Mapping[str, Any], heard: Heard) -> None:
    take(answer, heard)
    heard.has_ended = bool(answer.get("choices")) and not heard.failure


def is_only_usage(event: Mapping[str, Any]) -> bool:
    return not event.get("choices") and "usage" in event and "error" not in event


def _count(event: Mapping[str, Any], heard: Heard) -> None:
    usage = mapping(event.get("usage"))
    details = mapping(usage.get("prompt_tokens_details"))
    cached = details.get("cached_tokens") or usage.get("prompt_cache_hit_tokens")
    heard.count(prompt=usage.get("prompt_tokens"), cached=cached, completion=usage.get("completion_tokens"))


def error(status: int, message: str) -> dict[str, Any]:
    kind = _KINDS.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": kind}}


def error_event(status: int, message: str) -> bytes:
    return b"data: " + json.dumps(error(status, message)).encode() + b"\n\n"


def outside(part: Mapping[str, Any]) -> bool:
    return part.get("type") == "image_url" and is_remote(
        mapping(part.get("image_url")).get("url") or part.get("image_url")
    )


def question(model: str, words: str, tool: Mapping[str, Any], longest: int) -> dict[str, Any]:
    return {
        "model": model,
        "max_tokens": longest,
        "messages": [{"role": "user", "content": words}],
        "tools": [{"type": "function", "function": dict(tool)}],
    }
