"""Events of a run in words: in full, as `sprint show` has them, or a line for each, as they happen."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sprint import transcript
from sprint.clean_text import safe_line
from sprint.terminal_text import readable
from sprint.view.glance import number
from sprint.view.tail import Event

PHASES = {
    "claimed": "getting ready",
    "working": "working",
    "worked": "proving what was made",
    "verified": "publishing what was made",
    "concluded": "tidying up",
    "settled": "over",
}
"""What goes on in a phase of a run, in words."""

Line = tuple[str, int, str]
"""Its style (a key of `_PAINT`), its indentation, its text."""

_STATUS = re.compile(r"\s*\[(?:exit code|killed)[^\n]*\]\s*$")  # the last line that a model is given
_SHOWN_LINES = 12
_SHOWN_CHARACTERS = 4000


def in_full(events: Iterable[Event], *, width: int = 100, colour: bool = False) -> Iterator[str]:
    """A transcript's events as text for a person, no line wider than `width`."""
    paint = _PAINT if colour else dict.fromkeys(_PAINT, "{}")
    for style, indent, text in lines_in_full(events, width):
        yield " " * indent + (paint[style].format(text) if text else "")


def lines_in_full(events: Iterable[Event], width: int) -> Iterator[Line]:
    for event in events:
        for style, indent, text in _RENDERERS.get(str(event.get("event")), _render_unknown)(event):
            for line in _wrapped(text, max(width, 20) - indent):
                yield style, indent, line


_PAINT = {
    "head": "\x1b[1m{}\x1b[0m",
    "text": "{}",
    "dim": "\x1b[2m{}\x1b[0m",
    "bad": "\x1b[31m{}\x1b[0m",
    "note": "\x1b[33m{}\x1b[0m",
}


def _wrapped(text: str, width: int) -> list[str]:
    lines = textwrap.wrap(
        text, width, replace_whitespace=False, drop_whitespace=False, break_on_hyphens=False
    )
    return [lines[0], *(line.removeprefix(" ") for line in lines[1:])] if lines else [""]


def _block(style: str, indent: int, text: Any) -> Iterator[Line]:
    """A text's first lines, and how much more there is."""
    lines = readable(str(text or "")[:_SHOWN_CHARACTERS]).strip("\n").split("\n")
    for line in lines[:_SHOWN_LINES]:
        yield style, indent, line.expandtabs(4)
    left = str(text or "").strip("\n").count("\n") + 1 - _SHOWN_LINES
    if left > 0:
        yield "dim", indent, f"... {left} more lines"


def _time(event: Event) -> str:
    return str(event.get("at", ""))[11:19]


def _render_said(event: Event) -> Iterator[Line]:
    yield "head", 0, f"{_time(event)} {event.get('event')}"
    yield from _block("dim", 2, event.get("text"))


def _render_assistant(event: Event) -> Iterator[Line]:
    used = event.get("usage") if isinstance(event.get("usage"), dict) else {}
    assert isinstance(used, dict)
    about = "~" if event.get("estimated") else ""
    tokens = f"{about}{_count(used.get('prompt_tokens'))} + {_count(used.get('completion_tokens'))} tokens"
    cost = number(used.get("cost_usd"))
    price = "" if cost is None else f", ${cost:.4f}"
    seconds = number(event.get("seconds"))
    took = f", {seconds:.1f} s" if seconds else ""  # of an agent's turn nobody knows
    model = safe_line(str(event.get("model", "")))
    yield "head", 0, f"{_time(event)} turn {event.get('turn', '?')} {model}: {tokens}{price}{took}"
    if event.get("content"):
        yield from _block("text", 2, event["content"])
    for name, arguments in _calls(event):
        yield "note", 2, f"> {name} {arguments}"


def _calls(event: Event) -> Iterator[tuple[str, str]]:
    """What a turn called for: names, and their arguments in short."""
    calls = event.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        if isinstance(call, dict):
            yield safe_line(str(call.get("name"))), _arguments(call.get("arguments"))


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "?"


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


def _render_tool(event: Event) -> Iterator[Line]:
    if failure := _failure(event):
        yield "bad", 4, failure
    yield from _block("dim", 4, event.get("text"))


def _failure(event: Event) -> str:
    """What was wrong with a call, or ""."""
    code = event.get("exit_code")
    failure = event.get("killed_by") or event.get("error")
    return safe_line(str(failure or ("" if code in (None, 0) else f"exit code {code}")))


def checked(event: Event) -> str:
    """What a check said: `base: pytest -q: passed, 4.2 s`."""
    seconds = number(event.get("seconds"))
    took = "" if seconds is None else f", {seconds:.1f} s"
    what = f"{event.get('what')}: {safe_line(str(event.get('command')))}: {event.get('status')}{took}"
    return safe_line(what, 1000)


def _render_check(event: Event) -> Iterator[Line]:
    yield "note", 0, f"{_time(event)} {checked(event)}"


def _render_note(event: Event) -> Iterator[Line]:
    yield "note", 0, f"{_time(event)} {safe_line(str(event.get('text', '')), 1000)}"


def _render_refused(event: Event) -> Iterator[Line]:
    """What the gateway did not let through, or let through in vain."""
    what = f"{event.get('what')}: {event.get('why')}"
    yield "note", 0, f"{_time(event)} gateway: {event.get('event')} {safe_line(what, 1000)}"


def _render_end(event: Event) -> Iterator[Line]:
    yield "head", 0, f"{_time(event)} ended: {safe_line(_ending(event), 1000)}"
    yield from _block("text", 2, event.get("summary"))


def _ending(event: Event) -> str:
    detail = event.get("detail")
    return f"{event.get('ending')}{f': {detail}' if detail else ''}"


def _render_unknown(event: Event) -> Iterator[Line]:
    yield "dim", 0, safe_line(json.dumps(event, ensure_ascii=False), 500)


def _render_phase(event: Event) -> Iterator[Line]:
    phase = str(event.get("phase"))
    said = [str(event.get(key) or "") for key in ("outcome", "pr_url")]
    words = " ".join(filter(None, said if phase == "settled" and said[0] else [PHASES.get(phase, phase)]))
    yield "head", 0, f"{_time(event)} {safe_line(words, 500)}"


def _nothing(event: Event) -> Iterator[Line]:
    yield from ()


_RENDERERS: dict[str, Callable[[Event], Iterator[Line]]] = {
    "system": _render_said,
    "user": _render_said,
    "assistant": _render_assistant,
    "tool": _render_tool,
    "check": _render_check,
    "note": _render_note,
    "end": _render_end,
    "phase": _render_phase,
    **dict.fromkeys(("refused", "unanswered"), _render_refused),
    **dict.fromkeys(("time", "doing", "output", "answering", "name"), _nothing),
}


# --- a line for each


def in_brief(event: Event) -> Iterator[Line]:
    """What happened, in a line or a few, each without an end; nothing for what only goes on."""
    yield from _BRIEFLY.get(str(event.get("event")), _nothing)(event)


def tokens(prompt: int, completion: int, usd: float | None) -> str:
    """What was used: `18,234 + 912 tokens, $0.0123`."""
    return f"{prompt:,} + {completion:,} tokens" + ("" if usd is None else f", ${usd:.4f}")


def _brief_turn(event: Event) -> Iterator[Line]:
    used = transcript.of_turn(event)
    about = ""
    if used.prompt_tokens or used.completion_tokens:  # else an agent's turn, whose use the next one tells
        about = f": {tokens(used.prompt_tokens, used.completion_tokens, used.cost_usd)}"
    yield "head", 0, f"{_time(event)} turn {safe_line(str(event.get('turn', '?')), 20)}{about}"
    if said := safe_line(str(event.get("content") or ""), 300):
        yield "text", 2, said
    for name, arguments in _calls(event):
        yield "note", 2, f"> {name} {safe_line(arguments)}"


def _brief_result(event: Event) -> Iterator[Line]:
    if failure := _failure(event):
        said = _STATUS.sub("", str(event.get("text") or "")[-2_000:]).strip()
        last = safe_line(said.rpartition("\n")[2])
        yield "bad", 4, f"{failure}: {last}" if last else failure


def _brief_end(event: Event) -> Iterator[Line]:
    yield "head", 0, f"{_time(event)} the worker is done: {safe_line(_ending(event), 500)}"


_BRIEFLY: dict[str, Callable[[Event], Iterator[Line]]] = {
    "phase": _render_phase,
    "assistant": _brief_turn,
    "tool": _brief_result,
    "check": _render_check,
    "note": _render_note,
    "refused": _render_refused,
    "end": _brief_end,
}
