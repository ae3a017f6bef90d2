"""An agent's own output, as a person reads it: what it said, called and got."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sprint.clean_text import safe_line
from sprint.terminal_text import readable
from sprint.worker.agents.agent_kind import Answered, Called, Ended, Remarked, Retried, Said, Seen
from sprint.worker.agents.catalogue import AGENTS

_LINE = re.compile(r"(?P<at>\S+Z) \[(?P<stream>stdout|stderr)\] (?P<text>.*)", re.DOTALL)
_WIDTH = 160
_RESULT_LINES = 3


def pretty(log: str) -> str:
    """The lines of an agent.log, in words; what is no agent's record stays as it is."""
    return "".join(f"{line}\n" for raw in log.splitlines() for line in _line(raw))


def _line(raw: str) -> Iterator[str]:
    found = _LINE.fullmatch(raw)
    at, text = (found["at"][11:19], found["text"]) if found else ("", raw)
    record = _record(text)
    if record is None:
        yield f"{at} {readable(text)}".strip()
        return
    for seen in _seen(record):
        for number, words in enumerate(_words(seen)):
            yield f"{at if not number else ' ' * len(at)} {words}".rstrip()


def _record(text: str) -> Mapping[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        record = json.loads(text)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _seen(record: Mapping[str, Any]) -> list[Seen]:
    """By whichever kind makes something of it: they share no record's type with another meaning."""
    for kind in AGENTS.values():
        try:
            if found := list(kind.read(record)):
                return found
        except (KeyError, TypeError, ValueError, AttributeError):  # hostile, or of another version
            continue
    return []


def _words(seen: Seen) -> Iterator[str]:
    match seen:
        case Said(text=text) if text.strip():
            yield from (readable(line) for line in text.strip().splitlines())
        case Called(name=name, arguments=arguments):
            yield f"> {name} {_short(arguments)}"
        case Answered(text=text, failed=failed):
            lines = [line for line in text.splitlines() if line.strip()]
            for line in lines[:_RESULT_LINES]:
                yield f"  {'!' if failed else '|'} {_short(line)}"
            if len(lines) > _RESULT_LINES:
                yield f"  | and {len(lines) - _RESULT_LINES} lines more"
        case Retried(why=why):
            yield f"- the model is asked again: {_short(why)}".rstrip(": ")
        case Remarked(text=text):
            yield f"- {_short(text)}"
        case Ended(failure=failure):
            yield f"= {_short(failure) or 'done'}"


def _short(text: str) -> str:
    line = safe_line(readable(text))
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 3]}..."
