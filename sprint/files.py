"""Files that a reader never sees half-written."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
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


def refusal(doing: str, path: Path, error: OSError) -> SprintError:
    """The sentence for a file operation that the system refused: `cannot write PATH: REASON; REMEDY`."""
    remedy = _REMEDIES.get(error.errno or 0, "see that the path is right")
    return SprintError(f"cannot {doing} {path}: {error.strerror or error}; {remedy}")


@contextlib.contextmanager
def refusing(doing: str, path: Path) -> Iterator[None]:
    """What the system refuses in the block becomes the SprintError of `refusal`."""
    try:
        yield
    except OSError as error:
        raise refusal(doing, path, error) from error


def replace(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Give `path` new content at once: a reader, and a crash, find the old or the new and nothing between.

    `durable` also waits until it is on the disk. Raises SprintError, leaving the old content in place.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:80]}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise refusal("write", path, error) from error
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
    except OSError as error:
        raise refusal("write", path, error) from error
    finally:
        with contextlib.suppress(OSError):
            Path(name).unlink()


def sync_folder(folder: Path) -> None:
    """Put the folder's entries (new names, renames) on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_folder(folder: Path) -> None:
    """Make a folder unless it is there, and see that files can be made in it. Raises SprintError."""
    make_folder(folder)
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise refusal("write in", folder, error) from error


def make_folder(folder: Path, *, mode: int = 0o700) -> None:
    """Make a folder and its parents unless they are there. Raises SprintError."""
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as error:
        raise refusal("make", folder, error) from error
