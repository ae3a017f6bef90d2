"""Hangs up on a server that keeps an answer waiting for too long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from msgspec import Struct

from sprint.errors import ModelTrouble
from sprint.model.faults import Fault, Remedy

_SECONDS_FOR_USAGE = 10.0
_SECONDS_FOR_THE_REST = 0.5
_LOOK_SECONDS = 0.5


class Wait(Struct, frozen=True):
    """How long an answer may take: seconds to its first piece, then between two, and until `deadline`.

    `deadline` is a time of `time.monotonic()`. `is_unwanted` is asked twice a second, and ends it at once.
    """

    first_token: float
    silence: float
    deadline: float
    is_unwanted: Callable[[], bool] = lambda: False


class Watchdog:
    """Watches, from a thread of its own, while its block runs; `fired` once it hung up.

    Before the first piece of the answer any sign of life counts: a server that queues the request, or reads a
    long prompt, may say that it is there. Afterwards only pieces of the answer do.
    """

    def __init__(self, hang_up: Callable[[], None], wait: Wait) -> None:
        self.fired = False
        self._hang_up = hang_up
        self._wait = wait
        self._longest = wait.first_token
        self._has_begun = False
        self._last_heard = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="model-watchdog", daemon=True)

    def alive(self) -> None:
        """The server gave a sign of life."""
        if not self._has_begun:
            self._last_heard = time.monotonic()

    def heard(self) -> None:
        """A piece of the answer came."""
        self._has_begun, self._longest = True, self._wait.silence
        self._last_heard = time.monotonic()

    def expect_the_end(self) -> None:
        """The answer is there; only its token count may still come, and is not worth a long wait."""
        self._longest = min(self._longest, _SECONDS_FOR_USAGE)

    def expect_nothing_more(self) -> None:
        """All is there; only the connection is still read to its next beginning."""
        self._longest, self._last_heard = _SECONDS_FOR_THE_REST, time.monotonic()

    @property
    def fault(self) -> Fault:
        """Why it hung up. A prompt that was read for so long is not sent once more: that begins anew."""
        if time.monotonic() >= self._wait.deadline:
            return Fault(Remedy.WAIT, "the time was over before it had answered")
        if self._has_begun:
            reason = f"no answer for {self._wait.silence:g} s (limits.silence_seconds)"
            return Fault(Remedy.WAIT, reason)
        reason = (
            f"no first token within {self._wait.first_token:g} s; raise limits.first_token_seconds, if it "
            "reads a prompt for longer"
        )
        return Fault(Remedy.LATER, reason, ModelTrouble.SLOW)

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        # Awake often enough to see that the wait has become a shorter one.
        while not self._done.wait(min(max(self._due() - time.monotonic(), 0), _LOOK_SECONDS)):
            if time.monotonic() >= self._due() or self._wait.is_unwanted():
                self.fired = True
                break
        # The connection may not be there yet when the time is over.
        while not self._done.wait(0.05):
            self._hang_up()

    def _due(self) -> float:
        return min(self._last_heard + self._longest, self._wait.deadline)
