"""Where log records go: stderr, and for each run a file of its own, as text or as JSON lines.

Every line is cleaned here, whatever strangers, models and servers wrote into it: one line, nothing hidden.

A JSON line is `{"time", "level", "logger", "message", "run", "repo", "issue"}`, with "traceback" where there
is one. `time` is ISO 8601 in UTC, `issue` a number; `run`, `repo` and `issue` are null where a record belongs
to none.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TextIO

from msgspec import Struct

from sprint import files
from sprint.clean_text import safe_line
from sprint.domain import Run
from sprint.errors import SprintError

Format = Literal["text", "json"]

RUN_LOG = "run.log"
CRON_LOG = "cron.log"
CRON_LOG_CAP = 5_000_000  # bytes
CRON_LOG_KEPT = 1_000_000
_LINE_CAP = 4_000  # characters

_log = logging.getLogger(__name__)
_as_json = False
_aside: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext


class _Subject(Struct, frozen=True):
    """What the records of this thread are about."""

    repo: str | None = None
    run: str | None = None
    issue: int | None = None


_NOTHING = _Subject()
_subject: ContextVar[_Subject] = ContextVar("subject", default=_NOTHING)


def to_stderr(verbose: bool = False, style: Format = "text", *, quiet: bool = False) -> None:
    """Everything with `verbose`, progress on a terminal, and from cron only what a person should read; with
    `quiet` the same on a terminal.

    JSON is for those who ship logs: progress too, wherever it goes.
    """
    global _as_json
    _as_json = style == "json"
    level = logging.INFO if _as_json or (sys.stderr.isatty() and not quiet) else logging.WARNING
    handler = _Stderr()
    handler.setLevel(logging.DEBUG if verbose else level)
    handler.setFormatter(_JsonLines() if _as_json else _Lines("sprint: %(where)s%(message)s"))
    root = logging.getLogger("sprint")
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG)


@contextlib.contextmanager
def beside(other: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """What is said on stderr or stdout in the block is said within `other()`: something else draws there."""
    global _aside
    before, _aside = _aside, other
    try:
        yield
    finally:
        _aside = before


def aside() -> AbstractContextManager[None]:
    """For whoever prints while a tick is at work."""
    return _aside()


class _Stderr(logging.StreamHandler[TextIO]):
    def emit(self, record: logging.LogRecord) -> None:
        with aside():
            super().emit(record)


@contextlib.contextmanager
def about(repo: str) -> Iterator[None]:
    """What this thread logs in the block is about a repository."""
    before = _subject.set(_Subject(repo))
    try:
        yield
    finally:
        _subject.reset(before)


@contextlib.contextmanager
def run_log(folder: Path, run: Run) -> Iterator[None]:
    """What this thread logs in the block, from INFO up, also goes to run.log in the run's folder.

    So does what a thread logs that was started in a copy of this one's context. A file that cannot be written
    is said once and costs the run nothing.
    """
    before = _subject.set(_Subject(run.repo, run.id, run.issue))
    handler = _opened(folder / RUN_LOG, run.id)
    root = logging.getLogger("sprint")
    if handler is not None:
        root.addHandler(handler)
    try:
        yield
    except BaseException as error:
        if handler is not None:
            handler.handle(_cut_short(error))
        raise
    finally:
        if handler is not None:
            root.removeHandler(handler)
            handler.close()
        _subject.reset(before)


def _cut_short(error: BaseException) -> logging.LogRecord:
    """The last word in a run's log where the tick did not come to its end."""
    is_expected = isinstance(error, SprintError)
    says = str(error) if is_expected else f"cut short by {type(error).__name__}"
    is_defect = isinstance(error, Exception) and not is_expected
    traceback = (type(error), error, error.__traceback__) if is_defect else None
    return _log.makeRecord(_log.name, logging.ERROR, __file__, 0, "%s", (says,), traceback)


def _opened(path: Path, run_id: str) -> _RunLog | None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return _RunLog(os.open(path, flags, 0o600), run_id)
    except OSError as error:
        _log.warning("no log for the run: cannot write %s: %s", path, error.strerror)
        return None


class _RunLog(logging.Handler):
    """One run's records, each written at once: a killed process leaves no half of its last words behind."""

    def __init__(self, handle: int, run_id: str) -> None:
        super().__init__(logging.INFO)
        self._handle = handle
        self._run_id = run_id
        self.setFormatter(_JsonLines() if _as_json else _TimedLines("%(levelname)-7s %(message)s"))

    def filter(self, record: logging.LogRecord) -> bool:
        return _subject.get().run == self._run_id

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{self.format(record)}\n".encode("utf-8", "replace")
        with contextlib.suppress(OSError):  # a full disk costs the log, not the run
            os.write(self._handle, line)

    def close(self) -> None:
        os.close(self._handle)
        super().close()


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        record.message = _message(record)
        repo = _subject.get().repo
        record.where = f"{repo}: " if repo and repo not in record.message else ""
        traceback = _traceback(self, record)
        return "\n".join([self.formatMessage(record), *traceback])


class _TimedLines(_Lines):
    def format(self, record: logging.LogRecord) -> str:
        return f"{_moment(record)} {super().format(record)}"


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        subject = _subject.get()
        data = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            "run": subject.run,
            "repo": subject.repo,
            "issue": subject.issue,
        }
        if traceback := _traceback(self, record):
            data["traceback"] = "\n".join(traceback)
        return json.dumps(data)


def _message(record: logging.LogRecord) -> str:
    return safe_line(record.getMessage(), _LINE_CAP)


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    if not record.exc_info:
        return []
    lines = formatter.formatException(record.exc_info).splitlines()
    return [line[: len(line) - len(line.lstrip())] + safe_line(line, _LINE_CAP) for line in lines]


def _moment(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- the log that cron writes ------------------------------------------------------------------


def bound_cron_log(results: Path, *, cap: int = CRON_LOG_CAP, kept: int = CRON_LOG_KEPT) -> None:
    """Cut results/cron.log down to its newest whole lines, about `kept` bytes, once it is larger than `cap`.

    In place, for shells that cron started hold it open for appending: what they write from then on follows.
    The newest lines are written over the oldest ones before the file is cut, so that a crash, at worst,
    leaves lines twice.
    """
    path = results / CRON_LOG
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return
    except OSError as error:
        _log.warning("cannot open %s to bound it: %s", path, error.strerror)
        return
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return
        files.flock(handle)
        if os.fstat(handle).st_size > cap:
            _keep_the_end(handle, kept)
    except BlockingIOError:
        return  # another tick is at it
    except OSError as error:
        _log.warning("cannot bound %s: %s", path, error.strerror)
    finally:
        os.close(handle)


def _keep_the_end(handle: int, kept: int) -> None:
    end = os.fstat(handle).st_size
    tail = os.pread(handle, kept, max(end - kept, 0))
    tail = tail[tail.find(b"\n") + 1 :]
    at = os.pwrite(handle, tail, 0)
    while (size := os.fstat(handle).st_size) > end:  # somebody appended meanwhile
        added = os.pread(handle, size - end, end)
        end += len(added)
        at += os.pwrite(handle, added, at)
    os.ftruncate(handle, at)
