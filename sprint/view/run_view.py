"""One run as it goes on: what its files say at each look."""

from __future__ import annotations

import contextlib

from sprint.domain import Phase, Run
from sprint.errors import SprintError
from sprint.runs import RunStore
from sprint.view import glance
from sprint.view.tail import Event, RunTail


class RunView:
    """One run as it goes on. `run` is as run.json had it at the last look, `glance` how its events have it.

    `has_more`: the last look left some of it for the next.
    """

    def __init__(self, store: RunStore, run: Run) -> None:
        self.run = run
        self.glance = glance.Glance(phase=run.phase)
        self._store = store
        self._path = store.folder(run.id) / "run.json"
        self._tail = RunTail(self._path.parent)
        self._stamp = 0

    @property
    def is_over(self) -> bool:
        return self.run.phase is Phase.SETTLED

    @property
    def has_more(self) -> bool:
        return self._tail.more

    def look(self) -> list[Event]:
        """What happened since the last look."""
        with contextlib.suppress(OSError, SprintError):  # the next look may have it
            stamp = self._path.stat().st_mtime_ns
            if stamp != self._stamp:
                self.run, self._stamp = self._store.load(self.run.id), stamp
        events = self._tail.read()
        for event in events:
            self.glance = glance.after(self.glance, event)
        return events

    def close(self) -> None:
        self._tail.close()
