"""A transcript's events as turns: what the model said, what it called, and what came back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sprint.clean_text import safe_line
from sprint.monitor.html.page import printed
from sprint.monitor.html.page_budget import Cut, PageBudget
from sprint.view.words import checked

_SAID_CAP = 40_000  # characters of a prompt, of what the model says and of an argument
_OUTPUT_CAP = 16_000
_TURNS_CAP = 1500


@dataclass(frozen=True)
class Prompt:
    at: str
    role: str
    text: Cut
    kind: str = "prompt"


@dataclass
class Call:
    """One tool call. `command` where that is all it has; `output` None while nothing came back."""

    id: str
    name: str
    command: Cut
    arguments: tuple[tuple[str, Cut], ...]
    output: Cut | None = None
    ended: str = ""
    is_bad: bool = False
    seconds: float | None = None
    whole: str = ""


@dataclass
class Turn:
    at: str
    number: str
    model: str
    content: Cut
    reasoning: Cut
    prompt_tokens: int | None
    completion_tokens: int | None
    estimated: bool
    cost_usd: float | None
    seconds: float | None
    finish_reason: str
    calls: list[Call] = field(default_factory=list)
    kind: str = "turn"


@dataclass(frozen=True)
class Note:
    at: str
    text: str
    kind: str = "note"


@dataclass(frozen=True)
class End:
    at: str
    ending: str
    detail: str
    summary: Cut
    kind: str = "end"


@dataclass(frozen=True)
class Conversation:
    """`left_out` events did not fit on the page; `is_cut` where texts of it were shortened for its length."""

    events: tuple[Prompt | Turn | Note | End, ...]
    left_out: int = 0
    is_cut: bool = False


def conversation(events: Iterable[Mapping[str, Any]], budget: PageBudget) -> Conversation:
    """The events in order; an output goes to the call that it answers."""
    found: list[Prompt | Turn | Note | End] = []
    turn: Turn | None = None
    left_out = 0
    for event in events:
        kind = event.get("event")
        if kind == "tool" and turn is not None:
            _answer(turn, event, budget)
        elif kind != "end" and len(found) >= _TURNS_CAP:
            left_out += 1
        elif kind == "assistant":
            turn = _turn(event, budget)
            found.append(turn)
        elif kind in ("system", "user"):
            found.append(Prompt(_time(event), str(kind), budget.fit(event.get("text"), _SAID_CAP)))
        elif kind == "end":
            found.append(
                End(
                    at=_time(event),
                    ending=safe_line(str(event.get("ending", "")), 60),
                    detail=safe_line(str(event.get("detail") or ""), 1000),
                    summary=budget.fit(event.get("summary"), _SAID_CAP),
                )
            )
        elif kind == "check":
            found.append(Note(_time(event), checked(event)))
        else:
            said = event.get("text") if kind == "note" else json.dumps(event, ensure_ascii=False)
            found.append(Note(_time(event), safe_line(str(said), 1000)))
    return Conversation(tuple(found), left_out, budget.is_full)


def _time(event: Mapping[str, Any]) -> str:
    return safe_line(str(event.get("at", ""))[11:19], 8)


def _turn(event: Mapping[str, Any], budget: PageBudget) -> Turn:
    used = event.get("usage")
    used = used if isinstance(used, dict) else {}
    turn = Turn(
        at=_time(event),
        number=safe_line(str(event.get("turn", "?")), 10),
        model=safe_line(str(event.get("model", "")), 100),
        content=budget.fit(event.get("content"), _SAID_CAP),
        reasoning=budget.fit(event.get("reasoning"), _SAID_CAP),
        prompt_tokens=_whole(used.get("prompt_tokens")),
        completion_tokens=_whole(used.get("completion_tokens")),
        estimated=bool(event.get("estimated")),
        cost_usd=_number(used.get("cost_usd")),
        seconds=_number(event.get("seconds")),
        finish_reason=safe_line(str(event.get("finish_reason") or ""), 40),
    )
    calls = event.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict):
            turn.calls.append(_call(call, budget))
    return turn


def _call(call: Mapping[str, Any], budget: PageBudget) -> Call:
    raw = str(call.get("arguments") or "")
    try:
        values = json.loads(raw, strict=False)
    except ValueError:
        values = None
    arguments = values if isinstance(values, dict) else {"arguments": raw}
    command = arguments.pop("command", "") if isinstance(arguments.get("command"), str) else ""
    return Call(
        id=str(call.get("id", "")),
        name=safe_line(str(call.get("name", "")), 60) or "?",
        command=budget.fit(command, _SAID_CAP),
        arguments=tuple(
            (safe_line(str(key), 60), budget.fit(_text(value), _SAID_CAP)) for key, value in arguments.items()
        ),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)


def _answer(turn: Turn, event: Mapping[str, Any], budget: PageBudget) -> None:
    waiting = [call for call in turn.calls if call.output is None]
    call = next((call for call in waiting if call.id == str(event.get("id", ""))), None)
    if call is None:  # an answer to nothing that was asked: shown all the same
        call = Call("", safe_line(str(event.get("name", "")), 60) or "?", Cut(""), ())
        turn.calls.append(call)
    code = event.get("exit_code")
    ended = event.get("killed_by") or event.get("error") or ("" if code is None else f"exit code {code}")
    call.output = budget.fit(event.get("text"), _OUTPUT_CAP, printed)
    call.ended = safe_line(str(ended), 200)
    call.is_bad = bool(event.get("killed_by") or event.get("error") or code)
    call.seconds = _number(event.get("seconds"))
    call.whole = str(event.get("output") or "")


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
