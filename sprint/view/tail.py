"""Reads a run's files as they grow: every event once, whole, in order, however the files are written.

A view keeps a `RunTail` and asks it again and again; what it gives is what was written since. Each line is
parsed once. A line without its end is waited for; one that is no JSON object is passed over, and so is one
longer than `_LONGEST_LINE`. A file that is begun anew, by another under its name or by cutting it, is read to
its end and then from its beginning.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sprint import json_file, progress, transcript
from sprint.gateway import journal

Event = Mapping[str, Any]

_AT_ONCE = 4_000_000  # bytes of a file that one look reads
_LONGEST_LINE = 16_000_000  # bytes


class Tail:
    """One file of JSON lines. `more` tells whether the last look left some of it for the next."""

    def __init__(self, path: Path, *, at_once: int = _AT_ONCE, longest_line: int = _LONGEST_LINE) -> None:
        self.more = False
        self._path = path
        self._at_once = at_once
        self._longest = longest_line
        self._handle = -1
        self._at = 0
        self._rest = bytearray()  # of a line that has not ended yet
        self._is_skipping = False  # the rest of a line that is too long

    def read(self) -> list[Event]:
        """What was written since the last look, `at_once` bytes at most; nothing where it cannot be read."""
        try:
            data = self._bytes()
        except OSError:
            self.close()
            return []
        self.more = len(data) == self._at_once
        return list(filter(None, map(json_file.parsed, self._lines(data))))

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
        self._handle, self._at, self._is_skipping = -1, 0, False
        self._rest.clear()

    def _bytes(self) -> bytes:
        if self._handle < 0:
            self._handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        if os.fstat(self._handle).st_size < self._at:  # it was cut
            self._begin_anew()
        data = self._read_on()
        if not data and self._is_replaced():
            self.close()
            self._handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            data = self._read_on()
        return data

    def _begin_anew(self) -> None:
        self._at, self._is_skipping = 0, False
        self._rest.clear()

    def _read_on(self) -> bytes:
        data = os.pread(self._handle, self._at_once, self._at)
        self._at += len(data)
        return data

    def _is_replaced(self) -> bool:
        here, there = os.fstat(self._handle), self._path.stat()
        return (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino)

    def _lines(self, data: bytes) -> list[bytes]:
        *ended, rest = data.split(b"\n")
        lines = []
        for piece in ended:
            self._rest += piece
            if not self._is_skipping and len(self._rest) <= self._longest:
                lines.append(bytes(self._rest))
            self._rest.clear()
            self._is_skipping = False
        self._rest += rest
        if len(self._rest) > self._longest:
            self._is_skipping = True
        if self._is_skipping:
            self._rest.clear()
        return lines


class RunTail:
    """A run's transcript, its progress and what its gateway refused, as one story."""

    def __init__(self, folder: Path) -> None:
        self._tails = tuple(Tail(folder / name) for name in (transcript.NAME, progress.NAME, journal.NAME))

    @property
    def more(self) -> bool:
        return any(tail.more for tail in self._tails)

    def read(self) -> list[Event]:
        """What happened since the last look, in the order of its time."""
        events = [event for tail in self._tails for event in tail.read()]
        return sorted(events, key=lambda event: str(event.get("at", "")))

    def close(self) -> None:
        for tail in self._tails:
            tail.close()
