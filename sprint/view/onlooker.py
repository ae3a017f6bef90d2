"""Looks at runs again and again and has a painter show what is new: a named run, or this process's own."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from sprint import logs, proc
from sprint.clean_text import safe_line
from sprint.domain import Run
from sprint.errors import SprintError
from sprint.runs import RunStore
from sprint.view import words
from sprint.view.paint import Painter, painter_for
from sprint.view.run_view import RunView

_LOOK_SECONDS = 0.25

_log = logging.getLogger(__name__)


def follow(store: RunStore, run: Run, out: TextIO) -> None:
    """Write all that a run did, and go on with it until it is over, or until Ctrl-C: the run goes on then."""
    view, painter, wait = RunView(store, run), painter_for(out), threading.Event()
    with contextlib.suppress(KeyboardInterrupt), contextlib.closing(view), painter:
        is_last = False
        while not is_last or view.has_more:
            is_last = view.is_over
            painter.show(words.lines_in_full(view.look(), painter.width), [view])
            if not (is_last or view.has_more):
                wait.wait(_LOOK_SECONDS)


@contextlib.contextmanager
def looking_on(results: Path, out: TextIO) -> Iterator[None]:
    """Show on `out` what the runs do that this process brings on, while the block runs."""
    painter = painter_for(out)
    onlooker = _Onlooker(RunStore(results), painter)
    thread = threading.Thread(target=onlooker.keep_looking, name="onlooker", daemon=True)
    with painter, logs.beside(onlooker.aside):
        thread.start()
        try:
            yield
        finally:
            onlooker.done.set()
            thread.join()


class _Onlooker:
    """Looks from a thread of its own until `done` is set, and then once more."""

    def __init__(self, store: RunStore, painter: Painter) -> None:
        self.done = threading.Event()
        self._store = store
        self._painter = painter
        self._host = proc.hostname()
        self._began = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._views: dict[str, RunView] = {}
        self._lock = threading.RLock()
        self._is_blind = False

    def aside(self) -> AbstractContextManager[None]:
        """What is said by others comes after all that happened before."""
        self._look()
        return contextlib.nullcontext() if self._is_blind else self._painter.aside()

    def keep_looking(self) -> None:
        while not self.done.wait(_LOOK_SECONDS):
            self._look()
        self._look()
        for view in self._views.values():
            view.close()

    def _look(self) -> None:
        """Once it fails, nothing is shown any more: a reader that went away ends no run."""
        with self._lock:
            if self._is_blind:
                return
            try:
                self._find_own()
                self._show_news()
            except Exception:  # noqa: BLE001 - whatever is wrong with the view, the run goes on
                self._is_blind = True
                _log.debug("what happens is not shown any more", exc_info=True)

    def _show_news(self) -> None:
        shown = [view for view in self._views.values() if not view.is_over]
        lines: list[words.Line] = []
        for view in shown:
            name = f"{view.run.repo} #{view.run.issue} " if len(shown) > 1 else ""
            for event in view.look():
                if str(event.get("at", "")) >= self._began:  # not what an earlier process did
                    lines += [(style, at, name + text) for style, at, text in words.in_brief(event)]
        self._painter.show(lines, [view for view in shown if not view.is_over])

    def _find_own(self) -> None:
        for run_id in self._store.active_ids():
            if run_id in self._views:
                continue
            with contextlib.suppress(SprintError):
                run = self._store.load(run_id)
                if (run.host, run.pid) == (self._host, os.getpid()):
                    self._views[run_id] = RunView(self._store, run)
                    self._painter.show([("head", 0, _title(run))], [])


def _title(run: Run) -> str:
    return safe_line(f"{run.repo} {run.about} {run.title} (worker {run.worker}, run {run.id})", 300)
