"""One run for its page: what is in it now, and what its files say from look to look."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sprint import transcript
from sprint.clean_text import safe_line
from sprint.domain import Phase, Run
from sprint.monitor.html import page, patch, run_page
from sprint.runs import RunStore
from sprint.serve.feed import Look
from sprint.terminal_text import shown
from sprint.view import words
from sprint.view.run_view import RunView

SECONDS = 0.5  # between two looks: as often as a run tells what it does
_LINES = 500  # of what happened before somebody looked
_WIDTH = 1000  # characters; the browser wraps them
_LEAST_SECONDS = 1.0  # between two pages of a run, however much it writes
_PAGES_KEPT = 16
FILES = (transcript.NAME, transcript.RAW, patch.NAME)
OUTPUTS = "outputs"


class RunLooks:
    """Looks at one run's files, for its feed."""

    def __init__(self, store: RunStore, run: Run) -> None:
        self._store = store
        self._run = run
        self._view: RunView | None = None

    def look(self) -> Look:
        view = self._view = self._view or RunView(self._store, self._run)
        was_over = view.is_over
        lines = [
            (style, indent, shown(text)) for style, indent, text in words.lines_in_full(view.look(), _WIDTH)
        ]
        return Look(lines[-_LINES:], _state(view), is_over=was_over and not view.has_more)

    def close(self) -> None:
        if self._view:
            self._view.close()
            self._view = None


def stamp(run: Run) -> str:
    """What the page of a run depends on, besides its transcript: with another stamp it is to be read anew."""
    parts = (run.phase, run.outcome or "", run.paused_since or "", run.pr_url, len(run.paused_why))
    return "/".join(map(str, parts))


def _state(view: RunView) -> dict[str, Any]:
    """How a run stands, as texts to be shown and moments (seconds since 1970) that a browser counts from."""
    run, seen = view.run, view.glance
    said = [words.PHASES.get(seen.phase, seen.phase)]
    if run.paused_since:
        said = [f"rests: {run.paused_why}"]
    if seen.turn:
        used = words.tokens(seen.usage.prompt_tokens, seen.usage.completion_tokens, seen.usage.cost_usd)
        said += [f"turn {seen.turn}", seen.model, used]
    doing = seen.doing
    if seen.what == "model":
        doing += f" answers: {seen.answered:,} characters" if seen.answered else " is asked"
    return {
        "stamp": stamp(run),
        "said": _line(" · ".join(filter(None, said))),
        "doing": _line(doing),
        "since": seen.since.timestamp() if seen.since else None,
        "longest": seen.longest,
        "ends": seen.ends.timestamp() if seen.ends else None,
        "output": _line(seen.output),
        "over": view.is_over,
    }


def _line(text: str) -> str:
    return shown(safe_line(text, 500))


class RunPages:
    """Pages of runs, each made again when its files have changed, once for all viewers; from any thread."""

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._made: OrderedDict[str, tuple[float, object, bytes]] = OrderedDict()

    def page(self, run_id: str) -> bytes:
        """The run's page, a second old at most. Raises SprintError, also where there is no such run."""
        folder = self._store.folder(run_id)
        with self._lock:
            made_at, seen, made = self._made.get(run_id, (-math.inf, None, b""))
            if time.monotonic() - made_at < _LEAST_SECONDS:
                return made
            key = [_written(folder / name) for name in ("run.json", *FILES)]
            if key != seen:
                made = _render(self._store, self._store.load(run_id))
            self._made[run_id] = (time.monotonic(), key, made)
            self._made.move_to_end(run_id)
            while len(self._made) > _PAGES_KEPT:
                self._made.popitem(last=False)
            return made


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _render(store: RunStore, run: Run) -> bytes:
    folder = store.folder(run.id)

    def link(name: str) -> str:
        return f"/runs/{quote(run.id)}/files/{quote(name)}" if file_of(folder, name) else ""

    values = run_page.values(folder, run, link, "/")
    is_over = run.phase is Phase.SETTLED
    return page.render("live_run", stamp="" if is_over else stamp(run), is_served=True, **values)


def file_of(folder: Path, name: str) -> Path | None:
    """A file that a run's page links to; None for any other, and for what leads out of the folder."""
    if name not in FILES and not name.startswith(f"{OUTPUTS}/"):
        return None
    return run_page.file_in(folder, name) if ".." not in name.split("/") else None
