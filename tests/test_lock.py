"""One holder at a time, and never a dead one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sprint.errors import Busy, SprintError, Stopped
from sprint.lock import lock

HOLD = """
import sys
from pathlib import Path
from sprint.lock import lock
with lock(Path(sys.argv[1]), what="octo/widgets"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def end(child: subprocess.Popen[str]) -> None:
    child.communicate("\n", timeout=20)


def test_busy_names_the_holder(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "a.lock"
    child = holder(path)
    with (
        pytest.raises(Busy, match=rf"process {child.pid} on .* since 20.*\(octo/widgets\)") as caught,
        lock(path),
    ):
        pass
    assert caught.value.exit_code == 0
    end(child)
    with lock(path):
        pass


def test_sigkill_releases_it(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    child = holder(path)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate(timeout=20)
    with lock(path):
        pass


def test_another_thread_of_the_same_process_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with lock(path), pytest.raises(Busy, match=f"process {os.getpid()}"), lock(path):
        pass


def test_waiting_gets_it_when_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    order = []
    waiting = threading.Event()

    def wait() -> None:
        waiting.set()
        with lock(path, wait=20):
            order.append("second")

    thread = threading.Thread(target=wait)
    with lock(path):
        thread.start()
        waiting.wait(10)
        order.append("first")
    thread.join(20)
    assert order == ["first", "second"]


def test_waiting_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with lock(path):
        started = time.monotonic()
        with pytest.raises(Busy), lock(path, wait=0.2):
            pass
        assert 0.2 <= time.monotonic() - started < 5


def test_whoever_watches_ends_the_wait(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"

    def stopping() -> str:
        raise Stopped("stopped")

    with lock(path), pytest.raises(Stopped), lock(path, wait=600, watch=stopping):
        pass
    with lock(path, watch=stopping):
        pass


def test_children_do_not_keep_it(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with lock(path):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with lock(path):
            pass
    finally:
        child.kill()
        child.wait()


def test_a_removed_lock_file_gives_no_two_holders(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    child = holder(path)
    path.unlink()
    with lock(path), pytest.raises(Busy), lock(path):
        pass
    end(child)


def test_a_link_in_its_place_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    (tmp_path / "a.lock").symlink_to(target)
    with pytest.raises(SprintError, match=r"a\.lock"), lock(tmp_path / "a.lock"):
        pass
    assert target.read_text() == "precious"
