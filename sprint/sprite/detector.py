"""Tells an agent that gets nowhere, and then stops it: one pure detector, fed with events by whoever watches.

The standard library only, and nothing of sprint: this file by itself is also what a supervisor on another
machine runs. It keeps no clock: times are the feeder's, in seconds, on any clock that never goes back.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, deque
from typing import NamedTuple

_LONGEST_PERIOD = 4
_CIRCLES = (3, 5)  # told at, stopped at; the same holds for the pairs below
_MISTAKES = (4, 6)
_FAILURES = (6, 10)
_EDITS = (15, 30)  # of one file, with no command in between that went well
_RETRIES = (5, 12)
_WINDOW = 20  # calls; what is alike further apart than that has another cause
_VARYING = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{7,64}\b|\d+", re.I)


class Event(NamedTuple):
    """One thing that an agent did, or that was seen of it. Which fields count depends on `kind`:

    began      a call that takes its time; its end comes as `call`
    call       `call` (tool and arguments) gave `result`. `mistake`: why the call was refused, `failure`: what
               a failed command said last; both "" for what went well. `path`: the file that it edited.
    text       the agent said something
    progress   something came of it: a commit, changed files, a check that passes
    retry      the model's server was asked once more for the same answer
    heartbeat  its process lives, which says nothing of the work
    """

    kind: str
    at: float = 0.0
    call: str = ""
    result: str = ""
    mistake: str = ""
    failure: str = ""
    path: str = ""


class Silence(NamedTuple):
    """How many seconds an agent may do nothing: told at `warn`, stopped at `stop`, or, while a call of its
    own runs, at `in_call`."""

    warn: float = 60.0
    stop: float = 300.0
    in_call: float = 1200.0


class Advice(NamedTuple):
    """`note` is for the agent, or for whoever watches; `stop` ends the run and says why."""

    note: str = ""
    stop: str = ""


def normalised(text: str) -> str:
    """Text without what differs from one time to the next: numbers, times, addresses, ids."""
    return " ".join(_VARYING.sub("#", text).split()).lower()


class Detector:
    """Watches one agent. `began`: when it was started, for `quiet`, which without `silence` says nothing."""

    def __init__(self, silence: Silence | None = None, began: float = 0.0) -> None:
        self._silence = silence
        self._last_sign = began
        self._is_in_call = False
        self._said_quiet = False
        self._steps: deque[str] = deque(maxlen=_LONGEST_PERIOD * _CIRCLES[1])
        self._mistakes: deque[str] = deque(maxlen=_WINDOW)
        self._failures: deque[str] = deque(maxlen=_WINDOW)
        self._known: set[str] = set()
        self._edits: Counter[str] = Counter()
        self._retries = 0

    def saw(self, event: Event) -> Advice:
        """Take in an event, in the order in which they happened."""
        if event.kind == "heartbeat":
            return Advice()
        if event.kind == "retry":
            self._retries += 1
            return self._too_many_retries()
        self._retries = 0
        self._last_sign = max(self._last_sign, event.at)
        self._is_in_call = event.kind == "began"
        self._said_quiet = False
        if event.kind == "progress":
            self._got_on()
        return self._call(event) if event.kind == "call" else Advice()

    def quiet(self, now: float) -> Advice:
        """What is to be said of an agent that has done nothing until `now`; ask as often as you like."""
        if self._silence is None:
            return Advice()
        seconds = now - self._last_sign
        limit = self._silence.in_call if self._is_in_call else self._silence.stop
        if seconds >= limit:
            what = "a call that does not end" if self._is_in_call else "nothing was done or said"
            return Advice(stop=f"{what} for {seconds:.0f} s")
        if seconds >= self._silence.warn and not self._is_in_call and not self._said_quiet:
            self._said_quiet = True
            return Advice(note=f"nothing was done or said for {seconds:.0f} s")
        return Advice()

    def _call(self, event: Event) -> Advice:
        went_well = not event.mistake and not event.failure
        digest = _digest(event.call)
        # New ground is progress; reading the same file between two mistakes is none.
        if went_well and (event.path or digest not in self._known):
            self._got_on()
        self._known.add(digest)
        self._mistakes.append(normalised(event.mistake))
        self._failures.append(normalised(event.failure))
        self._steps.append(_digest(f"{event.call}\0{normalised(event.result)}"))
        return (
            self._circles()
            or self._same_mistake(event.mistake)
            or self._same_failure(event.failure)
            or self._churn(event, went_well)
            or Advice()
        )

    def _got_on(self) -> None:
        self._mistakes.clear()
        self._failures.clear()

    def _circles(self) -> Advice | None:
        steps = list(self._steps)
        for period in range(1, _LONGEST_PERIOD + 1):
            times = _repetitions(steps, period)
            what = "the same call" if period == 1 else f"the same {period} calls"
            if times >= _CIRCLES[1]:
                return Advice(stop=f"{what} with the same result {times} times in a row")
            if times >= _CIRCLES[0]:
                return Advice(
                    note=f"You have made {what} {times} times in a row, with the same result each time. It "
                    "will not change: do something else, or call finish with a question."
                )
        return None

    def _same_mistake(self, mistake: str) -> Advice | None:
        times = self._mistakes.count(normalised(mistake)) if mistake else 0
        if times >= _MISTAKES[1]:
            return Advice(stop=f"the same mistake {times} times: {mistake[:200]}")
        if times == _MISTAKES[0]:
            return Advice(note="The same mistake again and again: read what it says and do it another way.")
        return None

    def _same_failure(self, failure: str) -> Advice | None:
        times = self._failures.count(normalised(failure)) if failure else 0
        if times >= _FAILURES[1]:
            return Advice(stop=f"commands failed alike {times} times: {failure[:200]}")
        if times == _FAILURES[0]:
            return Advice(
                note="Your commands keep failing in the same way: find another way, or ask a question."
            )
        return None

    def _churn(self, event: Event, went_well: bool) -> Advice | None:
        if not event.path:
            if went_well:
                self._edits.clear()
            return None
        self._edits[event.path] += 1
        times = self._edits[event.path]
        if times >= _EDITS[1]:
            return Advice(stop=f"{event.path} was edited {times} times, and no command went well in between")
        if times == _EDITS[0]:
            return Advice(
                note=f"You have edited {event.path} {times} times and run nothing that went well in between: "
                "run what tells whether it is right, and read the whole file before the next edit."
            )
        return None

    def _too_many_retries(self) -> Advice:
        if self._retries >= _RETRIES[1]:
            return Advice(stop=f"the model's server was asked {self._retries} times for one answer")
        if self._retries == _RETRIES[0]:
            return Advice(note=f"the model's server was asked {self._retries} times for one answer")
        return Advice()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _repetitions(steps: list[str], period: int) -> int:
    """How many times the last `period` steps stand at the end, one after the other."""
    block = steps[-period:]
    if len(block) < period or (period > 1 and len(set(block)) == 1):
        return 0
    times = 0
    while steps[len(steps) - (times + 1) * period : len(steps) - times * period] == block:
        times += 1
    return times
