"""patch.diff as files of classed lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sprint.clean_text import safe_line
from sprint.files import refusal
from sprint.monitor.html.page import shown

NAME = "patch.diff"
_READ_CAP = 2_000_000  # bytes
_LINES_CAP = 4000
_LINE_CAP = 1000  # characters
_KINDS = {"+": "add", "-": "del", "@": "hunk", "\\": "meta"}


@dataclass
class FilePatch:
    """One file's changes; `lines` are (class, text)."""

    path: str
    lines: list[tuple[str, str]] = field(default_factory=list)
    added: int = 0
    removed: int = 0


@dataclass(frozen=True)
class Patch:
    """`is_cut` where it has more than the page shows."""

    files: tuple[FilePatch, ...] = ()
    is_cut: bool = False

    @property
    def added(self) -> int:
        return sum(file.added for file in self.files)

    @property
    def removed(self) -> int:
        return sum(file.removed for file in self.files)


def read(folder: Path) -> Patch:
    """The run's patch; empty where there is none. Raises SprintError."""
    path = folder / NAME
    try:
        with path.open("rb") as file:
            data = file.read(_READ_CAP + 1)
    except FileNotFoundError:
        return Patch()
    except OSError as error:
        raise refusal("read", path, error) from error
    lines = data[:_READ_CAP].decode("utf-8", "replace").split("\n")
    is_cut = len(data) > _READ_CAP or len(lines) > _LINES_CAP
    return Patch(tuple(_files(lines[:_LINES_CAP])), is_cut)


def _files(lines: list[str]) -> Iterator[FilePatch]:
    file: FilePatch | None = None
    in_head = True
    for line in lines:
        if line.startswith("diff --git "):
            if file is not None:
                yield file
            file, in_head = FilePatch(_path(line)), True
        elif file is None or not line:
            continue
        elif in_head and not line.startswith("@@"):
            if line.startswith(("new file", "deleted", "rename", "old mode", "new mode", "GIT", "Binary")):
                file.lines.append(("meta", _line(line)))
        else:
            in_head = False
            kind = _KINDS.get(line[0], "same")
            file.added += kind == "add"
            file.removed += kind == "del"
            file.lines.append((kind, _line(line)))
    if file is not None:
        yield file


def _path(line: str) -> str:
    """The file that a `diff --git a/PATH b/PATH` line is about."""
    _, _, path = line.rpartition(" b/")
    return safe_line(path.strip('"') or line, 300)


def _line(line: str) -> str:
    cut = line if len(line) <= _LINE_CAP else f"{line[:_LINE_CAP]} …"
    return shown(cut) or " "
