"""Memory of all processes of a command together, where no control group holds it."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
import traceback
from contextlib import nullcontext
from pathlib import Path

import pytest

from sprint import sandbox
from sprint.config import SandboxConfig
from sprint.domain import Completed, Workspace
from sprint.sandbox import Command, none, standing, starter, supervise
from tests.sandbox.conftest import IS_ROOT, UID

MOST = 200  # megabytes
CHILDREN = """
import os, sys, time
def hold(megabytes):
    return b'x' * (megabytes * 1_000_000)
def children(number, megabytes):
    for _ in range(number):
        if not os.fork():
            held = hold(megabytes)
            time.sleep(30)
            os._exit(0)
"""
SHARED = """
import mmap
def shared(megabytes):
    made = mmap.mmap(-1, megabytes * 1_000_000)
    made.write(b'x' * (megabytes * 1_000_000))
    return made
"""
REST = "time.sleep({}); print('fine')"
# What takes more than there is, and beside it what is as much or nearly so in each figure, and less in truth.
ATTACKS = {
    "children": ("children(20, 20)", "children(5, 20)"),
    "memory that children share": (
        "kept = [shared(40) for _ in range(8)]",
        "kept = shared(60); children(9, 0)",
    ),
    "pages that a fork shares": ("kept = hold(90); children(3, 60)", "kept = hold(90); children(9, 0)"),
    "files in memory": (
        "open('/dev/shm/a', 'wb').write(hold(45)); kept = hold(90); more = shared(90)",
        "f = open('/dev/shm/a', 'w+b'); f.write(hold(45)); f.flush(); "
        "m = mmap.mmap(f.fileno(), 45_000_000); sum(m[::4096]); children(5, 0); kept = hold(90)",
    ),
    "files in memory that nothing maps": (
        "kept = [os.memfd_create('a') for _ in range(8)]; [os.write(fd, hold(40)) for fd in kept]",
        "fd = os.memfd_create('a'); os.write(fd, hold(90)); "
        "m = mmap.mmap(fd, 90_000_000); sum(m[::4096]); children(5, 0)",
    ),
    "a process that hides": (
        "import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); children(20, 20)",
        "import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); children(5, 20)",
    ),
}


def script(steps: str, seconds: float) -> str:
    return CHILDREN + SHARED + steps + "\n" + REST.format(seconds)


def run_all(space: Workspace, scripts: list[str]) -> list[Completed]:
    box = sandbox.make(SandboxConfig(memory_mb=MOST))
    return [box.run(Command(["python3", "-c", steps], timeout=40), space) for steps in scripts]


def as_ordinary_user(space: Workspace, scripts: list[str]) -> list[Completed]:
    """In a fork that is no longer root: its Python may lie where nobody else can start it."""
    if not IS_ROOT:
        return run_all(space, scripts)
    code = Path(shutil.copy(supervise.__file__, space.root)).parent
    code.joinpath("supervise.py").chmod(0o644)
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            sys.executable = "/usr/bin/python3"
            starter._HERE = str(code)
            os.setgroups([])
            os.setgid(UID)
            os.setuid(UID)
            with os.fdopen(theirs, "wb") as file:
                pickle.dump(run_all(space, scripts), file)
        except BaseException:  # noqa: BLE001 - it must not go on as a second test process
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as file:
        told = file.read()
    os.waitpid(child, 0)
    return list(pickle.loads(told))


def test_an_ordinary_user_s_commands_hold_to_it_together(space: Workspace) -> None:
    """As one: what the kernel tells of others' processes depends on it."""
    space.root.chmod(0o755)
    asked = [
        text for attack, control in ATTACKS.values() for text in (script(attack, 30), script(control, 0.6))
    ]
    told = as_ordinary_user(space, asked)
    for name, attack, control in zip(ATTACKS, told[::2], told[1::2], strict=True):
        assert (name, attack.killed_by, attack.out) == (name, "memory", ""), attack
        assert (name, control.killed_by, control.out) == (name, "", "fine\n"), control


@pytest.mark.skipif(not IS_ROOT, reason="the other test is of an ordinary user")
@pytest.mark.parametrize("kind", ["bwrap", "none"])
def test_so_do_root_s_where_there_is_no_control_group(
    kind: str, space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (standing, none):
        monkeypatch.setattr(module, "group", lambda _: nullcontext(None))
    box = sandbox.make(SandboxConfig(kind=kind, memory_mb=MOST))  # type: ignore[arg-type]
    attack, control = ATTACKS["children"]
    done = box.run(Command(["python3", "-c", script(attack, 30)], timeout=40), space)
    assert (done.killed_by, done.out) == ("memory", "")
    done = box.run(Command(["python3", "-c", script(control, 0.6)], timeout=40), space)
    assert (done.killed_by, done.out) == ("", "fine\n")
