"""Commands end when they should, and nothing of them is left."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from sprint import proc
from sprint.errors import SprintError
from tests.waiting import is_alive, wait_until


def sh(script: str, **options: object) -> proc.Completed:
    return proc.run(["sh", "-c", script], **{"timeout": 20, **options})  # type: ignore[arg-type]


def gone_soon(pid: int) -> bool:
    """Long before the minute that these children sleep is over."""
    return wait_until(lambda: not is_alive(pid), 5)


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


def test_a_watch_ends_the_command_and_its_background() -> None:
    done = proc.run(["sh", "-c", "sleep 60 & echo $!; sleep 60"], timeout=60, watch=lambda: "stopped")
    assert done.killed_by == "stopped"
    assert done.seconds < 10
    assert gone_soon(int(done.out))


def test_a_watch_is_asked_at_least_four_times_a_second_whatever_the_command_does() -> None:
    for script in ("sleep 1.5", "yes & sleep 1.5"):
        asked: list[float] = []
        done = sh(script, watch=lambda asked=asked: asked.append(time.monotonic()) or "", output_cap=1000)
        assert done.killed_by == ""
        assert len(asked) >= 4  # six on an idle machine


def test_a_watch_that_raises_ends_the_command_too() -> None:
    seen = []

    def watch() -> str:
        if not seen:
            return ""
        raise SprintError("the forge is gone")

    with pytest.raises(SprintError, match="the forge is gone"):
        sh("sleep 60 & echo $!; sleep 60", watch=watch, on_line=seen.append)
    assert gone_soon(int(seen[0]))


def test_lines_come_while_the_command_runs(tmp_path: Path) -> None:
    """The command waits for an answer to its first line before it writes the second."""
    answer = tmp_path / "answer"
    lines: list[bytes] = []

    def on_line(line: bytes) -> None:
        lines.append(line)
        answer.touch()

    wait = f"until [ -e {answer} ]; do sleep 0.01; done"
    script = f"echo one; {wait}; printf tw; echo o; echo e >&2; printf '\\nlast'"
    assert sh(script, on_line=on_line).ok
    assert lines == [b"one", b"two", b"", b"last"]


def test_a_last_line_comes_from_a_command_that_was_ended_too() -> None:
    lines: list[bytes] = []
    done = sh(
        "echo one; printf two; sleep 60", on_line=lines.append, watch=lambda: "enough" if len(lines) else ""
    )
    assert done.killed_by == "enough"
    assert lines[0] == b"one"
    assert lines[1:] in ([], [b"two"])


def test_a_line_without_end_is_cut_and_marked() -> None:
    lines: list[bytes] = []
    done = sh(
        "head -c 18500000 /dev/zero | tr '\\0' x; echo; echo next", on_line=lines.append, output_cap=100
    )
    assert done.ok
    assert [line[:1] for line in lines] == [b"x", b"n"]
    assert lines[0] == b"x" * 16_000_000 + b" ... 2500000 bytes left out ..."
    assert lines[1] == b"next"


def test_what_reads_lines_cannot_end_the_runner(caplog: pytest.LogCaptureFixture) -> None:
    lines: list[bytes] = []

    def on_line(line: bytes) -> None:
        lines.append(line)
        raise ValueError("no JSON")

    done = sh("echo one; echo two", on_line=on_line)
    assert (done.ok, done.out, lines) == (True, "one\ntwo\n", [b"one", b"two"])
    assert "no JSON" in caplog.text


def test_input_from_a_file(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.write_bytes(os.urandom(3_000_000))
    done = proc.run(["cat"], timeout=20, stdin_file=given)
    assert done.stdout == given.read_bytes()
    assert proc.run(["true"], timeout=20, stdin_file=given).ok
    given.write_bytes(b"")
    assert proc.run(["cat"], timeout=20, stdin_file=given).stdout == b""


def test_input_from_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SprintError, match=f"cannot read {tmp_path}/gone: No such file"):
        proc.run(["cat"], timeout=20, stdin_file=tmp_path / "gone")


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
