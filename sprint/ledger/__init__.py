"""results.csv: one row per finished run, appended by any number of processes, read line by line.

A row is one line, whatever is in its fields, so that a reader can start over at every line: a torn, foreign
or broken one costs itself and no other. Rows are read by the header that the file has; a header that lacks
some of our columns (an older version's) stays, and those columns follow its own at the end of each new row.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from sprint import files
from sprint.domain import LedgerRow
from sprint.errors import SprintError
from sprint.ledger import rows
from sprint.ledger.rows import BadLine, OldRow

LOCK_SECONDS = 60.0
_LINE_CAP = 1 << 20  # bytes: nothing that long is a row
_BLOCK = 1 << 14  # bytes: what is made of one block stays in the processor's cache


def path_of(results: Path) -> Path:
    return results / "results.csv"


# --- writing -----------------------------------------------------------------------------------


def append(results: Path, row: LedgerRow) -> bool:
    """Write a run's row, on the disk when this returns; False where the run has one already.

    Raises SprintError where that cannot be done, and then leaves the file as it was.
    """
    path = path_of(results)
    files.make_folder(results)
    with files.refusing("write", path), _locked(path, LOCK_SECONDS), _open(path) as file:
        size = os.fstat(file.fileno()).st_size
        columns = header(path)
        if _has_row(path, results, row.run_id, size):
            return False
        _write(file.fileno(), size, rows.write(row, columns))
        if size == 0:
            files.sync_folder(results)
        return True


def _open(path: Path) -> io.FileIO:
    return io.FileIO(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")


def _has_row(path: Path, results: Path, run_id: str, size: int) -> bool:
    """Whether the run's row is in the file, without reading all of it.

    A run's first append leaves the file's size of that moment in the run's folder, on the disk before the
    row is: the row, if it was written, is behind that place, so an append done again reads what came since
    and an append done for the first time reads nothing. Only a run without a folder is looked for
    everywhere. (Looking at the tail alone would miss a row behind many others, and asking the row's time
    would trust the clocks of all hosts.)
    """
    folder = results / "runs" / run_id
    note = folder / "row-offset"
    start = 0
    if folder.is_dir():
        try:
            start = int(note.read_bytes())
        except (FileNotFoundError, ValueError):
            files.replace(note, b"%d" % size)
            return False
    if start > size:  # the file was cut or replaced since
        start = 0
    needle = run_id.encode()
    with path.open("rb") as file:
        file.seek(start)
        layouts = [header(path)]
        for line in _lines(file, size - start):
            if needle in line:
                row = rows.parse(line.decode("utf-8", "replace"), layouts)
                if isinstance(row, LedgerRow) and row.run_id == run_id:
                    return True
    return False


def _write(handle: int, size: int, line: bytes) -> None:
    """One write at the end of the file; where it does not fit, the file is cut back to what it was."""
    if size == 0:
        line = ",".join(rows.COLUMNS).encode() + b"\n" + line
    elif os.pread(handle, 1, size - 1) != b"\n":
        line = b"\n" + line  # what was torn before stays a line of its own
    try:
        written = os.write(handle, line)
        if written != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(handle)
    except OSError:
        with suppress(OSError):
            os.ftruncate(handle, size)
        raise


@contextmanager
def _locked(path: Path, seconds: float, *, is_shared: bool = False) -> Iterator[None]:
    """Hold the lock beside the ledger; it ends with the process, however that ends."""
    lock = path.with_name(f"{path.name}.lock")
    flags = os.O_RDONLY if is_shared else os.O_RDWR | os.O_CREAT
    handle = os.open(lock, flags | os.O_CLOEXEC, 0o600)
    try:
        try:
            files.flock(handle, is_shared=is_shared, wait=seconds)
        except BlockingIOError:
            raise SprintError(
                f"cannot lock {lock}: held for {seconds:.0f} s by another process (see fuser)"
            ) from None
        yield
    finally:
        os.close(handle)


# --- reading -----------------------------------------------------------------------------------


def read(results: Path) -> Iterator[LedgerRow | OldRow | BadLine]:
    """Every line of the ledger but headers and empty ones, in the file's order; nothing where it is missing.

    Rows that are appended meanwhile are left for the next time. Raises SprintError where the file cannot
    be read.
    """
    layouts: list[tuple[str, ...]] = [rows.WITHOUT_HEADER]
    number = 0
    for block in blocks(results):
        for line in block:
            number += 1
            row = rows.parse(line, layouts)
            if isinstance(row, str):
                yield BadLine(number, line[:200], row)
            elif row is not None:
                yield row


def blocks(results: Path, *, end: int | None = None, start: int = 0) -> Iterator[list[str]]:
    """The ledger's lines without their line ends, many at a time. Raises SprintError.

    `start` and `end`, in bytes, are what `size` returned at some time. Without an end this stops where the
    file ended when it began: never in the middle of a row that is being written.
    """
    path = path_of(results)
    try:
        with files.refusing("read", path, FileNotFoundError), path.open("rb") as file:
            left = (_settled_size(path, file) if end is None else end) - start
            file.seek(start)
            rest = b""
            while left > 0 and (data := file.read(min(_BLOCK, left))):
                left -= len(data)
                whole, newline, tail = data.rpartition(b"\n")
                if not newline:
                    # Beyond the cap nothing is kept but the fact that the line is too long to be a row.
                    rest = (rest + tail)[: _LINE_CAP + 1]
                    continue
                yield (rest + whole).replace(b"\r\n", b"\n").decode("utf-8", "replace").split("\n")
                rest = tail
            if rest:
                yield [rest.decode("utf-8", "replace")]
    except FileNotFoundError:
        return


def size(results: Path) -> int:
    """Where the last row that is written ends now, in bytes; 0 without a ledger. Raises SprintError."""
    path = path_of(results)
    try:
        with files.refusing("read", path, FileNotFoundError), path.open("rb") as file:
            return _settled_size(path, file)
    except FileNotFoundError:
        return 0


def _settled_size(path: Path, file: BinaryIO) -> int:
    """The file's size while nobody is writing, so that a last line without its end is known to be torn.

    Where the lock cannot be had at once the file counts up to its last line end.
    """
    try:
        with _locked(path, 0.25, is_shared=True):
            return os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return os.fstat(file.fileno()).st_size  # nobody has written yet
    except (OSError, SprintError):
        size = os.fstat(file.fileno()).st_size
    start = max(size - _LINE_CAP, 0)
    return start + os.pread(file.fileno(), size - start, start).rfind(b"\n") + 1


def header(path: Path) -> tuple[str, ...]:
    """The columns that the file's first line names, or those of a file without a header. Raises OSError."""
    with path.open("rb") as file:
        first = file.readline(_LINE_CAP).decode("utf-8-sig", "replace")
    return rows.as_header(rows.split(first.strip())) or rows.WITHOUT_HEADER


def _lines(file: io.BufferedReader, size: int) -> Iterator[bytes]:
    while size > 0 and (line := file.readline(min(_LINE_CAP, size))):
        size -= len(line)
        yield line
