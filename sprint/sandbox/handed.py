"""What a child is handed by file descriptor: neither arguments nor files that others can see."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType


class Handed:
    """Descriptors for one child, closed at the end. `inherited` is what the child gets."""

    def __init__(self) -> None:
        self.inherited: list[int] = []
        self._ours: list[int] = []

    def __enter__(self) -> Handed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close_inherited()
        while self._ours:
            os.close(self._ours.pop())

    def close_inherited(self) -> None:
        """Close our copies of what the child has, so that its pipes can end."""
        while self.inherited:
            os.close(self.inherited.pop())

    def text(self, text: str) -> int:
        """A file without a name that holds the text."""
        return self.data(text.encode("utf-8", "surrogateescape"))

    def words(self, words: Sequence[str]) -> int:
        """A file without a name that holds the words, each ended by NUL."""
        if any("\0" in word for word in words):
            raise ValueError("a word that holds a NUL would be read as several")
        return self.text("".join(f"{word}\0" for word in words))

    def data(self, data: bytes) -> int:
        """A file without a name that holds the data."""
        fd = os.memfd_create("sprint")
        self.inherited.append(fd)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.lseek(fd, 0, os.SEEK_SET)
        return fd

    def file(self, path: Path) -> int:
        """A file of the host, to be read from its beginning. Raises OSError."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.inherited.append(fd)
        return fd

    def pipe_to(self) -> tuple[int, int]:
        """A pipe to the child: the child's end, and ours."""
        theirs, ours = os.pipe()
        self._ours.append(ours)
        self.inherited.append(theirs)
        return theirs, ours

    def pipe(self) -> tuple[int, int]:
        """A pipe from the child: our end, and the child's."""
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        self._ours.append(ours)
        self.inherited.append(theirs)
        return ours, theirs


def drain(pipe: int) -> bytes:
    """What is in a pipe now."""
    got = bytearray()
    with contextlib.suppress(BlockingIOError):
        while data := os.read(pipe, 65536):
            got += data
    return bytes(got)
