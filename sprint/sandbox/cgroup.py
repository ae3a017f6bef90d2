"""A limit on the memory of all processes of a command together, where root can make a control group."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from sprint.config import SandboxConfig
from sprint.sandbox.limits import MEGABYTE

_log = logging.getLogger(__name__)
_PREFIX = "sprint-"
_BUSY_SECONDS = 2.0


class Group(Struct, frozen=True):
    """A control group, by its folder."""

    folder: Path

    @property
    def door(self) -> str:
        """The file that a process of one thread writes 0 to in order to enter."""
        # With version 1 there are two, and moving a process as a whole waits several milliseconds for a lock.
        single = self.folder / "tasks"
        return str(single if single.exists() else self.folder / "cgroup.procs")

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel ended one of its processes for that."""
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError):
                counts = dict(line.split() for line in (self.folder / name).read_text().splitlines())
                return int(counts.get("oom_kill", 0)) > 0
        return False


@contextlib.contextmanager
def group(config: SandboxConfig) -> Iterator[Group | None]:
    """A control group for one command, removed at the end; None where that cannot be had.

    It limits memory. The number of processes is limited by the uid's own: to enter a second group, which
    version 1 would need for that, costs each command several milliseconds.
    """
    made = _make(config)
    try:
        yield made
    finally:
        if made:
            _remove(made.folder)


def _make(config: SandboxConfig) -> Group | None:
    parent = _parent()
    if parent is None:
        return None
    folder = parent / f"{_PREFIX}{os.getpid()}-{os.urandom(4).hex()}"
    memory = str(config.memory_mb * MEGABYTE)
    limits = {
        "memory.max": memory,
        "memory.swap.max": "0",
        "memory.limit_in_bytes": memory,
        "memory.memsw.limit_in_bytes": memory,
    }
    try:
        folder.mkdir()
        for file, value in limits.items():
            if (folder / file).exists():
                (folder / file).write_text(value)
    except OSError as error:
        _log.debug("no control group: %s", error)
        _remove(folder)
        return None
    return Group(folder)


@functools.cache
def _parent() -> Path | None:
    """Where groups can be made: below our own with version 1, beside it with version 2."""
    if os.geteuid() != 0:
        return None
    try:
        parent = _below_or_beside(Path("/proc/self/cgroup").read_text(), _mounts())
    except OSError as error:
        _log.debug("no control groups: %s", error)
        return None
    if parent is None:
        _log.debug("no control group limits memory here")
    else:
        _sweep(parent)
    return parent


def _below_or_beside(ours: str, mounts: Mapping[str, Path]) -> Path | None:
    for line in ours.splitlines():
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(",") and "memory" in mounts:
            return mounts["memory"] / path.lstrip("/")
        if number == "0" and "" in mounts:
            own = mounts[""] / path.lstrip("/")
            beside = own if own == mounts[""] else own.parent
            if "memory" in (beside / "cgroup.subtree_control").read_text().split():
                return beside
    return None


def _mounts() -> dict[str, Path]:
    """Where version 1's memory controller is mounted, and version 2 as ""."""
    mounts: dict[str, Path] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        root, point = before.split()[3:5]
        kind, _, options = after.split()[:3]
        if kind == "cgroup" and root == "/" and "memory" in options.split(","):
            mounts["memory"] = Path(point)
        elif kind == "cgroup2":
            mounts[""] = Path(point)
    return mounts


def _sweep(parent: Path) -> None:
    """Remove what runners left that were killed; a group that is in use cannot be removed."""
    for folder in parent.glob(f"{_PREFIX}*-*"):
        pid = folder.name.split("-")[1]
        if pid.isdigit() and not Path("/proc", pid).exists():
            with contextlib.suppress(OSError):
                folder.rmdir()


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if time.monotonic() > deadline:
                _log.debug("control group left behind: %s", error)
                return
            time.sleep(0.001)
        else:
            return
