"""Runs a command or a function and tells what it took."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sprint.domain import Workspace

_TIMED = Path(__file__).with_name("timed.py")


@dataclass(frozen=True)
class Cost:
    """Seconds of wall and CPU (user and system), and peak memory in MB, of a process and its children."""

    wall: float
    cpu: float
    peak_mb: float

    def __str__(self) -> str:
        return f"{self.wall:.2f} s wall, {self.cpu:.2f} s CPU, {self.peak_mb:.0f} MB peak"


def command(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    expect: int = 0,
    stdin: Path | None = None,
    stdout: Path | None = None,
    is_quiet: bool = False,
) -> Cost:
    """What one process took, with its children's CPU; its peak memory is its own largest. `is_quiet`: what it
    says on stderr is of no interest."""
    nothing, (ours, theirs) = Path(os.devnull), os.pipe()
    with (
        os.fdopen(ours, "rb") as told,
        nothing.open("wb") as nowhere,
        (stdin or nothing).open("rb") as given,
        (stdout or nothing).open("wb") as said,
    ):
        errors = nowhere if is_quiet else None
        timed = [sys.executable, "-I", "-S", str(_TIMED), str(theirs), *argv]
        child = subprocess.Popen(
            timed,
            cwd=cwd,
            env=dict(env),
            stdin=given,
            stdout=said,
            stderr=errors,
            pass_fds=[theirs],
        )
        os.close(theirs)
        used = json.loads(told.read())
        child.wait()
    code = used.pop("code")
    assert code == expect, f"{argv} exited {code}"
    return Cost(**used)


def median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.wall for cost in costs),
        statistics.median(cost.cpu for cost in costs),
        max(cost.peak_mb for cost in costs),
    )


def seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def fastest(function: Callable[[], object], times: int = 50) -> float:
    """Seconds of the fastest of so many, which other programs on the machine disturbed least."""
    return min(seconds(function) for _ in range(times))


def own_cpu() -> float:
    """Seconds of CPU of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def spent(function: Callable[[], object]) -> Cost:
    """What a function takes in this process and in those that it starts and waits for."""
    cpu, started = own_cpu(), time.perf_counter()
    function()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Cost(time.perf_counter() - started, own_cpu() - cpu, peak)


def as_user(uid: int, function: Callable[[], list[str]]) -> list[str]:
    """What a function returns in a process of its own, run by that user."""
    here, there = multiprocessing.Pipe()

    def become() -> None:
        if uid != os.geteuid():
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.environ["HOME"] = os.devnull
        there.send(function())

    child = multiprocessing.get_context("fork").Process(target=become)
    child.start()
    there.close()
    try:
        return list(here.recv())
    finally:
        child.join()


def space(root: Path) -> Workspace:
    """A workspace for commands in the sandbox."""
    made = Workspace(root, 65_000 if os.geteuid() == 0 else None)
    made.root.mkdir(mode=0o711)
    for folder in (made.checkout, made.home, made.tmp):
        folder.mkdir()
        if made.uid is not None:
            os.chown(folder, made.uid, made.uid)
    return made
