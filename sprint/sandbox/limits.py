"""Limits on what commands may use up: processes, memory, file sizes, disk."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sprint.config import SandboxConfig
from sprint.disk_use import used
from sprint.domain import Completed, Workspace
from sprint.errors import SandboxError

MEGABYTE = 1_000_000
_OPEN_FILES = 4096
_LONGEST_WORD = 128 * 1024 - 32  # the kernel's own limit, less the name of a variable that holds it
_LONGEST_COMMAND = 1_000_000
_SHARE_OF_TIME = 0.05
_LONGEST_PAUSE = 3.0
_LEAST_FREE = 512 * MEGABYTE
_NOTABLE = (64 * MEGABYTE, 10_000)  # bytes and files: so much less of them free is worth a look


def unprivileged(workspace: Workspace) -> int:
    """The uid that commands get. Root inside would keep ways to the host, whatever is dropped."""
    runner = os.getuid()
    uid = workspace.uid if runner == 0 else runner
    if not uid:
        raise SandboxError(
            f"{workspace.root}: commands would run as root; give the workspace a uid of its own"
        )
    return uid


def impossible(argv: Sequence[str], env: Mapping[str, str]) -> Completed | None:
    """How a command ends that no system can start, whoever wrote it; None for all others."""
    try:
        words = [os.fsencode(word) for word in argv]
        given = [os.fsencode(f"{name}={value}") for name, value in env.items()]
    except UnicodeEncodeError:
        fault = "it holds characters that cannot be encoded"
    else:
        if any(b"\0" in word for word in words):
            fault = "it holds a NUL character"
        elif max(map(len, words + given)) > _LONGEST_WORD or sum(map(len, words + given)) > _LONGEST_COMMAND:
            fault = "it is too long; write it to a file and run that"
        else:
            return None
    return Completed(126, b"", f"the command cannot be started: {fault}\n".encode())


def of_each_process(config: SandboxConfig, *, are_grouped: bool, others_of_uid: int = 0) -> dict[str, int]:
    """prlimit's option names and values. Memory for each process only where nothing limits it for all.

    `others_of_uid` is how many threads count against the uid's limit that are none of the command's.
    """
    wanted = {
        "core": (resource.RLIMIT_CORE, 0),
        "nproc": (resource.RLIMIT_NPROC, config.processes + others_of_uid),
        "nofile": (resource.RLIMIT_NOFILE, _OPEN_FILES),
        "fsize": (resource.RLIMIT_FSIZE, config.file_mb * MEGABYTE),
    }
    if not are_grouped:
        # Not the address space: garbage-collected runtimes reserve much more of it than they ever touch.
        wanted["data"] = (resource.RLIMIT_DATA, config.memory_mb * MEGABYTE)
    limits = {}
    for name, (kind, value) in wanted.items():
        _, hard = resource.getrlimit(kind)
        limits[name] = value if hard == resource.RLIM_INFINITY else min(value, hard)
    return limits


def first_of(*watches: Callable[[], str] | None) -> Callable[[], str] | None:
    """One watch that says what the first of them says, those that are None left out."""
    asked = [watch for watch in watches if watch]
    return (lambda: next(filter(None, (watch() for watch in asked)), "")) if asked else None


class DiskWatch:
    """Says "disk" or "files" once a workspace is over its limit and not shrinking.

    Looks at it for a twentieth of the time at most. Deleted files that are still open are in no folder: so
    the file system's free space is watched too.
    """

    def __init__(self, root: Path, config: SandboxConfig) -> None:
        self._root = root
        self._most = (config.disk_mb * MEGABYTE, config.files)
        self._last = (0, 0)
        self._not_before = 0.0
        self._free_at_start = self._free_at_look = self._free()

    def __call__(self) -> str:
        """For `proc.run` to call while a command runs."""
        if self._is_exhausted():
            return "disk"
        return self._look() if time.monotonic() >= self._not_before else ""

    def after(self) -> str:
        """For after a command: looks only where free space tells that much was written."""
        now = self._free()
        if all(
            free > before - step for free, before, step in zip(now, self._free_at_look, _NOTABLE, strict=True)
        ):
            return ""
        return self._look()

    def _look(self) -> str:
        started = time.monotonic()
        last, self._last = self._last, used(self._root)
        self._free_at_look = self._free()
        ended = time.monotonic()
        self._not_before = ended + min((ended - started) / _SHARE_OF_TIME, _LONGEST_PAUSE)
        for name, amount, before, most in zip(("disk", "files"), self._last, last, self._most, strict=True):
            if most < amount and before <= amount:
                return name
        return ""

    def _is_exhausted(self) -> bool:
        free, at_start = self._free()[0], self._free_at_start[0]
        return free < _LEAST_FREE and free < at_start - _NOTABLE[0]

    def _free(self) -> tuple[int, int]:
        try:
            status = os.statvfs(self._root)
        except OSError:
            return 0, 0
        return status.f_bavail * status.f_frsize, status.f_favail
