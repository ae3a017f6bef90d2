"""A limit on the memory of all processes of a command together, by watching where there is no control group.

Counted is what only they have: private pages (once for all that share them after a fork), shared memory,
files in memory, mapped or not. Programs and other files that the system can read again are not.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from sprint.config import SandboxConfig
from sprint.sandbox.limits import MEGABYTE

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SHARE_OF_TIME = 0.05
_LEAST_AVAILABLE = 256 * MEGABYTE
_NOTABLE = 64 * MEGABYTE  # so much less of it than at the start is worth a look
_PROC = Path("/proc")
_MAPPING = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ ([0-9a-f]+):([0-9a-f]+) (\d+)")

_Object = tuple[int, int]  # a file in memory: its device and its number there


class _Process(Struct, frozen=True):
    pid: int
    parent: int
    resident: int  # bytes, those of files included


class MemoryWatch:
    """Says "memory" once a process and all below it have more than `memory_mb` together.

    `first` tells the process, once there is one; `in_memory` are its paths at which file systems in memory
    are mounted. Looks for a twentieth of the time at most. Segments of System V that no process has attached
    cannot be seen from here: so the machine's own memory is watched too.
    """

    def __init__(
        self, config: SandboxConfig, first: Callable[[], int | None], in_memory: Sequence[str] = ()
    ) -> None:
        self._most = config.memory_mb * MEGABYTE
        self._first = first
        self._in_memory = in_memory
        self._not_before = 0.0
        self._available_at_start = _available()

    def __call__(self) -> str:
        """For `proc.run` to call while the command runs."""
        started = time.monotonic()
        if started < self._not_before or (first := self._first()) is None:
            return ""
        is_over = used(first, self._in_memory, self._most) > self._most or self._is_exhausted()
        ended = time.monotonic()
        self._not_before = ended + (ended - started) / _SHARE_OF_TIME
        return "memory" if is_over else ""

    def _is_exhausted(self) -> bool:
        available = _available()
        return available < _LEAST_AVAILABLE and available < self._available_at_start - _NOTABLE


def used(first: int, in_memory: Sequence[str] = (), enough: int = 0) -> int:
    """Bytes that a process and all below it use up.

    Where a coarse look shows no more than `enough`, its figure, which is never too low, is the answer.
    """
    processes = _family(first)
    mounted = dict(_mounted(first, in_memory))
    opened: dict[_Object, int] = {}
    for process in processes:
        opened.update(_opened(process.pid))
    files = sum(mounted.values()) + sum(opened.values())
    coarse = files + sum(process.resident for process in processes)
    if coarse <= enough:
        return coarse
    return files + sum(_own(process, mounted, opened) for process in processes)


def _family(first: int) -> list[_Process]:
    """A process and all that descend from it: in a name space of their own, those are all."""
    below: dict[int, list[_Process]] = {}
    found = []
    for process in _processes():
        below.setdefault(process.parent, []).append(process)
        if process.pid == first:
            found.append(process)
    for process in found:
        found += below.get(process.pid, ())
    return found


def _processes() -> Iterator[_Process]:
    for folder in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # The name in parentheses is the process' own choice, and may hold anything.
            fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
            yield _Process(int(folder.name), int(fields[1]), int(fields[21]) * _PAGE)


def _mounted(first: int, in_memory: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The devices of file systems in memory, and the bytes in each."""
    for path in in_memory:
        with contextlib.suppress(OSError):
            inside = Path(f"/proc/{first}/root{path}")
            status = os.statvfs(inside)
            yield inside.stat().st_dev, (status.f_blocks - status.f_bfree) * status.f_frsize


def _opened(pid: int) -> dict[_Object, int]:
    """Files in memory that have no name anywhere, and that the process has open, with their bytes."""
    found: dict[_Object, int] = {}
    with contextlib.suppress(OSError):
        for entry in (_PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                status = entry.stat()
                if status.st_dev == _nameless():
                    found[status.st_dev, status.st_ino] = status.st_blocks * 512
    return found


@functools.cache
def _nameless() -> int:
    """The kernel's own file system, of memfd_create, shared mappings and System V."""
    made = os.memfd_create("sprint")
    try:
        return os.fstat(made).st_dev
    finally:
        os.close(made)


def _own(process: _Process, mounted: dict[int, int], opened: dict[_Object, int]) -> int:
    """The process' share of what it has in memory, without the files that are counted already."""
    try:
        total = _kilobytes(process.pid)
        private, shared = total["Pss_Anon"], total["Pss_Shmem"]
        if shared and (mounted or opened):
            shared = max(shared - _counted(process.pid, mounted, opened), 0)
        return (private + shared) * 1024
    except (OSError, KeyError):  # it has ended, or does not let itself be looked at
        return _not_of_files(process)


def _kilobytes(pid: int) -> dict[str, int]:
    lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()[1:]
    return {line.split(":")[0]: int(line.split()[1]) for line in lines}


def _counted(pid: int, mounted: dict[int, int], opened: dict[_Object, int]) -> int:
    """Kilobytes of its share that belong to files in memory which are counted as files."""
    total, is_counted = 0, False
    for line in (_PROC / str(pid) / "smaps").read_text("utf-8", "replace").splitlines():
        if found := _MAPPING.match(line):
            device = os.makedev(int(found[1], 16), int(found[2], 16))
            is_counted = device in mounted or (device, int(found[3])) in opened
        elif is_counted and line.startswith("Pss:"):
            total += int(line.split()[1])
        elif is_counted and line.startswith("Anonymous:"):  # its own copies of such pages are not the file
            total -= int(line.split()[1])
    return total


def _not_of_files(process: _Process) -> int:
    with contextlib.suppress(OSError):
        lines = (_PROC / str(process.pid) / "status").read_text("utf-8", "replace").splitlines()
        return 1024 * sum(
            int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssShmem:"))
        )
    return 0


def _available() -> int:
    with contextlib.suppress(OSError):
        for line in (_PROC / "meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return _LEAST_AVAILABLE
