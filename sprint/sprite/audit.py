"""results/sprites.jsonl: a line for each sprite that was made, put back or destroyed, and by what."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sprint import files, json_file

NAME = "sprites.jsonl"


def note(results: Path, backend: str, did: str, sprite: str, detail: str = "") -> None:
    """Who lost a sprite wants to know when, and by what. Raises SprintError where it cannot be written."""
    line = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "did": did, "sprite": sprite}
    line |= {"backend": backend} | ({"detail": detail} if detail else {})
    files.make_folder(results)
    json_file.add_line(results / NAME, line)
