"""What a model answered, and what it cost."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from msgspec import Struct

from sprint.domain import Endpoint, Usage

DOCTOR_TELLS_MORE = "; `sprint doctor` tells more"
CHARACTERS_PER_TOKEN = 3.5  # code and English; only for servers that do not count for us


class ToolCall(Struct, frozen=True):
    """A call as the model wrote it: `arguments` is text that should be JSON and may not be."""

    id: str
    name: str
    arguments: str


class Reply(Struct, frozen=True):
    """One assistant message. `usage` is of this turn alone; `estimated` where the server did not count.

    `finish_reason` is the server's ("stop", "tool_calls", "length", ...), "" where it gave none. `sent` are
    the characters of the request.
    """

    content: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str
    usage: Usage
    endpoint: Endpoint
    reasoning: str = ""
    estimated: bool = False
    seconds: float = 0.0
    sent: int = 0


def shown_url(url: str) -> str:
    """An address fit for a log: without a user or password that someone wrote into it."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def named(endpoint: Endpoint) -> str:
    return f"{endpoint.name} at {shown_url(endpoint.base_url)}"


def usage_of(endpoint: Endpoint, counted: Any) -> Usage | None:
    """One turn's usage from the server's own count; None where it counted nothing."""
    if not isinstance(counted, dict):
        return None
    details = counted.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0
    cached = cached or _count(counted.get("prompt_cache_hit_tokens"))
    prompt = _count(counted.get("prompt_tokens"))
    completion = _count(counted.get("completion_tokens"))
    if not prompt and not completion:
        return None
    if cached > prompt:  # some servers count what they had kept apart
        prompt += cached
    return priced(endpoint, prompt, cached, completion)


def estimated_usage(endpoint: Endpoint, prompt_characters: int, completion_characters: int) -> Usage:
    """One turn's usage where the server did not count: better too high than none."""
    return priced(
        endpoint,
        round(prompt_characters / CHARACTERS_PER_TOKEN),
        0,
        round(completion_characters / CHARACTERS_PER_TOKEN),
    )


def priced(endpoint: Endpoint, prompt: int, cached: int, completion: int) -> Usage:
    cached = min(cached, prompt)
    cost = None
    if endpoint.input_price is not None and endpoint.output_price is not None:
        cached_price = endpoint.input_price if endpoint.cached_price is None else endpoint.cached_price
        fresh = (prompt - cached) * endpoint.input_price
        cost = (fresh + cached * cached_price + completion * endpoint.output_price) / 1_000_000
    return Usage(
        turns=1, prompt_tokens=prompt, cached_tokens=cached, completion_tokens=completion, cost_usd=cost
    )


def _count(value: Any) -> int:
    """A number of tokens from a server that may have sent anything."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        return 0
    return int(value)


def joined(text: str) -> str:
    """Text that UTF-8 can hold: halves of a character that came in two pieces are put together."""
    if text.isascii() or not re.search("[\ud800-\udfff]", text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
