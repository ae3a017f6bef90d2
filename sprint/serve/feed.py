"""One reader of what changes, for however many viewers: it looks while somebody does."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sprint.errors import SprintError

_log = logging.getLogger(__name__)

_KEPT = 1_000_000  # bytes of news that whoever comes later is still told
_ALIVE_SECONDS = 15.0  # a silent connection is told apart from a dead one
_STILL_ALIVE = b": still here\n\n"


@dataclass(frozen=True)
class Look:
    """What one look found: `lines` that are new, the `state` as it is now, and whether nothing more comes."""

    lines: Sequence[Any] = ()
    state: Mapping[str, Any] | None = None
    is_over: bool = False


class Feed:
    """Server-sent events out of one reader's looks.

    `look` is called in a thread, every `seconds` while there are viewers; `close` once the last has gone, and
    the next look begins anew. An event's id is that of its line; whoever comes back with one misses nothing.
    """

    def __init__(
        self, look: Callable[[], Look], seconds: float, close: Callable[[], None] = lambda: None
    ) -> None:
        self.viewers = 0
        self._look, self._seconds, self._close = look, seconds, close
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopped = asyncio.Event()
        self._begin()

    def _begin(self) -> None:
        self._epoch = secrets.token_hex(4)
        self._kept: deque[bytes] = deque()
        self._bytes = 0
        self._count = 0  # of messages with lines so far; the last of them is at the end of `_kept`
        self._state = b""
        self._states = 0
        self._is_over = False

    async def follow(self, last_id: str = "") -> AsyncIterator[bytes]:
        """Events for one viewer, until the thing is over, the server stops, or the viewer leaves."""
        self.viewers += 1
        try:
            if self._task is None or self._task.done():
                self._begin()
                self._task = asyncio.create_task(self._keep_looking())
            epoch, _, number = last_id.partition("-")
            told, state = 0, 0
            if epoch == self._epoch and number.isdecimal():
                told = int(number)
            else:
                yield b"event: begin\ndata: {}\n\n"
            while True:
                news = self._news
                for message in self._after(told):
                    yield message
                told = self._count
                if state != self._states:
                    state = self._states
                    yield self._state
                if self._is_over or self._stopped.is_set():
                    return
                if news is self._news and told == self._count:
                    try:
                        await asyncio.wait_for(news.wait(), _ALIVE_SECONDS)
                    except TimeoutError:
                        yield _STILL_ALIVE
        finally:
            self.viewers -= 1

    def stop(self) -> None:
        """End every viewer's stream: the server stops."""
        self._stopped.set()
        self._wake()

    def _after(self, told: int) -> list[bytes]:
        gone = self._count - len(self._kept)
        return list(islice(self._kept, max(told - gone, 0), None))

    async def _keep_looking(self) -> None:
        try:
            while self.viewers and not self._stopped.is_set() and not self._is_over:
                try:
                    self._take(await asyncio.to_thread(self._look))
                except (SprintError, OSError) as error:  # of a file that will be sound again, or never
                    _log.warning("what happens cannot be shown: %s", error)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), self._seconds)
        finally:
            self._close()
            self._is_over = True  # also where looking failed: nobody waits for ever
            self._wake()

    def _take(self, look: Look) -> None:
        if look.lines:
            self._count += 1
            message = _event("lines", look.lines, f"{self._epoch}-{self._count}")
            self._kept.append(message)
            self._bytes += len(message)
            while self._bytes > _KEPT and len(self._kept) > 1:
                self._bytes -= len(self._kept.popleft())
        if look.state is not None:
            state = _event("state", look.state)
            if state != self._state:
                self._state = state
                self._states += 1
        self._is_over = look.is_over
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


def _event(name: str, data: Any, number: str = "") -> bytes:
    head = f"id: {number}\n" if number else ""
    return f"{head}event: {name}\ndata: {json.dumps(data)}\n\n".encode()
