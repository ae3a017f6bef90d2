"""Workspaces that other uids can reach, and commands run outside for comparison."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sprint import proc, sandbox
from sprint.config import SandboxConfig
from sprint.domain import Completed, Workspace
from sprint.sandbox import Command, elsewhere
from sprint.sprite import errands
from tests.waiting import wait_until

IS_ROOT = os.getuid() == 0
# Of its own for each test process: limits count what a uid has everywhere.
UID = 40_000 + os.getpid() % 10_000 if IS_ROOT else os.getuid()
Outside = Callable[[str], str]
RUNNER: dict[str, Any] = {
    "cwd": Path(__file__).parents[2],
    "env": {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
}
_numbers = itertools.count(1)
# As errands.py comes to a machine: by stdin, to a Python that knows nothing of sprint.
_RUN = """\
import json, sys
given, errands = json.load(sys.stdin), {"__name__": "errands"}
exec(given["source"], errands)
env = {"PATH": given["path"]}
command = errands["_confined"](given["confine"], given["argv"], env=env, stdout=-1, stderr=-1)
out, err = command.communicate(timeout=given["seconds"])
print(json.dumps([command.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")]))
"""


@pytest.fixture(params=["bwrap", "none"])
def box(request: pytest.FixtureRequest) -> sandbox.Sandbox:
    return sandbox.make(SandboxConfig(kind=request.param))


@pytest.fixture
def make_space(workspaces: Path) -> Callable[..., Workspace]:
    def make(parent: Path | None = None) -> Workspace:
        space = Workspace(
            Path(tempfile.mkdtemp(prefix="space-", dir=parent or workspaces)), UID if IS_ROOT else None
        )
        for path in (space.root, space.checkout, space.home, space.tmp):
            path.mkdir(exist_ok=True)
            os.chown(path, UID, UID if IS_ROOT else -1)
        return space

    return make


@pytest.fixture
def space(make_space: Callable[..., Workspace]) -> Workspace:
    return make_space()


@pytest.fixture
def outside(space: Workspace) -> Callable[[str], str]:
    """Runs a script as the sandbox's uid, but without the sandbox; returns what it printed."""

    def run(script: str) -> str:
        return subprocess.run(
            ["bash", "-c", script],
            capture_output=True,
            text=True,
            timeout=20,
            cwd=space.checkout,
            env={"PATH": os.defpath, "HOME": str(space.home)},
            **as_uid(),
        ).stdout

    return run


def as_uid() -> dict[str, Any]:
    return {"user": UID, "group": UID, "extra_groups": []} if IS_ROOT else {}


@pytest.fixture
def marker() -> str:
    """Seconds to sleep that no other process on the machine sleeps for."""
    return f"{300 + next(_numbers)}.{os.getpid():07d}{time.monotonic_ns() % 10**6:06d}"


def sleepers(marker: str) -> list[int]:
    """The processes that have the marker as an argument."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if arguments[:1] == [b"sleep"] and marker.encode() in arguments:
            found.append(int(path.parent.name))
    return found


def wait_until_all_are_reaped() -> None:
    """A limit on root's commands counts what earlier tests have left, while the machine's first process does
    not reap it."""
    assert wait_until(lambda: not IS_ROOT or UID not in _uids())


def _uids() -> set[int]:
    """Of all processes, those included that have ended and nobody has reaped."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found.add(path.stat().st_uid)
    return found


def wait_for(marker: str, number: int) -> str:
    """A script that ends once so many sleepers are there, as seen from where it runs."""
    count = f"grep -lsa '^sleep.{marker}' /proc/[0-9]*/cmdline | wc -l"
    return f'until [ "$({count})" -ge {number} ]; do sleep 0.01; done'


def attack(
    space: Workspace, script: str, *, timeout: float = 20, network: bool = False, **config: int
) -> Completed:
    box = sandbox.make(SandboxConfig(**config))  # type: ignore[arg-type]
    return box.run(Command(["bash", "-c", script], timeout=timeout, network=network), space)


def attack_elsewhere(
    space: Workspace, script: str, *, timeout: float = 20, network: bool = False
) -> Completed:
    given = {
        "source": Path(errands.__file__).read_text(),
        "confine": elsewhere.box(SandboxConfig(), str(space.root), network=network),
        "argv": ["bash", "-c", script],
        "path": proc.SEARCH_PATH,
        "seconds": timeout,
    }
    python = shutil.which("python3", path=proc.SEARCH_PATH)
    assert python, "install python3"
    done = subprocess.run(
        [python, "-I", "-c", _RUN],
        input=json.dumps(given).encode(),
        capture_output=True,
        cwd="/",
        env={"PATH": proc.SEARCH_PATH},
        **as_uid(),
    )
    assert done.returncode == 0, done.stderr
    code, out, err = json.loads(done.stdout)
    return Completed(code, out.encode(), err.encode())


class Inside(NamedTuple):
    """Where commands are confined: what runs a script there, and as whom."""

    attack: Callable[..., Completed]
    uid: int


@pytest.fixture(params=["here", "elsewhere"])
def inside(request: pytest.FixtureRequest) -> Inside:
    """The sandbox of this machine, and the one that is made for others: what fails in one fails in both."""
    return Inside(attack, UID) if request.param == "here" else Inside(attack_elsewhere, elsewhere.UID)


def end(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
