"""How a run stands, told from its events alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sprint.view import words
from sprint.view.glance import Glance, after

AT = datetime(2026, 11, 27, 12, 0, 0, tzinfo=UTC)


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"at": AT.isoformat(timespec="milliseconds"), "event": kind, **fields}


def told(*events: dict[str, Any]) -> Glance:
    glance = Glance()
    for one in events:
        glance = after(glance, one)
    return glance


def turn(prompt: int, completion: int, usd: float | None) -> dict[str, Any]:
    used = {"prompt_tokens": prompt, "completion_tokens": completion, "cost_usd": usd}
    return event("assistant", turn=1, model="m", usage=used)


def test_a_turn_whose_use_is_not_known_is_not_said_to_have_none() -> None:
    assert [line for _, _, line in words.in_brief(turn(1200, 30, None))] == [
        "12:00:00 turn 1: 1,200 + 30 tokens"
    ]
    assert [line for _, _, line in words.in_brief(turn(0, 0, None))] == ["12:00:00 turn 1"]


def test_what_goes_on_ends_with_its_result() -> None:
    seen = told(
        event("phase", phase="working"),
        event("time", seconds_left=600.0),
        event("doing", what="model", text="m", seconds=None),
        event("answering", characters=812),
    )
    assert (seen.phase, seen.what, seen.doing, seen.answered) == ("working", "model", "m", 812)
    assert seen.ends == AT + timedelta(minutes=10)
    seen = after(seen, turn(100, 10, 0.5))
    assert (seen.turn, seen.what, seen.answered) == (1, "", 0)
    seen = after(seen, event("doing", what="tool", text="make", seconds=120))
    seen = after(seen, event("output", text="cc x.c"))
    assert (seen.doing, seen.longest, seen.since, seen.output) == ("make", 120.0, AT, "cc x.c")
    seen = after(seen, event("tool", exit_code=0))
    assert (seen.what, seen.output, seen.ends) == ("", "", AT + timedelta(minutes=10))
    assert after(seen, event("end", ending="implemented")).ends is None


def test_a_wrapped_line_goes_on_below_its_beginning() -> None:
    """A break takes a blank away; what is indented by more stays so."""
    said = event("user", text="Read every file first, then act.\n    and   a  column   of   words")
    assert list(words.in_full([said], width=22))[1:] == [
        "  Read every file ",
        "  first, then act.",
        "      and   a  column",
        "    of   words",
    ]


def test_what_was_used_is_summed_and_unknown_where_a_part_is() -> None:
    seen = told(turn(100, 10, 0.5), turn(200, 20, 0.25))
    used = (seen.usage.prompt_tokens, seen.usage.completion_tokens, seen.usage.cost_usd)
    assert used == (300, 30, 0.75)
    assert after(seen, turn(1, 1, None)).usage.cost_usd is None


@pytest.mark.parametrize(
    "kind", ["phase", "time", "doing", "output", "answering", "assistant", "tool", "check"]
)
@pytest.mark.parametrize("value", [None, [], {"a": 1}, "x", -1, float("nan"), float("inf"), 10**400, True])
def test_no_shape_of_an_event_stops_who_looks_on(kind: str, value: Any) -> None:
    keys = ("at", "phase", "seconds_left", "what", "text", "seconds", "characters", "usage", "tool_calls")
    odd = {"event": kind, **dict.fromkeys([*keys, "content", "exit_code", "error", "outcome"], value)}
    assert isinstance(after(Glance(), odd), Glance)
    assert isinstance(list(words.in_brief(odd)), list)
    assert isinstance(list(words.in_full([odd])), list)
