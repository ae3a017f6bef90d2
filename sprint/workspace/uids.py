"""Uids that are nobody's, one for each live workspace of a runner that is root."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from sprint.errors import SprintError

# Above all that distributions, containers and systemd hand out; and where a container maps only the
# customary 65536 ids, between people's accounts and systemd's dynamic users.
_RANGES = ((1_900_000_000, 2_000_000_000), (50_000, 60_000))
_TRIES = 1000


def free_uid(workspaces: Path) -> int:
    """A uid without an account, a process or a workspace. Raises SprintError where there is none."""
    used = _owners(workspaces) | _running()
    low, high = _usable_range()
    for _ in range(_TRIES):
        uid = low + secrets.randbelow(high - low)
        if uid not in used and not _has_account(uid):
            return uid
    raise SprintError("cannot find a free uid to run commands as; run sprint as an ordinary user")


def _usable_range() -> tuple[int, int]:
    for low, high in _RANGES:
        if all(_maps(Path("/proc/self", name), low, high) for name in ("uid_map", "gid_map")):
            return low, high
    raise SprintError(
        "this container has no uids to spare for commands; run sprint as an ordinary user in it"
    )


def _maps(table: Path, low: int, high: int) -> bool:
    for line in table.read_text().splitlines():
        first, _, count = (int(number) for number in line.split())
        if first <= low and high <= first + count:
            return True
    return False


def _owners(workspaces: Path) -> set[int]:
    return {
        found.st_gid for found in _entries(workspaces, lambda name: name.startswith(("sprint-", ".sprint-")))
    }


def _running() -> set[int]:
    return {found.st_uid for found in _entries(Path("/proc"), str.isdigit)}


def _entries(folder: Path, is_wanted: Callable[[str], bool]) -> Iterator[os.stat_result]:
    """What is in a folder, but for what goes while it is looked at."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_wanted(entry.name):
                with contextlib.suppress(OSError):
                    yield entry.stat(follow_symlinks=False)


def _has_account(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
