"""patch.diff as files of classed lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pygments.lexers.diff import DiffLexer
from pygments.token import Generic

from sprint.clean_text import safe_line
from sprint.files import refusing
from sprint.terminal_text import shown

NAME = "patch.diff"
_READ_CAP = 2_000_000  # bytes
_LINES_CAP = 4000
_LINE_CAP = 1000  # characters
_IN_HEAD = ("new file", "deleted", "rename", "old mode", "new mode", "GIT", "Binary")
_CLASSES = {
    Generic.Inserted: "add",
    Generic.Deleted: "del",
    Generic.Strong: "del",  # a line of two dashes that was taken out
    Generic.Subheading: "hunk",
}


@dataclass(frozen=True)
class FilePatch:
    """One file's changes; `lines` are (class, text)."""

    path: str
    lines: tuple[tuple[str, str], ...]
    added: int
    removed: int


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
        with refusing("read", path, FileNotFoundError), path.open("rb") as file:
            data = file.read(_READ_CAP + 1)
    except FileNotFoundError:
        return Patch()
    lines = data[:_READ_CAP].decode("utf-8", "replace").split("\n")
    is_cut = len(data) > _READ_CAP or len(lines) > _LINES_CAP
    _, *files = re.split("^diff --git ", "\n".join(lines[:_LINES_CAP]), flags=re.MULTILINE)
    return Patch(tuple(map(_file, files)), is_cut)


def _file(text: str) -> FilePatch:
    """A file's part, from behind its `diff --git `: a head, and hunks from the first line with @@."""
    head, at, hunks = text.partition("\n@@")
    names, *more = head.split("\n")
    lines = [("meta", _line(line)) for line in more if line.startswith(_IN_HEAD)]
    lines += _classed(at.lstrip("\n") + hunks)
    classes = [name for name, _ in lines]
    return FilePatch(_path(names), tuple(lines), classes.count("add"), classes.count("del"))


def _classed(hunks: str) -> Iterator[tuple[str, str]]:
    name, line = "", ""
    for token, text in DiffLexer(stripnl=False, ensurenl=False).get_tokens(hunks):
        name = name or _CLASSES.get(token, "")
        line += text
        if line.endswith("\n"):
            if line != "\n":
                yield name or "same", _line(line[:-1])
            name, line = "", ""
    if line:
        yield name or "same", _line(line)


def _path(names: str) -> str:
    """The file that a `diff --git a/PATH b/PATH` line is about."""
    _, _, path = names.rpartition(" b/")
    return safe_line(path.strip('"') or names, 300)


def _line(line: str) -> str:
    cut = line if len(line) <= _LINE_CAP else f"{line[:_LINE_CAP]} …"
    return shown(cut) or " "
