"""A map of a repository in a few lines, so that nobody has to list it to find the way."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from sprint import git
from sprint.clean_text import safe_line

LINES = 30
CHARACTERS = 1_300
_NARROWEST = 40


def layout(mirror: Path, commit: str) -> tuple[str, ...]:
    """The map of a commit's files: a line a folder. Empty where there is no such commit."""
    paths = (path.encode("utf-8", "surrogateescape") for path in files_of(mirror, commit))
    return drawn([path.decode("utf-8", "replace") for path in paths])


def files_of(mirror: Path, commit: str) -> Mapping[str, tuple[str, str]]:
    """As git.ls_tree has them; empty where there is no such commit."""
    try:
        return git.ls_tree(mirror, commit) if commit else {}
    except git.GitError:
        return {}


def drawn(paths: Sequence[str]) -> tuple[str, ...]:
    """A line for each folder with what is in it; where there are many, for those with the most files."""
    files: dict[str, list[str]] = {}
    below: Counter[str] = Counter()  # files in a folder and in all folders below it
    for path in paths:
        *folders, name = path.split("/")
        files.setdefault("/".join(folders), []).append(name)
        below.update("/".join(folders[:depth]) for depth in range(len(folders) + 1))
    children: dict[str, list[str]] = {}
    for folder in below:
        if folder:
            children.setdefault(folder.rpartition("/")[0], []).append(folder)
    shown = _chosen(children, below) if below else []
    width = max(CHARACTERS // max(len(shown), 1), _NARROWEST)
    lines = []
    for folder in shown:
        deeper = [inner for inner in children.get(folder, ()) if inner not in shown]
        deeper.sort(key=lambda inner: -below[inner])
        counted = [f"{inner.rpartition('/')[2]}/ ({below[inner]})" for inner in deeper]
        names = sorted(files.get(folder, []), key=_says_nothing) + counted
        lines.append(safe_line(_line(folder, names, width), 2 * CHARACTERS))
    return tuple(lines)


def _says_nothing(name: str) -> bool:
    return name.startswith("__init__.")


def _chosen(children: Mapping[str, Sequence[str]], below: Mapping[str, int]) -> list[str]:
    """At most LINES folders from the top down, always the one with the most files next."""
    chosen: list[str] = []
    waiting = [(0, "")]
    while waiting and len(chosen) < LINES:
        _, folder = heapq.heappop(waiting)
        chosen.append(folder)
        for inner in children.get(folder, ()):
            heapq.heappush(waiting, (-below[inner], inner))
    return sorted(chosen)


def _line(folder: str, names: Sequence[str], width: int) -> str:
    """`folder: file file deeper/ (12)`, at most about `width` characters."""
    line = f"{folder or '.'}:"
    for number, name in enumerate(names):
        if len(line) + len(name) > width and number:
            return f"{line} and {len(names) - number} more"
        line = f"{line} {name}"
    return line if names else f"{line} folders only"
