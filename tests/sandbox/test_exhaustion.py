"""Commands that use up processes, disk, memory and output."""

from __future__ import annotations

import threading
from pathlib import Path

from sprint import sandbox
from sprint.config import SandboxConfig
from sprint.domain import Workspace
from sprint.sandbox import Command
from tests.sandbox.conftest import attack, sleepers, wait_until_all_are_reaped
from tests.waiting import wait_until


def test_a_fork_bomb(space: Workspace, marker: str) -> None:
    wait_until_all_are_reaped()
    script = f"for i in $(seq 200); do sleep {marker} & done 2>/dev/null; wait"
    most = 0

    def count() -> bool:
        nonlocal most
        most = max(most, len(sleepers(marker)))
        return done.is_set()

    done = threading.Event()
    watcher = threading.Thread(target=lambda: wait_until(count, 30))
    watcher.start()
    attack(space, script, timeout=2, processes=40)
    done.set()
    watcher.join()
    assert 10 < most <= 40
    assert sleepers(marker) == []
    assert attack(space, ":(){ :|:& };:", timeout=1, processes=40).exit_code is not None
    assert attack(space, "echo fine").out == "fine\n"


def test_a_disk_filler(space: Workspace) -> None:
    script = "while head -c 2000000 /dev/zero >>big; do :; done"
    done = attack(space, script, disk_mb=20)
    assert done.killed_by == "disk"
    assert done.seconds < 10
    small = attack(space, "head -c 2000000 /dev/zero >small; echo fine", disk_mb=20_000)
    assert (small.killed_by, small.out) == ("", "fine\n")


def test_a_filler_of_inodes(space: Workspace) -> None:
    done = attack(space, "i=0; while :; do : >f$((i+=1)); done", files=500)
    assert done.killed_by == "files"


def test_a_filler_that_hides_in_depth(space: Workspace) -> None:
    script = "while mkdir dddddddddd && cd dddddddddd; do head -c 100000 /dev/zero >f; done; sleep 20"
    done = attack(space, f"cd -P .; {script}", disk_mb=20)
    assert done.killed_by in ("disk", "files")


def test_many_short_commands_that_fill_the_disk(space: Workspace) -> None:
    """Each ends before anybody looks; all together they are seen, though others free as much meanwhile."""
    box = sandbox.make(SandboxConfig(disk_mb=100))
    killed_by = (
        box.run(
            Command(["bash", "-c", f"head -c 90000000 /dev/zero >f{number}"], timeout=20), space
        ).killed_by
        for number in range(8)
    )
    assert next(killed_by) == ""
    assert "disk" in killed_by


def test_a_workspace_that_is_too_large_can_still_be_read(space: Workspace) -> None:
    box = sandbox.make(SandboxConfig(disk_mb=70))
    fill = "head -c 90000000 /dev/zero >f; sleep 20"
    assert box.run(Command(["sh", "-c", fill], timeout=20), space).killed_by == "disk"
    done = box.run(Command(["sh", "-c", "wc -c f; sleep 0.7"], timeout=20, writable_workspace=False), space)
    assert done.killed_by == ""
    assert int(done.out.split()[0]) == (space.checkout / "f").stat().st_size > 70_000_000
    assert box.run(Command(["rm", "f"], timeout=20), space).ok


def test_a_huge_file(space: Workspace) -> None:
    assert attack(space, "head -c 8000000 /dev/zero >a", file_mb=10).ok
    assert not attack(space, "head -c 30000000 /dev/zero >b", file_mb=10).ok
    assert (space.checkout / "a").stat().st_size == 8_000_000
    assert (space.checkout / "b").stat().st_size == 10_000_000


def test_a_memory_hog(space: Workspace) -> None:
    script = "python3 -c 'print(len(bytearray({}_000_000)))'"
    assert attack(space, script.format(20), memory_mb=150).out == "20000000\n"
    done = attack(space, script.format(900), memory_mb=150)
    assert not done.ok
    assert done.out == ""


def test_memory_backed_folders_are_small(space: Workspace) -> None:
    done = attack(
        space,
        "head -c 5000000 /dev/zero >/dev/shm/a && echo CONTROL; head -c 50000000 /dev/zero >/dev/shm/b",
        memory_mb=100,
    )
    assert done.out == "CONTROL\n"
    assert not done.ok


def test_a_flood_of_output(space: Workspace, tmp_path: Path) -> None:
    box = sandbox.make(SandboxConfig())
    copy = tmp_path / "copy"
    done = box.run(Command(["yes"], timeout=0.5, output_cap=10_000, output_file=copy), space)
    assert done.killed_by == "timeout"
    assert done.truncated
    assert len(done.stdout) < 11_000
    assert copy.stat().st_size <= 64_000_000
