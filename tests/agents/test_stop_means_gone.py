"""However an agent is ended, of all that it started nothing is left, and its way to the model is shut."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sprint import proc
from tests.agents.bed import Bed, shell
from tests.agents.model import ScriptedModel
from tests.servers.replies import Reply
from tests.waiting import is_open, wait_until

MARK = f"4331.{os.getpid():08}"  # of this process alone, and no beginning of another one's
WAY = "results/runs/*/gateway-*/inside/socket"
Script = Callable[[dict[str, Any], int], Reply]
LEAVES_CHILDREN = f"setsid sleep {MARK} & (setsid sleep {MARK} &) ; sleep {MARK}"


def asking(asked: dict[str, Any], number: int) -> Reply:
    return shell(asked, LEAVES_CHILDREN)


def in_background(asked: dict[str, Any]) -> Reply:
    return shell(asked, f"(setsid sleep {MARK} >/dev/null 2>&1 &)")


def then_silent(asked: dict[str, Any], number: int) -> Reply:
    """Its child lives on in the background while the model says nothing any more, once it was seen."""
    if number and not SEEN.is_set():
        return shell(asked, f"sleep 0.3; echo {number}")
    return in_background(asked) if number == 0 else Reply(hang=3600)


def then_dear(asked: dict[str, Any], number: int) -> Reply:
    """The second answer, once the child was seen, is the one that the budget does not last for."""
    if number:
        wait_until(lambda: SEEN.is_set())
    return in_background(asked)


SEEN = threading.Event()
LIMITS: dict[str, tuple[dict[str, float], Script]] = {
    "silence": ({"first_token_seconds": 1.0, "silence_seconds": 1.0}, then_silent),
    "budget": ({"usd": 0.0015}, then_dear),
}
SIGNALS = {"SIGTERM": signal.SIGTERM, "SIGKILL": signal.SIGKILL}

ONE_AGENT = pytest.mark.parametrize("bed", ["claude"], indirect=True)


@ONE_AGENT
@pytest.mark.parametrize("why", [*LIMITS, *SIGNALS])
def test_nothing_is_left(bed: Bed, serve: Callable[..., ScriptedModel], why: str) -> None:
    SEEN.clear()
    limits, script = LIMITS.get(why, ({}, asking))
    bed.use(serve(script))
    bed.limit(**limits)
    runner = subprocess.Popen(
        [sys.executable, "-m", "sprint", "run", "acme/widgets"],
        cwd=bed.site.path,
        env=bed.site.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert wait_until(lambda: bool(sleeping())), (
        runner.communicate()[0] if runner.poll() else "it never began"
    )
    (way,) = bed.site.path.glob(WAY)
    assert is_open(way)
    SEEN.set()
    if why in SIGNALS:
        runner.send_signal(SIGNALS[why])
    runner.communicate(timeout=60)
    assert_gone(bed, way)
    rows = [row["outcome"] for row in bed.site.rows()]
    assert rows == (["limit"] if why == "budget" else []), "else it rests"


@ONE_AGENT
def test_nothing_is_left_when_its_time_is_over(
    bed: Bed, serve: Callable[..., ScriptedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of commands goes on by an hour once its children are there."""
    bed.use(serve(asking))
    ahead: list[float] = []
    ways: list[Path] = []
    monkeypatch.setattr(proc, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + sum(ahead)))

    def pass_an_hour() -> None:
        if wait_until(lambda: bool(sleeping())):
            ways.extend(way for way in bed.site.path.glob(WAY) if is_open(way))
        ahead.append(3600)

    hour = threading.Thread(target=pass_an_hour)
    hour.start()
    assert bed.tick() == 0
    hour.join()
    (way,) = ways
    assert_gone(bed, way)
    (row,) = bed.site.rows()
    assert (row["outcome"], row["detail"]) == ("limit", "limits.minutes: 15 minutes are over")


def assert_gone(bed: Bed, way: Path) -> None:
    assert wait_until(lambda: not sleeping()), sleeping()
    uid = bed.site.runs()[0]["uid"]
    assert wait_until(lambda: bed.left_over(uid) == ""), bed.left_over(uid)
    assert not is_open(way)


def sleeping() -> str:
    return subprocess.run(["pgrep", "-fa", f"^sleep {MARK}"], capture_output=True, text=True).stdout
