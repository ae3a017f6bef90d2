"""runs/<id>/transcript.jsonl: what was said and done in a run, one JSON object a line, in order.

Every line has `at` (ISO time, UTC) and `event`, and by event:

- system, user: `text`
- assistant: `turn` (from 1), `content`, `reasoning`, `finish_reason`, `tool_calls` [{id, name, arguments}],
  `usage` {prompt_tokens, cached_tokens, completion_tokens, cost_usd or null}, `estimated` (the server did not
  count), `model`, `url`, `seconds`
- tool: `turn`, `id`, `name`, `text` (as the model saw it), `seconds`, `error` (its kind, or ""), and for
  commands `exit_code`, `killed_by`, `output` (the whole output's file below the run's folder, or "")
- check: one that the runner ran: `what` ("setup", "base" or "result"), `command`, `status`, `seconds`,
  `exit_code`
- note: `text`, what the runner decided: a limit near, the context shortened, a model that failed
- end: `ending`, `summary`, `detail`

Each line is written at once: a killed run loses the line it was writing, and readers pass over such a line.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sprint import files
from sprint.clean_text import safe_line
from sprint.domain import CheckResult, Usage
from sprint.terminal_text import readable

NAME = "transcript.jsonl"
_SHOWN_LINES = 12
_SHOWN_CHARACTERS = 4000


def append(folder: Path, event: str, **fields: Any) -> None:
    """Write one event. Raises SprintError where the file cannot be written."""
    record = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
    line = json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    path = folder / NAME
    try:
        with path.open("a+b", buffering=0) as file:
            if end := file.seek(0, 2):
                file.seek(end - 1)
                if file.read(1) != b"\n":
                    line = b"\n" + line
            file.write(line)
    except OSError as error:
        raise files.refusal("write", path, error) from error


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """Every event that can be read, in order; none where the run has no transcript."""
    try:
        with (folder / NAME).open("rb") as file:
            for line in file:
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                if isinstance(event, dict):
                    yield event
    except FileNotFoundError:
        return
    except OSError as error:
        raise files.refusal("read", folder / NAME, error) from error


def add(first: Usage, second: Usage) -> Usage:
    """Two usages together; the cost is unknown as soon as one part of it is."""
    costs = [usage.cost_usd for usage in (first, second) if usage.turns]
    known = [cost for cost in costs if cost is not None]
    return Usage(
        turns=first.turns + second.turns,
        prompt_tokens=first.prompt_tokens + second.prompt_tokens,
        cached_tokens=first.cached_tokens + second.cached_tokens,
        completion_tokens=first.completion_tokens + second.completion_tokens,
        cost_usd=sum(known) if costs and len(known) == len(costs) else None,
    )


def usage(folder: Path) -> tuple[Usage, str]:
    """What a run has used by its transcript, and the model that answered last."""
    total, model = Usage(), ""
    for event in read(folder):
        if event.get("event") != "assistant":
            continue
        counted = event.get("usage")
        counted = counted if isinstance(counted, dict) else {}
        turn = Usage(
            turns=1,
            prompt_tokens=_whole(counted.get("prompt_tokens")),
            cached_tokens=_whole(counted.get("cached_tokens")),
            completion_tokens=_whole(counted.get("completion_tokens")),
        )
        cost = counted.get("cost_usd")
        total = add(total, replace(turn, cost_usd=float(cost) if isinstance(cost, int | float) else None))
        model = str(event.get("model") or model)
    return total, model


def steps(folder: Path) -> int:
    """How many turns, set-up commands and checks have ended: what tells whether a run gets on."""
    return sum(event.get("event") in ("assistant", "check") for event in read(folder))


def check(folder: Path, what: str, result: CheckResult) -> None:
    append(
        folder,
        "check",
        what=what,
        command=result.command,
        status=result.status,
        seconds=result.seconds,
        exit_code=result.exit_code,
    )


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0


def render(folder: Path, *, width: int = 100, colour: bool = False) -> Iterator[str]:
    """A run's transcript as lines for a person, none wider than `width`."""
    paint = _PAINT if colour else dict.fromkeys(_PAINT, "{}")
    for event in read(folder):
        lines = _RENDERERS.get(str(event.get("event")), _render_unknown)(event)
        for style, indent, text in lines:
            for line in _wrapped(text, max(width, 20) - indent):
                yield " " * indent + (paint[style].format(line) if line else "")


_PAINT = {
    "head": "\x1b[1m{}\x1b[0m",
    "text": "{}",
    "dim": "\x1b[2m{}\x1b[0m",
    "bad": "\x1b[31m{}\x1b[0m",
    "note": "\x1b[33m{}\x1b[0m",
}
_Line = tuple[str, int, str]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, replace_whitespace=False, drop_whitespace=False, break_on_hyphens=False
    ) or [""]


def _block(style: str, indent: int, text: Any) -> Iterator[_Line]:
    """A text's first lines, and how much more there is."""
    lines = readable(str(text or "")[:_SHOWN_CHARACTERS]).strip("\n").split("\n")
    for line in lines[:_SHOWN_LINES]:
        yield style, indent, line.expandtabs(4)
    left = str(text or "").strip("\n").count("\n") + 1 - _SHOWN_LINES
    if left > 0:
        yield "dim", indent, f"... {left} more lines"


def _time(event: Mapping[str, Any]) -> str:
    return str(event.get("at", ""))[11:19]


def _render_said(event: Mapping[str, Any]) -> Iterator[_Line]:
    yield "head", 0, f"{_time(event)} {event.get('event')}"
    yield from _block("dim", 2, event.get("text"))


def _render_assistant(event: Mapping[str, Any]) -> Iterator[_Line]:
    used = event.get("usage") if isinstance(event.get("usage"), dict) else {}
    assert isinstance(used, dict)
    about = "~" if event.get("estimated") else ""
    tokens = f"{about}{used.get('prompt_tokens', '?')} + {used.get('completion_tokens', '?')} tokens"
    cost = used.get("cost_usd")
    price = f", ${cost:.4f}" if isinstance(cost, int | float) else ""
    seconds = event.get("seconds")
    took = f", {seconds:.1f} s" if isinstance(seconds, int | float) else ""
    model = safe_line(str(event.get("model", "")))
    yield "head", 0, f"{_time(event)} turn {event.get('turn', '?')} {model}: {tokens}{price}{took}"
    if event.get("content"):
        yield from _block("text", 2, event["content"])
    calls = event.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        if isinstance(call, dict):
            yield "note", 2, f"> {safe_line(str(call.get('name')))} {_arguments(call.get('arguments'))}"


def _arguments(arguments: Any) -> str:
    """A call's arguments, short: a command alone needs no name."""
    try:
        values = json.loads(str(arguments), strict=False)
    except ValueError:
        return safe_line(str(arguments))
    if not isinstance(values, dict):
        return safe_line(str(values))
    if list(values) == ["command"]:
        return safe_line(str(values["command"]))
    return " ".join(f"{key}={safe_line(str(value), 80)}" for key, value in values.items())


def _render_tool(event: Mapping[str, Any]) -> Iterator[_Line]:
    code = event.get("exit_code")
    ended = event.get("killed_by") or event.get("error") or ("" if code in (None, 0) else f"exit code {code}")
    if ended:
        yield "bad", 4, safe_line(str(ended))
    yield from _block("dim", 4, event.get("text"))


def _render_check(event: Mapping[str, Any]) -> Iterator[_Line]:
    seconds = event.get("seconds")
    took = f", {seconds:.1f} s" if isinstance(seconds, int | float) else ""
    what = f"{event.get('what')}: {safe_line(str(event.get('command')))}: {event.get('status')}{took}"
    yield "note", 0, f"{_time(event)} {safe_line(what, 1000)}"


def _render_note(event: Mapping[str, Any]) -> Iterator[_Line]:
    yield "note", 0, f"{_time(event)} {safe_line(str(event.get('text', '')), 1000)}"


def _render_end(event: Mapping[str, Any]) -> Iterator[_Line]:
    detail = event.get("detail")
    ending = f"{event.get('ending')}{f': {detail}' if detail else ''}"
    yield "head", 0, f"{_time(event)} ended: {safe_line(ending, 1000)}"
    yield from _block("text", 2, event.get("summary"))


def _render_unknown(event: Mapping[str, Any]) -> Iterator[_Line]:
    yield "dim", 0, safe_line(json.dumps(event, ensure_ascii=False), 500)


_RENDERERS = {
    "system": _render_said,
    "user": _render_said,
    "assistant": _render_assistant,
    "tool": _render_tool,
    "check": _render_check,
    "note": _render_note,
    "end": _render_end,
}
