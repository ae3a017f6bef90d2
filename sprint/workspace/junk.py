"""Files that tools leave in a checkout, in the patterns of .gitignore."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable, Iterator

_ALWAYS = (
    "__pycache__/",
    "*.py[cod]",
    ".pytest_cache/",
    ".mypy_cache/",
    ".ruff_cache/",
    ".hypothesis/",
    ".coverage",
    ".coverage.*",
    ".tox/",
    ".nox/",
    ".venv/",
    "venv/",
    ".eggs/",
    "*.egg-info/",
    "node_modules/",
    ".nyc_output/",
    ".gradle/",
    ".DS_Store",
    "Thumbs.db",
    "*.orig",
    "*.rej",
    "*.swp",
    "*~",
)
# Names that are a tool's only where the project uses that tool: (pattern, one of these files at its top).
_WITH = (
    ("target/", ("Cargo.toml", "pom.xml")),
    ("coverage/", ("package.json",)),
    (".next/", ("package.json",)),
)


def junk_patterns(tracked: Collection[str]) -> list[str]:
    """Patterns of what is junk in a project that tracks these paths: none that any of them matches."""
    found = set(tracked)
    patterns = [*_ALWAYS, *(pattern for pattern, marks in _WITH if found.intersection(marks))]
    names = {name for path in tracked for name in _names(path)}
    return [pattern for pattern in patterns if not any(_fits(pattern, name) for name in names)]


def _names(path: str) -> Iterator[str]:
    *folders, name = path.split("/")
    yield name
    for folder in folders:
        yield f"{folder}/"


def _fits(pattern: str, name: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern)


def folder_patterns(folders: Iterable[str], room: int) -> list[str]:
    """Patterns for these very folders, as many as `room` bytes hold."""
    patterns = []
    for folder in folders:
        pattern = "/" + re.sub(r"([\\*?\[\]!#])", r"\\\1", folder).replace("\n", "?")
        room -= len(pattern.encode("utf-8", "surrogateescape"))
        if room < 0:
            break
        patterns.append(pattern)
    return patterns
