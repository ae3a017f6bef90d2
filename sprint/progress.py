"""runs/<id>/progress.jsonl: what goes on at this moment, for whoever looks on; the transcript tells what was.

One JSON object a line. Every line has `at` (ISO time, UTC) and `event`, and by event:

- phase: `phase`, as in run.json, `outcome` where there is one, and `pr_url` or ""
- time: `seconds_left` of the worker's own limit, at that moment
- doing: `what` ("setup", "base", "result", "tool" or "model"), `text` (the command; the model's name) and
  `seconds`, the longest that it may take, null where nothing bounds it
- output: `text`, the last line that the command which runs has printed
- answering: `characters` of the model's answer so far

Nothing depends on this file: what cannot be written is left out, and a file that has grown beyond half a
megabyte is begun anew, under the same name.
"""

from __future__ import annotations

import contextlib
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sprint.terminal_text import decoded

NAME = "progress.jsonl"
_CAP = 500_000  # bytes
_LONGEST_TEXT = 2_000  # characters
_SECONDS_BETWEEN = 0.5


def append(folder: Path, event: str, **fields: Any) -> None:
    """Write one event, if it can be written."""
    short = {key: _short(value) for key, value in fields.items()}
    record = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **short}
    line = json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    path = folder / NAME
    with contextlib.suppress(OSError):
        with path.open("ab", buffering=0) as file:
            size = file.tell()
            file.write(line)
        if size > _CAP:
            path.unlink()


def _short(value: Any) -> Any:
    return value[:_LONGEST_TEXT] if isinstance(value, str) else value


class Pulse:
    """What comes in a stream and is told twice a second at most."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._next = 0.0

    def line(self, raw: bytes) -> None:
        """A line that a command has printed."""
        if raw.strip() and self._is_due():
            append(self._folder, "output", text=decoded(raw[: 4 * _LONGEST_TEXT]))

    def characters(self, count: int) -> None:
        """How long a model's answer is by now."""
        if self._is_due():
            append(self._folder, "answering", characters=count)

    def _is_due(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _SECONDS_BETWEEN
        return True
