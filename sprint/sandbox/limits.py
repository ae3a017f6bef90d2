"""Limits on what commands may use up: processes, file sizes, disk."""

from __future__ import annotations

import os
import time
from pathlib import Path

from sprint.config import SandboxConfig

MEGABYTE = 1_000_000
_OPEN_FILES = 4096
_DEEPEST = 256
_SHARE_OF_TIME = 0.05


def prlimit(config: SandboxConfig) -> list[str]:
    """The command prefix that sets a process' own limits, which it cannot raise again."""
    return [
        "/usr/bin/prlimit",
        "--core=0",
        f"--nproc={config.processes}",
        f"--nofile={_OPEN_FILES}",
        f"--fsize={config.file_mb * MEGABYTE}",
        "--",
    ]


def used(root: Path) -> tuple[int, int]:
    """Bytes and files below root, links not followed; what goes away meanwhile is not counted.

    A tree deeper than 256 levels ends the count with more files than any limit allows.
    """
    total, files = 0, 0
    seen: set[int] = set()
    open_folders: list[int] = []
    pending: list[tuple[int, str]] = [(0, str(root))]
    try:
        while pending:
            depth, name = pending.pop()
            while len(open_folders) > depth:
                os.close(open_folders.pop())
            if depth >= _DEEPEST:
                return total, _TOO_MANY
            try:
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
                    if status.st_nlink == 1 or status.st_ino not in seen:
                        total += status.st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((depth + 1, entry.name))
                    elif status.st_nlink > 1:
                        seen.add(status.st_ino)
    finally:
        for folder in open_folders:
            os.close(folder)
    return total, files


_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TOO_MANY = 1 << 62


class DiskWatch:
    """Says "disk" or "files" once a workspace has grown over its limit; takes a twentieth of the time."""

    def __init__(self, root: Path, config: SandboxConfig) -> None:
        self._root = root
        self._bytes = config.disk_mb * MEGABYTE
        self._files = config.files
        self._not_before = 0.0

    def __call__(self) -> str:
        started = time.monotonic()
        if started < self._not_before:
            return ""
        total, files = used(self._root)
        ended = time.monotonic()
        self._not_before = ended + (ended - started) / _SHARE_OF_TIME
        if total > self._bytes:
            return "disk"
        return "files" if files > self._files else ""
