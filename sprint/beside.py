"""What is waited for while something else is done: two dialogues with two servers need not be in a row."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Generic, TypeVar

from sprint.errors import EndedEarly, Stopped

T = TypeVar("T")

_STOP_SECONDS = 2.0
_WATCH_SECONDS = 0.1


def ending(watch: Callable[[], str]) -> Callable[[], str]:
    """The same for what can be ended by raising alone: a reason is raised as EndedEarly."""

    def asked() -> str:
        if reason := watch():
            raise EndedEarly(reason)
        return ""

    return asked


class Beside(Generic[T]):
    """Does `work` at once in a thread of its own.

    `work` is given a `watch` for the commands that it runs: it raises Stopped once nobody wants the result.
    Whoever leaves without that says so by `stop`.
    """

    def __init__(self, work: Callable[[Callable[[], str]], T]) -> None:
        self._work = work
        self._done: T
        self._failed: BaseException | None = None
        self._stopping = threading.Event()
        # Asked in place of the thread, which Python up to 3.12 takes for ended once a join was interrupted.
        self._ended = threading.Event()
        run = copy_context().run
        try:
            threading.Thread(target=run, args=(self._do,), name="beside", daemon=True).start()
        except BaseException:
            self.stop()
            raise

    def _do(self) -> None:
        try:
            self._done = self._work(self._watch)
        except BaseException as error:  # noqa: BLE001 - it is raised where its result is wanted
            self._failed = error
        finally:
            self._ended.set()

    def _watch(self) -> str:
        if self._stopping.is_set():
            raise Stopped("nobody waits for it any more")
        return ""

    @property
    def is_done(self) -> bool:
        return self._ended.is_set()

    def result(self, watch: Callable[[], str] | None = None) -> T:
        """What `work` gave, once it is there; what it raised is raised here. `watch` may end this wait by
        raising, and `work` goes on for others."""
        while watch is not None and not self._ended.wait(_WATCH_SECONDS):
            watch()
        try:
            self._ended.wait()
        except BaseException:
            self.stop()
            raise
        if self._failed is not None:
            raise self._failed
        return self._done

    def stop(self) -> None:
        """End the command that it runs, if it is not done: it must not go on when this process has ended."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._ended.wait(_STOP_SECONDS)
