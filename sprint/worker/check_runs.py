"""Which of the project's checks a worker has run, as far as its commands tell.

What a command line says is a hint: it may be inside a string, and what is edited by a command is not seen.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sprint.worker.review import CheckRun, Ran

_PYTHON = re.compile(r"\b(?:python[\d.]*|py)(?= )")
_ENDS = re.compile(r"\s*(?:$|[;&|)<>#\n]|\d>)")
_RUNNERS = frozenset(("go", "npm", "pnpm", "yarn", "bun", "cargo", "make", "deno", "mix", "dotnet", "just"))
_SAYS_NOTHING = frozenset(("python3", "npx", "uv", "run", "poetry", "bundle", "exec", "env", "sh", "bash"))


def told_by(events: Iterable[Mapping[str, Any]], checks: Sequence[str]) -> tuple[CheckRun, ...]:
    """For each check whether it ran after the last edit, by a run's transcript; empty where that tells of no
    call, as with a worker whose steps nobody sees."""
    ran = dict.fromkeys(checks, Ran.NO)
    calls = list(_calls(events))
    for call in calls:
        if call.get("path"):
            ran = {check: Ran.NO if seen is Ran.NO else Ran.BEFORE for check, seen in ran.items()}
            continue
        for check, line in itertools.product(checks, _lines(str(call.get("arguments", "")))):
            if (seen := how(check, line)) is not Ran.NO and ran[check] is not Ran.YES:
                ran[check] = seen
    return tuple(CheckRun(check, seen) for check, seen in ran.items()) if calls else ()


def _calls(events: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for event in events:
        if event.get("event") == "assistant":
            yield from event.get("tool_calls") or ()


def _lines(arguments: str) -> list[str]:
    """The texts in a call's arguments: one of them is the command, whatever its tool names it."""
    try:
        told = json.loads(arguments)
    except (ValueError, RecursionError):
        return [arguments]
    values = told.values() if isinstance(told, dict) else [told]
    several = [value if isinstance(value, list) else [value] for value in values]
    return [text for texts in several for text in texts if isinstance(text, str)]


def how(check: str, command: str) -> Ran:
    """Whether a command line runs a check: YES as it is written, IN_PART with other arguments, or NO."""
    check, command = _plain(check), _plain(command)
    at = -1
    while (at := command.find(check, at + 1)) >= 0:
        if _ENDS.match(command, at + len(check)):
            return Ran.YES
    name = _name(check)
    return Ran.IN_PART if name and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", command) else Ran.NO


def _plain(command: str) -> str:
    return _PYTHON.sub("python3", re.sub(r"[ \t]+", " ", command).strip())


def _name(check: str) -> str:
    """The words that say what a check runs: `pytest`, `go test`, `make check`."""
    words = [
        word
        for word in check.split()
        if not word.startswith("-") and "=" not in word and word not in _SAYS_NOTHING
    ]
    return " ".join(words[: 2 if words and words[0] in _RUNNERS else 1])
