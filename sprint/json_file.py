"""Records in files: one in a file, replaced at once and changed by one process at a time; or one a line."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from sprint import decoding, files
from sprint.errors import Busy, SprintError
from sprint.lock import lock

T = TypeVar("T")

_LOCK_SECONDS = 10.0

_log = logging.getLogger(__name__)


def read(path: Path, kind: type[T], *, remedy: str) -> T | None:
    """The record in a file, None where there is no file.

    Raises SprintError where it cannot be read or holds no `kind`; `remedy` says what to do about that.
    """
    data = files.read(path)
    try:
        return None if data is None else decoding.decode(data, kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SprintError(f"cannot read {path}: {error}; {remedy}") from error


def read_if_sound(path: Path, kind: type[T]) -> T | None:
    """The record in a file that can be made anew: a broken one is logged, and None as a missing one is."""
    try:
        return read(path, kind, remedy="it is made anew")
    except SprintError as error:
        _log.warning("%s", error)
        return None


def write(path: Path, record: object, *, durable: bool = True) -> None:
    """Replace the file at once, its folder made where it is missing. Raises SprintError."""
    files.make_folder(path.parent)
    files.replace(path, msgspec.json.encode(record) + b"\n", durable=durable)


def add_line(path: Path, record: Mapping[str, Any]) -> None:
    """Add a record as one line. Half a surrogate pair, which JSON may hold and no file, becomes a `?`.

    Raises SprintError.
    """
    files.add_line(path, json.dumps(record, ensure_ascii=False).encode("utf-8", "replace"))


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file of one a line, without those that a killed process left half-written.

    None where there is no file. Raises SprintError where it cannot be read.
    """
    try:
        with files.refusing("read", path, FileNotFoundError), path.open("rb") as file:
            yield from filter(None, map(parsed, file))
    except FileNotFoundError:
        return


def parsed(text: bytes) -> dict[str, Any] | None:
    """A JSON object, None for anything else: half a line, say."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def change(path: Path, kind: type[T], changed: Callable[[T | None], T | None]) -> T | None:
    """Replace the record by what `changed` makes of it (None: remove it); no other process comes between.

    `changed` gets None where there is no record, or none that can be read. Returns the new record. Raises
    SprintError where that cannot be done.
    """
    guard = path.with_suffix(".lock")
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(lock(guard, wait=_LOCK_SECONDS, what=f"changes {path.name}"))
        except Busy as error:
            raise SprintError(f"cannot change {path}: {error}; see what that process waits for") from None
        before = read_if_sound(path, kind)
        after = changed(before)
        if after is None:
            with files.refusing("remove", path):
                path.unlink(missing_ok=True)
        elif after != before:
            write(path, after)
        return after
