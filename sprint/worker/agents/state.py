"""runs/<id>/agent.json: what is known of an agent from one start to the next."""

from __future__ import annotations

from pathlib import Path

import msgspec

from sprint import json_file

NAME = "agent.json"


class State(msgspec.Struct, frozen=True):
    """`session`: its own name for what it has worked on; `seconds` it has worked; `names`: the files in the
    checkout that are the agent's word where it makes them, for the base has none of that name."""

    session: str = ""
    seconds: float = 0.0
    names: tuple[str, ...] = ()


def load(folder: Path) -> State:
    """As it was saved last; an empty one where there is none."""
    return json_file.read_if_sound(folder / NAME, State) or State()


def forget_session(folder: Path) -> None:
    """It cannot be gone on with: nothing else is forgotten."""
    kept = load(folder)
    save(folder, State("", kept.seconds, kept.names))


def save(folder: Path, state: State) -> None:
    json_file.write(folder / NAME, state)
