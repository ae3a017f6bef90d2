"""What is done beside something else ends when nobody waits for it any more."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from sprint import beside, proc
from sprint.beside import Beside, ending
from sprint.domain import Completed
from sprint.errors import EndedEarly, Stopped
from tests.waiting import wait_until


class Sleeper:
    """Work that is a program which ends by being ended."""

    def __init__(self) -> None:
        self.is_there = threading.Event()
        self._pid = 0

    def __call__(self, watch: Callable[[], str]) -> Completed:
        return proc.run(["sleep", "300"], timeout=300, watch=watch, on_start=self._begun)

    def _begun(self, pid: int) -> None:
        self._pid = pid
        self.is_there.set()

    @property
    def is_alive(self) -> bool:
        assert self.is_there.wait(60)
        return Path(f"/proc/{self._pid}").exists()


@pytest.fixture
def sleeper(monkeypatch: pytest.MonkeyPatch) -> Sleeper:
    monkeypatch.setattr(beside, "_STOP_SECONDS", 60)  # on a machine that has much else to do
    return Sleeper()


def interrupt_a_wait(thread: int) -> None:
    """Interrupt this process once that thread waits for a result."""

    def waits() -> bool:
        frame = sys._current_frames()[thread]
        places = [(at.f_code.co_filename, at.f_code.co_name) for at, _ in traceback.walk_stack(frame)]
        return places[0][0] == threading.__file__ and (beside.__file__, "result") in places

    assert wait_until(waits)
    os.kill(os.getpid(), signal.SIGINT)


def test_what_it_gave_or_raised_is_had_as_often_as_wanted() -> None:
    given = Beside(lambda watch: watch() + "done")
    assert [given.result(), given.result()] == ["done", "done"]
    given.stop()
    assert given.result() == "done"
    failed = Beside(lambda _: 1 // 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            failed.result()


def test_whoever_waits_for_it_may_leave_it_to_others() -> None:
    go = threading.Event()
    working = Beside(lambda _: go.wait(60))
    leaving = Beside(working.result)
    leaving.stop()
    with pytest.raises(Stopped):
        leaving.result()
    with pytest.raises(EndedEarly, match="it is closed"):
        working.result(ending(lambda: "it is closed"))
    assert not working.is_done
    go.set()
    assert working.result()


def test_its_command_is_ended_once_nobody_waits(sleeper: Sleeper) -> None:
    working = Beside(sleeper)
    assert sleeper.is_alive
    working.stop()
    assert not sleeper.is_alive
    with pytest.raises(Stopped):
        working.result()


def test_its_command_is_ended_where_whoever_waits_is_told_to_stop(sleeper: Sleeper) -> None:
    """Python up to 3.12 takes a thread for a dead one whose join was interrupted."""
    working = Beside(sleeper)
    assert sleeper.is_alive
    threading.Thread(target=interrupt_a_wait, args=(threading.get_ident(),)).start()
    with pytest.raises(KeyboardInterrupt):
        working.result()
    assert not sleeper.is_alive
