"""Processes of this machine: those below one, those with a mark, and their end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

MARK = "BB_SUPERVISION"  # in the environment of all that a supervisor begets
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def _stat(pid: int) -> list[bytes]:
    """What proc(5) tells of a process, from its state on. Raises OSError."""
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()


def started(pid: int) -> str:
    """Tells a process from a later one of the same number; "" where there is none, or a dead one."""
    try:
        fields = _stat(pid)
    except OSError:
        return ""
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()


def _all() -> Iterator[tuple[int, int, bool]]:
    """Each process: its number, its parent's, whether it is dead and not yet waited for."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError):
                fields = _stat(int(entry))
                yield int(entry), int(fields[1]), fields[0] in (b"Z", b"X")


def descendants(of: int) -> set[int]:
    """Those that live."""
    processes = list(_all())
    found = {of}
    while more := {pid for pid, parent, _ in processes if parent in found} - found:
        found |= more
    return found - {of} - {pid for pid, _, is_dead in processes if is_dead}


def marked(mark: str) -> set[int]:
    """All processes with this mark in their environment, whoever their parent is now."""
    wanted = f"{MARK}={mark}".encode()
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError):
                if wanted in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0") and started(int(entry)):
                    found.add(int(entry))
    return found


def end_all(which: Callable[[], set[int]], grace: float) -> None:
    """SIGTERM, SIGKILL after `grace` seconds, until there are none: new ones may be begotten meanwhile."""
    for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        until = time.monotonic() + seconds
        told: set[int] = set()
        while left := which():
            if time.monotonic() >= until:
                break
            for pid in left if number == signal.SIGKILL else left - told:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
            told |= left
            time.sleep(0.05)
        else:
            return


def reap_adopted(but: int) -> None:
    """Orphans that were adopted and have died; the agent's own status is Popen's to ask for."""
    for pid, parent, is_dead in _all():
        if is_dead and parent == os.getpid() and pid != but:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def usage(pid: int) -> tuple[float, int]:
    """CPU seconds and MB of the agent's main process."""
    try:
        fields = _stat(pid)
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0, 0
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") >> 20
