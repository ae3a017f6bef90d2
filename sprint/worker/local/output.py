"""What a tool shows to the model: head and tail of what is long, and where the whole of it is."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from sprint import files
from sprint.errors import SprintError

LONGEST = 10_000  # characters of one result
SHORTEST = 1_000
_PIECE = 4_000_000


class Inside(Protocol):
    """Writes a file inside the sandbox; returns its path as the model's commands see it, or ""."""

    def __call__(self, name: str, data: bytes, *, append: bool) -> str: ...


class OutputBudget(Struct):
    """How many characters the results of one turn may have together; each result has a share."""

    whole: int
    used: int = 0

    def share(self) -> int:
        return max(min(LONGEST, self.whole - self.used), SHORTEST)

    def take(self, text: str) -> str:
        self.used += len(text)
        return text


class Outputs(Struct):
    """The numbered files of whole outputs: in the run's folder, and those that were cut also inside."""

    folder: Path
    put_inside: Inside
    most: int  # bytes of all together: an endless one can be had in every call
    count: int = 0
    _last: Path | None = None

    def new(self) -> Path:
        """A file for the next output. Raises SprintError where the folder cannot be made."""
        files.make_folder(self.folder)
        self.count += 1
        return self.folder / f"{self.count:03d}.txt"

    def has_room(self) -> bool:
        """Whether another whole output may be kept."""
        with os.scandir(self.folder) as entries:
            return sum(entry.stat(follow_symlinks=False).st_size for entry in entries) < self.most

    def shown(self, text: str, path: Path, budget: OutputBudget, *, is_whole: bool) -> str:
        """`text` as the model sees it; `is_whole` False where it is not all that the file holds."""
        limit = budget.share()
        if is_whole and len(text) <= limit:
            return budget.take(text)
        where = self._copy(path)
        left = f"the whole output ({_size(path)} bytes) is in {where}: use read_file with an offset, or grep"
        return budget.take(head_and_tail(text, limit, left if where else "the rest is lost"))

    def _copy(self, path: Path) -> str:
        """Put the whole output where the model's own commands reach it, piece by piece."""
        where = ""
        with contextlib.suppress(SprintError, FileNotFoundError), path.open("rb") as file:
            while piece := file.read(_PIECE):
                where = self.put_inside(path.name, piece, append=bool(where))
                if not where:
                    break
        return where


def head_and_tail(text: str, limit: int, where: str) -> str:
    """At most about `limit` characters: the beginning, what is left out, and the end."""
    if len(text) <= limit:
        return f"{text}\n[... {where}]"
    half = limit // 2
    head, tail = text[:half], text[-half:]
    head = head[: head.rfind("\n") + 1] or head
    tail = tail[tail.find("\n") + 1 :] or tail
    return f"{head}\n[... the middle is left out; {where} ...]\n{tail}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
