"""The files of results/health/: one JSON record each, named by a hash of what it is about."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from sprint import json_file
from sprint.errors import SprintError

_KEPT_FOR = timedelta(days=30)

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
T = TypeVar("T")

_log = logging.getLogger(__name__)


def path_of(results: Path, what: str, *about: str) -> Path:
    return keyed(results, what, key_of(*about))


def keyed(results: Path, what: str, key: str) -> Path:
    return results / "health" / f"{what}-{key}.json"


def key_of(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def every(results: Path, what: str, kind: type[T]) -> list[T]:
    found = (json_file.read_if_sound(path, kind) for path in (results / "health").glob(f"{what}-*.json"))
    return [record for record in found if record is not None]


def update(results: Path, path: Path, kind: type[T], changed: Callable[[T | None], T], now: datetime) -> T:
    """The new record, also where it could not be written."""
    new: list[T] = []

    def change(before: T | None) -> T:
        new.append(changed(before))
        return new[-1]

    with logged():
        json_file.change(path, kind, change)
        _forget_old(results, now)
    return new[-1] if new else changed(None)


@contextlib.contextmanager
def logged() -> Iterator[None]:
    try:
        yield
    except SprintError as error:
        _log.warning("it is not remembered what refuses: %s", error)


def _forget_old(results: Path, now: datetime) -> None:
    """Drop what nobody asked about for a month: a model or a repository that is used no more."""
    for path in (results / "health").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < (now - _KEPT_FOR).timestamp():
                path.unlink()
