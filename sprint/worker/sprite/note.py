"""runs/<id>/sprite.json: on which sprite a run is, and which of its launches is the latest."""

from __future__ import annotations

from pathlib import Path

import msgspec

from sprint import files, json_file
from sprint.domain import Usage

_NAME = "sprite.json"


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """`home` is the sprite's folder, absolute there; `uid` is who works there in this machine's sandbox.
    Launches are counted from 0. `told` is the time of the last line of the agent's that is in the transcript,
    `counted` the usage that is, `before` the latter when the latest launch began, `kept` the dollars of the
    fleet's ceiling by which that is bounded, from the run's beginning.
    """

    sprite: str
    home: str
    uid: int | None = None
    launch: int = 0
    told: str = ""
    counted: Usage = Usage()
    before: Usage = Usage()
    kept: float | None = None


def load(folder: Path) -> Note | None:
    """Raises SprintError where it cannot be read."""
    return json_file.read(folder / _NAME, Note, remedy="remove it to begin the run's work anew")


def save(folder: Path, note: Note) -> None:
    json_file.write(folder / _NAME, note)


def prompt(folder: Path, launch: int) -> Path:
    return folder / f"sprite-prompt-{launch}.md"


def save_prompt(folder: Path, launch: int, text: str) -> None:
    files.replace(prompt(folder, launch), text.encode("utf-8", "replace"))
