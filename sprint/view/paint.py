"""Puts lines on a terminal above one live region that says how runs stand; elsewhere lines, no more.

What is shown was written by models, agents and strangers: nothing in it is taken for markup, and escapes are
shown here, for the region is drawn past the screen that does so elsewhere.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from sprint.clean_text import safe_line
from sprint.terminal_text import shown, to_draw_on
from sprint.view.run_view import RunView
from sprint.view.words import PHASES, Line, tokens

_STYLES = {"head": "bold", "text": "", "dim": "dim", "bad": "red", "note": "yellow"}
_WIDTH = 100  # of lines that go to no terminal


class Painter(Protocol):
    """`width` in characters. Used as a context; then every thread may show."""

    @property
    def width(self) -> int: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, lines: Iterable[Line], views: Sequence[RunView]) -> None:
        """Put these lines down for good, and say how these runs stand now."""
        ...

    def aside(self) -> AbstractContextManager[None]:
        """Whoever writes to the terminal by another way does it in this block."""
        ...


def painter_for(out: TextIO) -> Painter:
    """A live region where `out` is a terminal that can draw one."""
    console = Console(file=to_draw_on(out), highlight=False, markup=False, emoji=False)
    can_draw = out.isatty() and not console.is_dumb_terminal
    return Region(console) if can_draw else Plain(out)


class Plain:
    """Lines as they come."""

    width = _WIDTH

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, lines: Iterable[Line], views: Sequence[RunView]) -> None:
        with self._lock:
            for _, indent, text in lines:
                print(" " * indent + text, file=self._out)
            self._out.flush()

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        with self._lock:
            yield


class Region:
    """Lines above one region that is drawn again and again, and is gone in the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._lock = threading.RLock()

    @property
    def width(self) -> int:
        return self._console.width

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._live.stop()

    def show(self, lines: Iterable[Line], views: Sequence[RunView]) -> None:
        with self._lock:
            texts = [Text(" " * indent + shown(text), style=_STYLES[style]) for style, indent, text in lines]
            if texts:
                self._console.print(Text("\n").join(texts), soft_wrap=True)
            self._live.update(Group(*standing(views, datetime.now(UTC))), refresh=True)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        with self._lock:
            with contextlib.suppress(OSError):
                self._live.stop()
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    self._live.start(refresh=True)


def standing(views: Sequence[RunView], now: datetime) -> Iterator[Text]:
    """How runs stand, in three lines each at most."""
    for view in views:
        run, seen = view.run, view.glance
        yield _row("bold", f"{run.repo} {run.about} {run.title}")
        said = [PHASES.get(seen.phase, seen.phase)]
        if run.paused_since:
            said = [f"rests: {run.paused_why}"]
        if seen.turn:
            used = tokens(seen.usage.prompt_tokens, seen.usage.completion_tokens, seen.usage.cost_usd)
            said += [f"turn {seen.turn}", seen.model, used]
        if seen.ends:
            said.append(f"{_clock((seen.ends - now).total_seconds())} left")
        yield _row("", " · ".join(filter(None, said)))
        if seen.what:
            took = max((now - seen.since).total_seconds(), 0) if seen.since else 0
            bound = f" of {_clock(seen.longest)}" if seen.longest else ""
            yield _row("yellow", f"> {_clock(took)}{bound} · {_doing(view)}")
        if seen.output:
            yield _row("dim", f"  {seen.output}")


def _doing(view: RunView) -> str:
    seen = view.glance
    if seen.what != "model":
        return seen.doing
    return (
        f"{seen.doing} answers: {seen.answered:,} characters" if seen.answered else f"{seen.doing} is asked"
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(int(seconds), 0), 60)
    return f"{minutes}:{rest:02} min" if minutes else f"{rest} s"


def _row(style: str, text: str) -> Text:
    return Text(shown(safe_line(text, 500)), style=style, no_wrap=True, overflow="ellipsis")
