"""What a tree takes up on the disk, whoever made it."""

from __future__ import annotations

import os
from pathlib import Path

_DEEPEST = 256
_TOO_MANY = 1 << 62
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def used(root: Path) -> tuple[int, int]:
    """Bytes and files below root, links not followed; what goes away meanwhile is not counted.

    A tree deeper than 256 levels counts as more files than any limit allows.
    """
    total, files = 0, 0
    linked: set[int] = set()
    open_folders: list[int] = []
    pending = [(0, str(root))]
    try:
        while pending:
            depth, name = pending.pop()
            while len(open_folders) > depth:
                os.close(open_folders.pop())
            if depth >= _DEEPEST:
                return total, _TOO_MANY
            try:
                # Relative to the folder above: a path from the root can be longer than the system allows.
                folder = os.open(name, _OPEN_FOLDER, dir_fd=open_folders[-1] if open_folders else None)
            except OSError:
                continue
            open_folders.append(folder)
            with os.scandir(folder) as entries:
                for entry in entries:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    files += 1
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((depth + 1, entry.name))
                    elif status.st_nlink > 1:
                        if status.st_ino in linked:
                            continue
                        linked.add(status.st_ino)
                    total += status.st_blocks * 512
    finally:
        for folder in open_folders:
            os.close(folder)
    return total, files
