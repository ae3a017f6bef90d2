"""What becomes of a command's output while it comes: kept, copied, and given out line by line."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import IO

_LONGEST_LINE = 16_000_000  # bytes; agents print what they read as one line

_log = logging.getLogger(__name__)

Sink = Callable[[bytes], None]


class Kept:
    """The head and the tail of a stream, up to `cap` bytes together."""

    def __init__(self, cap: int) -> None:
        self._half = max(cap // 2, 1)
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail += data
            if len(self._tail) > 2 * self._half:
                del self._tail[: -self._half]

    @property
    def truncated(self) -> bool:
        return self.total > 2 * self._half

    def bytes(self) -> bytes:
        tail = self._tail[-self._half :]
        dropped = self.total - len(self._head) - len(tail)
        gap = b"\n... %d bytes left out ...\n" % dropped if dropped else b""
        return bytes(self._head) + gap + bytes(tail)


class Lines:
    """A stream cut into lines for `on_line`, each without its end; one over 16 MB is cut, and says so.

    What `on_line` raises is logged, and the lines go on.
    """

    def __init__(self, on_line: Sink) -> None:
        self._on_line = on_line
        self._line = bytearray()
        self._dropped = 0

    def add(self, data: bytes) -> None:
        *ended, rest = data.split(b"\n")
        for piece in ended:
            self._grow(piece)
            self._give()
        self._grow(rest)

    def end(self) -> None:
        """Give out a last line that has no end."""
        if self._line:
            self._give()

    def _grow(self, piece: bytes) -> None:
        room = _LONGEST_LINE - len(self._line)
        self._line += piece[:room]
        self._dropped += max(len(piece) - room, 0)

    def _give(self) -> None:
        line = bytes(self._line)
        if self._dropped:
            line += b" ... %d bytes left out ..." % self._dropped
        self._line.clear()
        self._dropped = 0
        try:
            self._on_line(line)
        except Exception:  # noqa: BLE001 - whatever is wrong with it, the command's output goes on
            _log.warning("a line of output could not be used: %.200r", line, exc_info=True)


def both(first: Sink, second: Sink) -> Sink:
    """A sink that gives each piece to one and then to the other."""

    def add(data: bytes) -> None:
        first(data)
        second(data)

    return add


def copy(file: IO[bytes], cap: int) -> Sink:
    """A sink that writes to `file` until it has `cap` bytes."""

    def add(data: bytes) -> None:
        with contextlib.suppress(OSError):  # a full disk costs the copy, not the command
            file.write(data[: max(cap - file.tell(), 0)])

    return add
