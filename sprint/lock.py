"""A lock file that the kernel releases when its holder dies."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from sprint import files
from sprint.errors import Busy, SprintError
from sprint.proc import hostname

_RETRY_SECONDS = 0.05


@contextlib.contextmanager
def lock(
    path: Path, *, wait: float = 0, what: str = "", watch: Callable[[], str] | None = None
) -> Iterator[None]:
    """Hold `path` alone while the block runs; `what` tells others what for.

    Waits up to `wait` seconds. Raises Busy, naming the holder, where somebody else keeps it that long
    (another thread of this process counts), and SprintError where the file cannot be made. `watch` is asked
    meanwhile, and may end the wait by raising.
    """
    fd = _acquire(path, time.monotonic() + wait, watch)
    try:
        _write_holder(fd, what)
        yield
    finally:
        with contextlib.suppress(OSError):
            os.ftruncate(fd, 0)
        files.unlock(fd)
        os.close(fd)


def is_held(path: Path) -> bool:
    """Whether somebody holds `path` now; not where there is no such file. Raises SprintError."""
    try:
        with files.refusing("lock", path, FileNotFoundError, BlockingIOError), path.open("rb") as file:
            files.flock(file.fileno(), is_shared=True)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def lock_path(cache: Path, forge: str, repo: str) -> Path:
    """The lock of a repository's ticks on this host."""
    return cache / "locks" / forge / f"{repo}.lock"


def _acquire(path: Path, deadline: float, watch: Callable[[], str] | None) -> int:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise SprintError(f"cannot open the lock file {path}: {error.strerror}") from error
        try:
            files.flock(fd)
            if _is_still(path, fd):
                return fd
            os.close(fd)
            continue
        except BlockingIOError:
            holder = _read_holder(fd)
            os.close(fd)
            if time.monotonic() >= deadline:
                raise Busy(f"{path} is held by {holder}") from None
        except OSError as error:
            os.close(fd)
            raise SprintError(f"cannot lock {path}: {error.strerror}; is it on a network disk?") from error
        if watch is not None:
            watch()
        time.sleep(_RETRY_SECONDS)


def _is_still(path: Path, fd: int) -> bool:
    """Whether the file that was locked is the one at `path`: somebody may have removed it meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(fd), path.stat(follow_symlinks=False))
    return False


def _write_holder(fd: int, what: str) -> None:
    holder = {
        "pid": os.getpid(),
        "host": hostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "what": what,
    }
    with contextlib.suppress(OSError):  # a full disk makes it less informative, not less of a lock
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps(holder).encode(), 0)


def _read_holder(fd: int) -> str:
    try:
        holder = json.loads(os.pread(fd, 4096, 0))
        what = f" ({holder['what']})" if holder["what"] else ""
        return f"process {holder['pid']} on {holder['host']} since {holder['since']}{what}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
