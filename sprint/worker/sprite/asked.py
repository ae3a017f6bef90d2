"""runs/<id>/task.json: what an operator asked of one sprite, where no issue did."""

from __future__ import annotations

from pathlib import Path

import msgspec

from sprint import json_file
from sprint.config import SpriteWorkerConfig
from sprint.errors import SprintError

_NAME = "task.json"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """`section` is the worker's, for that sprite. `env_file`: a path, read at each launch; "" for none."""

    section: SpriteWorkerConfig
    text: str
    ralph: bool = False
    iterations: int | None = None
    env_file: str = ""


def load(folder: Path) -> Asked:
    """Raises SprintError where it is gone or cannot be read."""
    found = json_file.read(folder / _NAME, Asked, remedy=f"mend it, or move {folder} away")
    if found is None:
        raise SprintError(f"{folder / _NAME} is gone: put it back, or move {folder} away")
    return found


def is_noted(folder: Path) -> bool:
    """False where whoever sent the task died before it said what is wanted."""
    return (folder / _NAME).exists()


def save(folder: Path, asked: Asked) -> None:
    json_file.write(folder / _NAME, asked)
