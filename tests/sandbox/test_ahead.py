"""The sandbox that stands and waits for the next command: one of its own, and gone with the runner."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import pytest

from sprint import proc, sandbox
from sprint.config import SandboxConfig
from sprint.domain import Workspace
from sprint.errors import SandboxError
from sprint.sandbox import Command
from sprint.sandbox.handed import Handed
from sprint.sandbox.starter import Job, Starter
from tests.sandbox.conftest import IS_ROOT, RUNNER, UID, sleepers, wait_until_all_are_reaped
from tests.waiting import wait_until


@pytest.fixture
def box() -> sandbox.Sandbox:
    return sandbox.make(SandboxConfig())


def waiting(space: Workspace) -> list[int]:
    """The processes of sandboxes over the workspace."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (folder / "root/work").samefile(space.root):
                found.append(int(folder.name))
    return found


def name_spaces(space: Workspace) -> set[str]:
    """Those of mounts of the sandboxes over the workspace."""
    found = set()
    for pid in waiting(space):
        with suppress(OSError):
            found.add(str(Path(f"/proc/{pid}/ns/mnt").readlink()))
    return found


def bubblewraps(space: Workspace, *, dead: bool = False) -> list[str]:
    """Those of the workspace's user that live, also where they do not show it yet, or that nobody reaped."""
    found = []
    for path in Path("/proc").glob("[0-9]*/status") if space.uid is not None else ():
        with suppress(OSError):
            status = path.read_text()
            is_one = "Name:\tbwrap\n" in status and f"Uid:\t{space.uid}\t" in status
            if is_one and ("State:\tZ" in status) is dead:
                found.append(path.parent.name)
    return found


def run(box: sandbox.Sandbox, space: Workspace, script: str, **more: object) -> str:
    done = box.run(Command(["bash", "-c", script], timeout=20, **more), space)  # type: ignore[arg-type]
    assert done.ok, done
    return done.out


def test_the_next_command_finds_one_that_waits_and_no_trace_of_the_last(
    box: sandbox.Sandbox, space: Workspace
) -> None:
    with box.ahead():
        run(box, space, "echo left >/dev/shm/left; export LEFT=1; cd ..; sleep 300 &")
        assert wait_until(lambda: len(waiting(space)) > 0)
        stands = set(waiting(space))
        seen = run(
            box,
            space,
            'echo "$A/$1/$0/$PWD/$LEFT"; ls /dev/shm; ls /proc/self/fd; ps -e | wc -l; cat /proc/self/cgroup',
            env={"A": "given"},
        )
        assert seen.splitlines()[:5] == ["given//bash//work/repo/", "0", "1", "2", "3"]
        assert not stands & set(waiting(space)), "it was the one that stood, and is gone"
    assert waiting(space) == []


def test_the_next_one_is_made_while_a_command_runs_and_neither_sees_the_other(
    box: sandbox.Sandbox, space: Workspace
) -> None:
    stood: set[str] = set()

    def on_line(line: bytes) -> None:
        if not stood:
            assert wait_until(lambda: len(name_spaces(space)) == 2)
            stood.update(name_spaces(space))
            (space.checkout / "both").touch()

    script = "readlink /proc/self/ns/mnt; until [ -e both ]; do sleep 0.01; done; ps -e -o comm="
    with box.ahead():
        first, *processes = run(box, space, script, on_line=on_line).splitlines()
        assert processes.count("bwrap") == 1, processes
        second, *processes = run(box, space, script).splitlines()
        assert processes.count("bwrap") == 1, processes
    assert {first, second} == stood


def test_one_that_cannot_be_made_is_no_fault_of_the_command_before(
    box: sandbox.Sandbox, space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(wanted: object) -> NoReturn:
        raise SandboxError("the sandbox could not be started; mend it")

    with box.ahead():
        run(box, space, "true")
        monkeypatch.setattr(box, "_made", refuses)
        assert run(box, space, "echo fine") == "fine\n"
        with pytest.raises(SandboxError, match="mend it"):
            run(box, space, "true")


def test_what_was_changed_in_the_meantime_is_seen(box: sandbox.Sandbox, space: Workspace) -> None:
    with box.ahead():
        run(box, space, "echo old >file")
        (space.checkout / "file").write_text("new")
        assert run(box, space, "cat file") == "new"
        shutil.rmtree(space.checkout)
        space.checkout.mkdir()
        os.chown(space.checkout, UID, -1)
        assert run(box, space, "ls; echo more >file; cat /work/repo/file") == "more\n"
        run(box, space, "rm -rf /work/repo; ln -s /etc /work/repo")
        assert "secret" not in run(box, space, "pwd -P; ls /work/repo/")
        run(box, space, "rm /work/repo")
        assert not box.run(Command(["bash", "-c", "true"], timeout=20), space).ok


def test_only_one_that_is_just_as_wanted_is_used(box: sandbox.Sandbox, space: Workspace) -> None:
    with box.ahead():
        run(box, space, "true")
        assert run(box, space, "cat", stdin=b"given") == "given"
        done = box.run(Command(["bash", "-c", "echo >x"], timeout=20, writable_workspace=False), space)
        assert not done.ok
        assert run(box, space, "ls /shown", read_only={space.tmp: "/shown"}) == ""
        assert "eth0" not in run(box, space, "cat /proc/net/dev")
        assert run(box, space, "echo $0") == "bash\n"
        assert box.run(Command(["sh", "-c", "echo $0", "zero"], timeout=20), space).out == "zero\n"
        assert box.run(Command(["printf", "%s", "no shell"], timeout=20), space).out == "no shell"


def test_what_is_ended_before_it_is_a_sandbox_leaves_no_child(marker: str) -> None:
    """bubblewrap's own is bound to it late: until then it is in a session of its own, and waits for ever."""
    script = f"setsid sleep {marker} & wait"
    job = Job(["sh", "-c", script], {"PATH": proc.SEARCH_PATH}, "/", None, {}, is_boxed=True)
    starter = Starter()
    started = starter.start(job, Handed(), has_input=False)
    assert wait_until(lambda: len(sleepers(marker)) > 0)
    started.close()
    assert wait_until(lambda: sleepers(marker) == [])


def test_no_dead_process_is_left_to_the_machine(box: sandbox.Sandbox, space: Workspace) -> None:
    with box.ahead():
        for _ in range(12):
            run(box, space, "true")
        # They count against what the user may have.
        assert wait_until(lambda: len(bubblewraps(space, dead=True)) <= 3)


def test_time_and_limits_count_from_the_words(space: Workspace) -> None:
    wait_until_all_are_reaped()
    box = sandbox.make(SandboxConfig(memory_mb=100, processes=40))
    hog = "import time\nx = b'x' * 150_000_000\ntime.sleep(5)"
    with box.ahead():
        for _ in range(2):
            run(box, space, "true")
            done = box.run(Command(["bash", "-c", f'python3 -c "{hog}"'], timeout=20), space)
            # An ordinary user's process is refused so much before anybody looks.
            assert done.killed_by == "memory" if IS_ROOT else "MemoryError" in done.err
            done = box.run(Command(["bash", "-c", "echo there; sleep 300"], timeout=1.5), space)
            assert (done.killed_by, done.out) == ("timeout", "there\n")
            assert run(box, space, "ulimit -u; ulimit -c") == "40\n0\n"


def test_one_that_died_is_not_used(box: sandbox.Sandbox, space: Workspace) -> None:
    with box.ahead():
        run(box, space, "true")
        assert wait_until(lambda: len(waiting(space)) > 0)
        for pid in waiting(space):
            with suppress(ProcessLookupError):  # one takes the others along
                os.kill(pid, signal.SIGKILL)
        assert wait_until(lambda: not waiting(space))
        assert run(box, space, "echo fine") == "fine\n"


@pytest.mark.parametrize("when", ["it waits", "it begins"])
def test_none_outlives_a_runner_that_was_killed(space: Workspace, tmp_path: Path, when: str) -> None:
    runner = tmp_path / "runner.py"
    runner.write_text(
        textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from sprint import sandbox
        from sprint.config import SandboxConfig
        from sprint.domain import Workspace
        box = sandbox.make(SandboxConfig())
        with box.ahead():
            space = Workspace(Path({str(space.root)!r}), {space.uid})
            box.run(sandbox.Command(["bash", "-c", "true"], timeout=60), space)
            print("there", flush=True)
            sys.stdin.read()
        """)
    )
    argv = [sys.executable, str(runner)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **RUNNER) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"there\n"
            if when == "it waits":
                assert wait_until(lambda: len(waiting(space)) > 0)
        finally:
            process.kill()
    assert wait_until(lambda: not waiting(space))
    assert wait_until(lambda: not bubblewraps(space))
