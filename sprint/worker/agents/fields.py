"""Reads what programs print as JSON, whose shapes change from one version to the next."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def text_of(value: Any) -> str:
    """A text that may come as a string, as a list of blocks, or as one block."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(filter(None, map(text_of, value)))
    if isinstance(value, Mapping):
        for key in ("text", "content", "output", "message", "error"):
            if key in value:
                return text_of(value[key])
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def blocks(value: Any) -> Iterator[Mapping[str, Any]]:
    """The blocks of a content; a plain string is one block of text."""
    if isinstance(value, str):
        yield {"type": "text", "text": value}
    for block in value if isinstance(value, list) else ():
        yield block if isinstance(block, Mapping) else {"type": "text", "text": text_of(block)}


def arguments(value: Any) -> str:
    """A call's arguments as JSON text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
