"""What an entry of a list of paths means: from the repository's root; `**/` is any folder, `*` within a name,
a last slash all that is in a folder."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from sprint.policy.names import folded


def is_listed(path: str, entries: Iterable[str]) -> bool:
    """Exactly as it is written: what only looks the same to some file system is another file, and a folder
    in the place of a file is no file."""
    return any(
        _pattern(_trimmed(entry), ending="/.*" if entry.endswith("/") else "").fullmatch(path)
        for entry in entries
    )


def covers(entries: Iterable[str], name: str) -> bool:
    """Whether a path, folded, is one of the entries' or below one."""
    return any(_pattern(folded(_trimmed(entry))).fullmatch(name) for entry in entries)


def is_above(entries: Iterable[str], name: str) -> bool:
    """Whether a folder that an entry is in would have to be where `name` is."""
    depth = name.count("/") + 1
    for entry in entries:
        steps = folded(_trimmed(entry)).split("/")
        if "**" not in steps and depth < len(steps) and _pattern("/".join(steps[:depth])).fullmatch(name):
            return True
    return False


def _trimmed(entry: str) -> str:
    return entry.removeprefix("./").strip("/")


@cache
def _pattern(entry: str, *, ending: str = "(?:/.*)?") -> re.Pattern[str]:
    """Matches a path that the entry means, and all below it unless `ending` says otherwise."""
    if not entry.strip("."):
        return re.compile(r"(?!)")
    parts = [
        "(?:.*/)?" if part == "**/" else "[^/]*" if part == "*" else re.escape(part)
        for part in re.split(r"(\*\*/|\*)", entry)
    ]
    return re.compile("".join(parts) + ending, re.DOTALL)
