"""What a child is handed by file descriptor: neither arguments nor files that others can see."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from types import TracebackType

from sprint.sandbox.supervise import FIRST_HANDED


class Handed:
    """Descriptors for one child, closed at the end. `inherited` is what the child gets.

    What is handed has the next number there, from FIRST_HANDED on, whatever its number is here.
    """

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

    def keep(self) -> None:
        """Leave our ends open: somebody else closes them."""
        self._ours.clear()

    def close_inherited(self) -> None:
        """Close our copies of what the child has, so that its pipes can end."""
        while self.inherited:
            os.close(self.inherited.pop())

    def text(self, text: str) -> int:
        """A file without a name that holds the text."""
        return self.data(text.encode("utf-8", "surrogateescape"))

    def words(self, words: Sequence[str]) -> int:
        """A file without a name that holds the words, each ended by NUL."""
        text = "\0".join((*words, ""))
        if text.count("\0") != len(words):
            raise ValueError("a word that holds a NUL would be read as several")
        return self.text(text)

    def data(self, data: bytes) -> int:
        """A file without a name that holds the data."""
        fd = os.memfd_create("sprint")
        number = self._hand(fd)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.lseek(fd, 0, os.SEEK_SET)
        return number

    def blank(self) -> tuple[int, int]:
        """A file without a name that is written later: the child's number of it, and ours to write to."""
        number = self.data(b"")
        self._ours.append(os.dup(self.inherited[-1]))
        return number, self._ours[-1]

    def file(self, path: str) -> int:
        """A file of the host, to be read from its beginning. Raises OSError."""
        return self._hand(os.open(path, os.O_RDONLY | os.O_CLOEXEC))

    def pipe_to(self) -> tuple[int, int]:
        """A pipe to the child: its number there, and our end."""
        theirs, ours = os.pipe()
        self._ours.append(ours)
        return self._hand(theirs), ours

    def pipe(self) -> tuple[int, int]:
        """A pipe from the child: our end, and its number there."""
        ours, theirs = os.pipe()
        os.set_blocking(ours, False)
        self._ours.append(ours)
        return ours, self._hand(theirs)

    def _hand(self, fd: int) -> int:
        self.inherited.append(fd)
        return FIRST_HANDED + len(self.inherited) - 1


def drain(pipe: int) -> bytes:
    """What is in a pipe now."""
    got = bytearray()
    with contextlib.suppress(BlockingIOError):
        while data := os.read(pipe, 65536):
            got += data
    return bytes(got)
