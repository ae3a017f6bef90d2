"""What a tree takes up on the disk, whoever made it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

_DEEPEST = 256
_TOO_MANY = 1 << 62
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _TooDeep(Exception):
    pass


def used(root: Path) -> tuple[int, int]:
    """Bytes and files below root, links not followed; what goes away meanwhile is not counted.

    A tree deeper than 256 levels counts as more files than any limit allows.
    """
    total, files = 0, 0
    linked: set[int] = set()
    try:
        for status in _walk(str(root)):
            files += 1
            if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                if status.st_ino in linked:
                    continue
                linked.add(status.st_ino)
            total += status.st_blocks * 512
    except _TooDeep:
        return total, _TOO_MANY
    return total, files


def _walk(root: str) -> Iterator[os.stat_result]:
    """Everything below root. Raises _TooDeep."""
    open_folders: list[int] = []
    pending = [(0, root)]
    try:
        while pending:
            depth, name = pending.pop()
            while len(open_folders) > depth:
                os.close(open_folders.pop())
            if depth >= _DEEPEST:
                raise _TooDeep
            try:
                # Relative to the folder above: a path from the root can be longer than the system allows.
                folder = os.open(name, _OPEN_FOLDER, dir_fd=open_folders[-1] if open_folders else None)
            except OSError:
                continue
            open_folders.append(folder)
            for entry, status in _entries(folder):
                if stat.S_ISDIR(status.st_mode):
                    pending.append((depth + 1, entry))
                yield status
    finally:
        for folder in open_folders:
            os.close(folder)


def _entries(folder: int) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:  # it went away
                continue
            yield entry.name, status
