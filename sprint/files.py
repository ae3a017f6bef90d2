"""Files that a reader never sees half-written. The one door to file locks, and to what the system refuses."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sprint.errors import SprintError

_ACCESS = "let the user that runs sprint do so"
_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EACCES: _ACCESS,
    errno.EPERM: _ACCESS,
    errno.EROFS: "set paths.results to a place that can be written",
}
_RETRY_SECONDS = 0.005
_LINE_SECONDS = 60.0
_ROOM = 65_536  # bytes: a full disk takes empty files, and a run that begins there fails in the middle


def refusal(doing: str, path: Path, error: OSError) -> SprintError:
    """The sentence for a file operation that the system refused: `cannot write PATH: REASON; REMEDY`."""
    remedy = _REMEDIES.get(error.errno or 0, "see that the path is right")
    return SprintError(f"cannot {doing} {path}: {error.strerror or error}; {remedy}")


@contextlib.contextmanager
def refusing(doing: str, path: Path, *expected: type[OSError]) -> Iterator[None]:
    """What the system refuses in the block becomes the SprintError of `refusal`, unless it is `expected`."""
    try:
        yield
    except expected:
        raise
    except OSError as error:
        raise refusal(doing, path, error) from error


def read(path: Path) -> bytes | None:
    """A file's content, None where there is no file. Raises SprintError where it cannot be read."""
    try:
        with refusing("read", path, FileNotFoundError):
            return path.read_bytes()
    except FileNotFoundError:
        return None


def begins_with(path: Path, mark: bytes) -> bool:
    """Whether there is a plain file, no link, whose first bytes these are. Raises SprintError."""
    with refusing("read", path):
        if path.is_symlink() or not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(len(mark)) == mark


def check_own(path: Path, mark: bytes, whose: str) -> None:
    """Raises SprintError where something else is there than a file that `whose` made, by its mark."""
    if os.path.lexists(path) and not begins_with(path, mark):
        raise SprintError(f"{path} is not a file of {whose}; move it away")


def replace(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Give `path` new content at once: a reader, and a crash, find the old or the new and nothing between.

    `durable` also waits until it is on the disk. Raises SprintError, leaving the old content in place.
    """
    with refusing("write", path):
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:80]}.", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.write(data)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            Path(name).replace(path)
            if durable:
                sync_folder(path.parent)
        finally:
            with contextlib.suppress(OSError):
                Path(name).unlink()


def add_line(path: Path, line: bytes) -> None:
    """Add a line at the end of a file; processes may do so at once. Raises SprintError.

    Where a writer died in the middle of its line, that stays a line of its own.
    """
    with refusing("write", path), path.open("a+b", buffering=0) as file:
        try:
            flock(file.fileno(), wait=_LINE_SECONDS)
        except BlockingIOError:
            raise SprintError(
                f"cannot write {path}: locked for {_LINE_SECONDS:.0f} s by another process; see fuser"
            ) from None
        if end := file.seek(0, os.SEEK_END):
            file.seek(end - 1)
            if file.read(1) != b"\n":
                line = b"\n" + line
        if file.write(line := line + b"\n") != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def flock(handle: int, *, is_shared: bool = False, wait: float = 0.0) -> None:
    """Lock an open file until it is closed, or its process dies.

    Raises BlockingIOError where another one keeps it for `wait` seconds, other OSErrors where it cannot be
    locked at all.
    """
    kind = fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX
    deadline = time.monotonic() + wait
    while True:
        try:
            return fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_RETRY_SECONDS)


def unlock(handle: int) -> None:
    """Give a lock back before the file is closed: a forked child that shares the file would keep it."""
    fcntl.flock(handle, fcntl.LOCK_UN)


def sync_folder(folder: Path) -> None:
    """Put the folder's entries (new names, renames) on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_folder(folder: Path) -> None:
    """Make a folder unless it is there, and see that files can be written in it. Raises SprintError."""
    make_folder(folder)
    with refusing("write in", folder), tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        written = file.write(bytes(_ROOM))
        if written != _ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def make_folder(folder: Path, *, mode: int = 0o700) -> None:
    """Make a folder and its parents unless they are there. Raises SprintError."""
    with refusing("make", folder):
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
