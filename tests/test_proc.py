"""Commands end when they should, and nothing of them is left."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from sprint import proc
from sprint.errors import SprintError


def sh(script: str, **options: object) -> object:
    return proc.run(["sh", "-c", script], **{"timeout": 20, **options})  # type: ignore[arg-type]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone_soon(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive(pid)


def test_output_and_exit_code_come_back() -> None:
    done = proc.run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout=20)
    assert (done.exit_code, done.out, done.err, done.ok) == (3, "out\n", "err\n", False)


def test_the_environment_is_made_from_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "secret")
    names = {line.split("=")[0] for line in proc.run(["env"], timeout=20).out.splitlines()}
    assert names == {"PATH", "LANG"}


def test_input_larger_than_a_pipe_goes_through() -> None:
    data = os.urandom(3_000_000)
    assert proc.run(["cat"], timeout=20, stdin=data).stdout == data


def test_input_that_nobody_reads_is_no_fault() -> None:
    assert proc.run(["true"], timeout=20, stdin=b"x" * 1_000_000).ok


def test_a_timeout_ends_the_whole_group() -> None:
    started = time.monotonic()
    done = proc.run(["sh", "-c", "sleep 60 & echo $!; sleep 60"], timeout=0.5)
    assert done.killed_by == "timeout"
    assert not done.ok
    assert time.monotonic() - started < 10
    assert gone_soon(int(done.out))


def test_a_background_child_neither_delays_nor_survives_the_end() -> None:
    started = time.monotonic()
    done = proc.run(["sh", "-c", "sleep 60 & echo $!"], timeout=30)
    assert done.ok
    assert time.monotonic() - started < 10
    assert gone_soon(int(done.out))


def test_a_flooding_background_child_does_not_turn_success_into_a_timeout() -> None:
    done = proc.run(["sh", "-c", "yes & exit 0"], timeout=15, output_cap=1000)
    assert done.exit_code == 0
    assert done.killed_by == ""
    assert done.seconds < 10


def test_huge_output_keeps_head_and_tail() -> None:
    done = proc.run(["sh", "-c", "echo head; yes x | head -c 500000; echo tail"], timeout=20, output_cap=1000)
    assert done.truncated
    assert done.out.startswith("head\n")
    assert done.out.endswith("tail\n")
    assert "bytes left out" in done.out
    assert len(done.stdout) < 1100


def test_the_whole_output_is_copied_to_a_file(tmp_path: Path) -> None:
    copy = tmp_path / "out.log"
    done = proc.run(["sh", "-c", "yes | head -c 50000"], timeout=20, output_cap=100, output_file=copy)
    assert done.truncated
    assert copy.stat().st_size == 50000
    proc.run(["sh", "-c", "yes | head -c 50000"], timeout=20, output_file=copy, output_file_cap=60000)
    assert copy.stat().st_size == 60000


def test_a_watch_ends_the_command() -> None:
    done = proc.run(["sleep", "60"], timeout=60, watch=lambda: "disk", watch_interval=0.05)
    assert done.killed_by == "disk"


def test_a_missing_program_is_one_sentence() -> None:
    with pytest.raises(SprintError, match="cannot start no-such-program: not found; install it, or"):
        proc.run(["no-such-program"], timeout=1)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_another_uid_has_no_groups_of_ours() -> None:
    assert proc.run(["id", "-u"], timeout=20, uid=54321).out == "54321\n"
    assert proc.run(["id", "-G"], timeout=20, uid=54321).out == "54321\n"


def test_no_file_descriptor_is_handed_down_unasked() -> None:
    read, write = os.pipe()
    os.set_inheritable(write, True)
    try:
        listed = proc.run(["ls", "-l", "/proc/self/fd"], timeout=20).out
        handed = proc.run(["ls", "-l", "/proc/self/fd"], timeout=20, pass_fds=[write]).out
    finally:
        os.close(read)
        os.close(write)
    assert f" {write} -> pipe" not in listed
    assert f" {write} -> pipe" in handed


def test_many_threads_at_once_do_not_hold_each_others_pipes() -> None:
    results = []

    def work() -> None:
        results.append(proc.run(["sh", "-c", "cat; echo done"], timeout=20, stdin=b"in\n").out)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == ["in\ndone\n"] * 8
