"""What an entry of a list of paths means: from the repository's root; `**/` is any folder, `*` within a name,
a last slash all that is in a folder."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from sprint.policy.names import folded

_ITSELF, _BELOW, _ANY = "", "/.*", "(?:/.*)?"  # what an expression ends with


def is_listed(path: str, entries: Iterable[str]) -> bool:
    """Exactly as it is written: what only looks the same to some file system is another file, and a folder
    in the place of a file is no file."""
    return any(_means(_trimmed(entry), path, _BELOW if entry.endswith("/") else _ITSELF) for entry in entries)


def covers(entries: Iterable[str], name: str) -> bool:
    """Whether a path, folded, is one of the entries' or below one."""
    return any(_means(folded(_trimmed(entry)), name) for entry in entries)


def is_above(entries: Iterable[str], name: str) -> bool:
    """Whether a folder that an entry is in would have to be where `name` is."""
    depth = name.count("/") + 1
    for entry in entries:
        steps = folded(_trimmed(entry)).split("/")
        if "**" not in steps and depth < len(steps) and _means("/".join(steps[:depth]), name):
            return True
    return False


def _trimmed(entry: str) -> str:
    return entry.removeprefix("./").strip("/")


def _means(entry: str, path: str, ending: str = _ANY) -> bool:
    """Whether that is what the entry means, or below it unless `ending` says otherwise."""
    if not entry.strip("."):
        return False
    if "*" in entry:
        return _pattern(entry, ending).fullmatch(path) is not None
    # Most entries are plain names, and to compile an expression takes as long as to compare a thousand.
    is_itself, is_below = path == entry, path.startswith(f"{entry}/")
    return is_itself if ending == _ITSELF else is_below if ending == _BELOW else is_itself or is_below


@cache
def _pattern(entry: str, ending: str) -> re.Pattern[str]:
    parts = [
        "(?:.*/)?" if part == "**/" else "[^/]*" if part == "*" else re.escape(part)
        for part in re.split(r"(\*\*/|\*)", entry)
    ]
    return re.compile("".join(parts) + ending, re.DOTALL)
