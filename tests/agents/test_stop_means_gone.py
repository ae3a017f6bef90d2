"""However an agent is ended, of all that it started nothing is left, and its way to the model is shut."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.agents.model import ScriptedModel
from tests.agents.test_real_agents import Bed, shell
from tests.agents.test_real_agents import bed as bed  # a fixture
from tests.servers.replies import Reply
from tests.waiting import is_open, wait_until

MARK = f"4331.{os.getpid()}"  # of this process alone: tests run beside each other
Script = Callable[[dict[str, Any], int], Reply]
LEAVES_CHILDREN = f"setsid sleep {MARK} & (setsid sleep {MARK} &) ; sleep {MARK}"


def asking(asked: dict[str, Any], number: int) -> Reply:
    return shell(asked, LEAVES_CHILDREN)


def in_background(asked: dict[str, Any]) -> Reply:
    return shell(asked, f"(setsid sleep {MARK} >/dev/null 2>&1 &)")


def then_silent(asked: dict[str, Any], number: int) -> Reply:
    """Its child lives on in the background while the model says nothing any more."""
    return in_background(asked) if number == 0 else Reply(hang=3600)


def then_dear(asked: dict[str, Any], number: int) -> Reply:
    """The second answer, once the child was seen, is the one that the budget does not last for."""
    if number:
        wait_until(lambda: SEEN.is_set())
    return in_background(asked)


SEEN = threading.Event()
LIMITS: dict[str, tuple[dict[str, float], Script]] = {
    "wall clock": ({"minutes": 0.3}, asking),
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
    (way,) = bed.site.path.glob("results/runs/*/gateway-*/inside/socket")
    assert is_open(way)
    SEEN.set()
    if why in SIGNALS:
        runner.send_signal(SIGNALS[why])
    runner.communicate(timeout=60)
    assert wait_until(lambda: not sleeping()), sleeping()
    uid = bed.site.runs()[0]["uid"]
    assert wait_until(lambda: bed.left_over(uid) == ""), bed.left_over(uid)
    assert not is_open(way)
    rows = [row["outcome"] for row in bed.site.rows()]
    assert rows == (["limit"] if why in ("wall clock", "budget") else []), "else it rests"


def sleeping() -> str:
    return subprocess.run(["pgrep", "-fa", f"^sleep {MARK}"], capture_output=True, text=True).stdout
