"""runs/<id>/gateway.jsonl: the packages that a run asked for and nobody had named, and what was refused.

One JSON object a line, each with `at` (ISO time, UTC) and `event`:

- name: `index` and `name`, a package that the lock files of the run's base do not have
- refused: `route`, `what` was asked for, and `why` it was not let through
- unanswered: `route`, `what` was asked for, and `why` no answer came from outside

It is kept over all of a run's set-ups: the names in it are those that the run has used up of its allowance.
"""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from pathlib import Path

from sprint import json_file
from sprint.clean_text import safe_line

NAME = "gateway.jsonl"
MOST_NOTES = 500  # besides names; what asks in a loop must not fill the disk
_log = logging.getLogger(__name__)


def count_refused(folder: Path) -> int:
    """How many requests of a run were not let through, as far as they were noted."""
    return sum(event.get("event") == "refused" for event in json_file.lines(folder / NAME))


class Journal:
    """Appends to one run's file; from any thread."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._lock = threading.Lock()
        self.names: set[tuple[str, str]] = set()
        self._refusals: dict[str, str] = {}  # what was asked for last, by why not
        self._notes = 0
        for event in self._read():
            if event.get("event") == "name":
                self.names.add((str(event.get("index")), str(event.get("name"))))
            else:
                self._notes += 1

    def name(self, index: str, name: str, most: int) -> bool:
        """Note that a name is asked for, once; False where that would be more than `most` of them."""
        with self._lock:
            if (index, name) in self.names:
                return True
            if len(self.names) >= most:
                return False
            self.names.add((index, name))
            self._append("name", index=index, name=name)
            return True

    def refused(self, route: str, what: str, why: str) -> None:
        """Note, here and in the run's log, what was not let through."""
        with self._lock:
            self._refusals[why] = what
        self._note("refused", route, what, why)

    def unanswered(self, route: str, what: str, why: str) -> None:
        """Note, here and in the run's log, what was let through in vain."""
        self._note("unanswered", route, what, why)

    def take_refusals(self) -> str:
        """What has been refused since this was asked last, for a sentence; "" where nothing was."""
        with self._lock:
            taken, self._refusals = self._refusals, {}
        shown = [f"{safe_line(what, 200)} ({safe_line(why, 200)})" for why, what in list(taken.items())[-3:]]
        return f"the gateway refused {', '.join(shown)}" if shown else ""

    def _note(self, event: str, route: str, what: str, why: str) -> None:
        with self._lock:
            self._notes += 1
            count = self._notes
            if count <= MOST_NOTES:
                self._append(event, route=route, what=what[:500], why=why[:500])
        if count <= MOST_NOTES:
            more = "; nothing more is noted" if count == MOST_NOTES else ""
            _log.info("gateway: %s: %s %s: %s%s", event, route, safe_line(what, 200), safe_line(why), more)

    def _append(self, event: str, **fields: str) -> None:
        record = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}
        json_file.add_line(self._path, record)

    def _read(self) -> list[dict[str, object]]:
        return list(json_file.lines(self._path))
