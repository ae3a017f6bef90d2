"""What a run's agent calls back, from wherever it works: a secret of the run's own, and what was accepted.

In runs/<id>/: `callback.key` (0600) signs; `callbacks.json` has the marks. A mark is a hint: a run is looked
at sooner, and what it comes to is for the worker, the checks and the repository to say.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec.structs import replace

from sprint import files, json_file
from sprint.errors import SprintError

KEY = "callback.key"
MOST = 100  # marks of one run
TEXT_CAP = 20_000  # characters of one
_MARKS = "callbacks.json"

Kind = Literal["completed", "error", "question"]


class Mark(msgspec.Struct, frozen=True):
    """One call-back. `name` tells it from others; `is_over`: of work before the agent was begun anew."""

    at: Annotated[datetime, msgspec.Meta(tz=True)]
    kind: Kind
    said: str
    name: str
    is_over: bool = False


class _Marks(msgspec.Struct, frozen=True):
    marks: tuple[Mark, ...] = ()


class Full(SprintError):
    """A run has had as many call-backs as one may have."""


def make_key(folder: Path) -> str:
    """The run's secret, made where it is not there yet. Raises SprintError."""
    if (known := key_of(folder)) is None:
        known = secrets.token_hex(32)
        files.replace(folder / KEY, known.encode())
    return known


def key_of(folder: Path) -> str | None:
    """None where nobody was told to call back. Raises SprintError where it cannot be read."""
    data = files.read(folder / KEY)
    return data.decode("ascii", "replace") if data else None


def add(folder: Path, mark: Mark) -> bool:
    """Note it; False where one of that name is there already. Raises Full, SprintError."""
    is_new = False

    def changed(before: _Marks | None) -> _Marks:
        nonlocal is_new
        marks = before.marks if before else ()
        if any(one.name == mark.name for one in marks):
            return _Marks(marks)
        if len(marks) >= MOST:
            raise Full(f"{folder / _MARKS}: {MOST} call-backs are in it, and no more are taken")
        is_new = True
        return _Marks((*marks, replace(mark, said=mark.said[:TEXT_CAP])))

    json_file.change(folder / _MARKS, _Marks, changed)
    return is_new


def said(folder: Path, kind: Kind) -> str:
    """What the newest call-back of a kind said about the work that is under way; "" for none."""
    found = json_file.read_if_sound(folder / _MARKS, _Marks) or _Marks()
    return next((one.said for one in reversed(found.marks) if one.kind == kind and not one.is_over), "")


def begin_anew(folder: Path) -> None:
    """What was said so far is of the past: the agent goes on, or begins again. Raises SprintError."""
    if (folder / _MARKS).exists():
        json_file.change(
            folder / _MARKS,
            _Marks,
            lambda before: before and _Marks(tuple(replace(one, is_over=True) for one in before.marks)),
        )
