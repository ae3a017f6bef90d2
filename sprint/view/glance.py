"""How a run stands, from its events: pure, and the same for a terminal, a page, or whatever looks on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sprint import transcript
from sprint.domain import Usage, replace
from sprint.view.tail import Event


@dataclass(frozen=True)
class Glance:
    """`what` and `doing` are what goes on (as in `progress`), both "" between two things, since `since` and
    for `longest` seconds at most. `ends` is when the worker's own time is over, None where it is not at work.
    `answered`: characters of an answer that is coming. Texts are as they came: who shows them cleans them.
    """

    phase: str = ""
    turn: int = 0
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    what: str = ""
    doing: str = ""
    since: datetime | None = None
    longest: float | None = None
    output: str = ""
    answered: int = 0
    ends: datetime | None = None


def after(glance: Glance, event: Event) -> Glance:
    """The same once that has happened; unknown events change nothing."""
    step = _STEPS.get(str(event.get("event")))
    return step(glance, event) if step else glance


def _phase(glance: Glance, event: Event) -> Glance:
    phase = str(event.get("phase", ""))
    return _idle(replace(glance, phase=phase, ends=glance.ends if phase == "working" else None))


def _time(glance: Glance, event: Event) -> Glance:
    at, left = _moment(event), number(event.get("seconds_left"))
    ends = at + timedelta(seconds=min(left, 1e8)) if at is not None and left is not None else None
    return replace(glance, ends=ends)


def _doing(glance: Glance, event: Event) -> Glance:
    return replace(
        _idle(glance),
        what=str(event.get("what", "")),
        doing=str(event.get("text", "")),
        since=_moment(event),
        longest=number(event.get("seconds")),
    )


def _output(glance: Glance, event: Event) -> Glance:
    return replace(glance, output=str(event.get("text", "")))


def _answering(glance: Glance, event: Event) -> Glance:
    return replace(glance, answered=int(number(event.get("characters")) or 0))


def _turn(glance: Glance, event: Event) -> Glance:
    return replace(
        _idle(glance),
        turn=glance.turn + 1,
        model=str(event.get("model") or glance.model),
        usage=transcript.add(glance.usage, transcript.of_turn(event)),
    )


def _idle(glance: Glance) -> Glance:
    return replace(glance, what="", doing="", since=None, longest=None, output="", answered=0)


def _ended(glance: Glance, event: Event) -> Glance:
    return _idle(glance)


_STEPS: dict[str, Callable[[Glance, Event], Glance]] = {
    "phase": _phase,
    "time": _time,
    "doing": _doing,
    "output": _output,
    "answering": _answering,
    "assistant": _turn,
    "tool": _ended,
    "check": _ended,
    "end": lambda glance, event: replace(_idle(glance), ends=None),
}


def _moment(event: Event) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(event.get("at")))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def number(value: Any) -> float | None:
    """A sensible number out of a file, None for anything else."""
    isnumber = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12
    return float(value) if isnumber else None
