"""What outlives a command, and its runner: outside it does, so that its absence inside says something."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from sprint import proc, sandbox
from sprint.config import SandboxConfig
from sprint.domain import Workspace
from sprint.errors import SandboxError
from sprint.sandbox import Command
from tests.sandbox.conftest import RUNNER, Outside, end, sleepers
from tests.waiting import wait_until

_SURVIVORS = {
    "background": "sleep {0} &",
    "session": "setsid sleep {0} &",
    "nohup": "nohup sleep {0} >/dev/null 2>&1 &",
    "double fork": "(setsid bash -c '(sleep {0} >/dev/null 2>&1 </dev/null &)' &)",
    "no signals": "bash -c 'trap \"\" TERM INT HUP; sleep {0}' &",
    "daemon": "python3 -c 'import os; os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0); "
    'os.environ.clear(); os.closerange(0, 99); os.execv("/bin/sleep", ["sleep", "{0}"])\'',
}


@pytest.mark.parametrize("how", _SURVIVORS)
def test_survivors_of_a_command_that_ended(
    box: sandbox.Sandbox, space: Workspace, outside: Outside, marker: str, how: str
) -> None:
    # It ends only once the other is there.
    wait = f"until grep -qsa '^sleep.{marker}' /proc/[0-9]*/cmdline; do sleep 0.01; done"
    script = f"{_SURVIVORS[how].format(marker)}\n{wait}"
    outside(f"{{ {script}\n}} >/dev/null 2>&1")
    control = sleepers(marker)
    end(control)
    assert control, "outside it does survive"
    assert wait_until(lambda: not sleepers(marker))
    assert box.run(Command(["bash", "-c", script], timeout=20), space).exit_code == 0
    assert sleepers(marker) == []


@pytest.mark.parametrize("how", ["session", "double fork", "daemon"])
def test_survivors_of_a_command_whose_time_ran_out(
    box: sandbox.Sandbox, space: Workspace, marker: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs out once they are there."""
    ahead: list[float] = []
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + sum(ahead))
    monkeypatch.setattr(proc, "time", clock)

    def look() -> str:
        if not ahead and len(sleepers(marker)) == 2:
            ahead.append(3600)
        return ""

    script = f"{_SURVIVORS[how].format(marker)}\nsleep {marker}"
    done = box.run(Command(["bash", "-c", script], timeout=3600, watch=look), space)
    assert done.killed_by == "timeout"
    assert sleepers(marker) == []


def test_a_command_whose_starter_was_killed_is_no_result(space: Workspace, marker: str) -> None:
    box = sandbox.make(SandboxConfig())

    def kill_it() -> str:
        if sleepers(marker):
            end(starters())
        return ""

    with pytest.raises(SandboxError, match="the process that starts commands was ended; see whether"):
        box.run(Command(["bash", "-c", f"sleep {marker}; true"], timeout=20, watch=kill_it), space)
    assert wait_until(lambda: not sleepers(marker))
    assert box.run(Command(["echo", "fine"], timeout=20), space).out == "fine\n"


def starters() -> list[int]:
    """Those of this process."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in children if b"supervise" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.parametrize("kind", ["bwrap", "none", "control"])
def test_survivors_of_a_runner_that_was_killed(
    space: Workspace, tmp_path: Path, marker: str, kind: str
) -> None:
    script = f"setsid sleep {marker} & (setsid bash -c 'sleep {marker}' &) ; sleep {marker}"
    runner = tmp_path / "runner.py"
    runner.write_text(
        textwrap.dedent(f"""
        import subprocess
        from pathlib import Path
        from sprint import proc, sandbox
        from sprint.config import SandboxConfig
        from sprint.domain import Workspace
        argv = ["bash", "-c", {script!r}]
        if {kind!r} == "control":
            subprocess.run(argv)
        else:
            box = sandbox.make(SandboxConfig(kind={kind!r}))
            box.run(sandbox.Command(argv, timeout=60), Workspace(Path({str(space.root)!r}), {space.uid}))
        """)
    )
    process = subprocess.Popen([sys.executable, str(runner)], **RUNNER)
    try:
        assert wait_until(lambda: len(sleepers(marker)) == 3)
        process.kill()
        process.wait()
        if kind == "control":
            assert len(sleepers(marker)) == 3
        else:
            assert wait_until(lambda: not sleepers(marker))
    finally:
        process.kill()
        process.wait()
        end(sleepers(marker))
