"""Tells a model that goes round in circles, and then stops it."""

from __future__ import annotations

import hashlib
import re
from collections import deque
from dataclasses import dataclass

_LONGEST_PERIOD = 4
_TOLD_AT, _STOPPED_AT = 3, 5
_ERRORS_TOLD_AT, _ERRORS_STOPPED_AT = 4, 6
_FAILURES_TOLD_AT, _FAILURES_STOPPED_AT = 6, 10
_VARYING = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{7,64}\b|\d+", re.I)


@dataclass(frozen=True)
class Advice:
    """`note` goes to the model; `stop` ends the run and says why."""

    note: str = ""
    stop: str = ""


def normalised(text: str) -> str:
    """Text without what differs from one time to the next: numbers, times, addresses, ids."""
    return " ".join(_VARYING.sub("#", text).split()).lower()


class Detector:
    """Watches calls and their results, in the order in which they were made."""

    def __init__(self) -> None:
        self._steps: deque[str] = deque(maxlen=_LONGEST_PERIOD * _STOPPED_AT)
        self._mistake = ""
        self._mistakes = 0
        self._failure = ""
        self._failures = 0

    def saw(self, call: str, result: str, *, mistake: str = "", failure: str = "") -> Advice:
        """One call and its result. `mistake` is the kind of a refused call, `failure` what a failed command
        said last; both are "" for what went well."""
        step = hashlib.sha256(f"{call}\0{normalised(result)}".encode("utf-8", "replace")).hexdigest()
        self._steps.append(step)
        return self._circles() or self._same_mistake(mistake) or self._same_failure(failure) or Advice()

    def _circles(self) -> Advice | None:
        steps = list(self._steps)
        for period in range(1, _LONGEST_PERIOD + 1):
            times = _repetitions(steps, period)
            what = "the same call" if period == 1 else f"the same {period} calls"
            if times >= _STOPPED_AT:
                return Advice(stop=f"{what} with the same result {times} times in a row")
            if times >= _TOLD_AT:
                return Advice(
                    note=f"You have made {what} {times} times in a row, with the same result each time. It "
                    "will not change: do something else, or call finish with a question."
                )
        return None

    def _same_mistake(self, mistake: str) -> Advice | None:
        kind = normalised(mistake)
        self._mistakes = self._mistakes + 1 if kind and kind == self._mistake else int(bool(kind))
        self._mistake = kind
        if self._mistakes >= _ERRORS_STOPPED_AT:
            return Advice(stop=f"the same mistake {self._mistakes} times in a row: {mistake[:200]}")
        if self._mistakes == _ERRORS_TOLD_AT:
            return Advice(note="The same mistake again and again: read what it says and do it another way.")
        return None

    def _same_failure(self, failure: str) -> Advice | None:
        kind = normalised(failure)
        self._failures = self._failures + 1 if kind and kind == self._failure else int(bool(kind))
        self._failure = kind
        if self._failures >= _FAILURES_STOPPED_AT:
            return Advice(stop=f"commands failed alike {self._failures} times in a row: {failure[:200]}")
        if self._failures == _FAILURES_TOLD_AT:
            return Advice(
                note="Your commands keep failing in the same way: find another way, or ask a question."
            )
        return None


def _repetitions(steps: list[str], period: int) -> int:
    """How many times the last `period` steps stand at the end, one after the other."""
    block = steps[-period:]
    if len(block) < period or (period > 1 and len(set(block)) == 1):
        return 0
    times = 0
    while steps[len(steps) - (times + 1) * period : len(steps) - times * period] == block:
        times += 1
    return times
