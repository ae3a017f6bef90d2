"""Files of the host's /etc in the sandbox: mounting each by itself would cost more than all the rest."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from sprint.sandbox.handed import Handed

_LARGEST_COPY = 1_000_000  # bytes
_SMALL_FOLDER = 4  # entries


def options(paths: Sequence[Path], handed: Handed) -> list[str]:
    """bubblewrap's options that show these paths of the host as they are: copied where that is cheap."""
    listed: list[str] = []
    for path, how in _plan(tuple(paths)):
        if how == "copy":
            with contextlib.suppress(OSError):  # gone meanwhile, or not for us
                listed += ("--perms", "0644", "--file", str(handed.file(path)), path)
        elif how == "bind":
            listed += ("--ro-bind-try", path, path)
        else:
            listed += ("--symlink", how, path)
    return listed


@functools.cache
def _plan(paths: tuple[Path, ...]) -> tuple[tuple[str, str], ...]:
    """For each path "copy", "bind", or what it links to; small folders are taken apart."""
    return tuple((str(path), how) for each in paths for path, how in _steps(each))


def _steps(path: Path) -> Iterator[tuple[Path, str]]:
    with contextlib.suppress(OSError):
        if path.is_symlink() and str(path.resolve()).startswith("/usr/"):
            yield path, str(path.resolve())
        elif path.is_file() and not path.is_symlink() and path.stat().st_size <= _LARGEST_COPY:
            yield path, "copy"
        elif path.is_dir() and not path.is_symlink() and (inside := _few(path)) is not None:
            for entry in inside:
                yield from _steps(entry)
        elif path.exists():
            yield path, "bind"


def _few(folder: Path) -> list[Path] | None:
    """The entries of a folder of few files, None of any other."""
    entries = sorted(folder.iterdir())
    are_plain = all(entry.is_file() and os.access(entry, os.R_OK) for entry in entries)
    return entries if are_plain and len(entries) <= _SMALL_FOLDER else None
