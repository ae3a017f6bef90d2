"""Runs on disk: results/runs/<run id>/ holds run.json, transcript.jsonl, patch.diff and logs.

results/active/ has an empty marker for each run that is not settled, so that a tick need not open every
run.json. A marker is made before run.json and removed after the run is settled: one that outlived its run
is taken away when it is met, and where the folder itself is missing it is made anew from the runs.
"""

from __future__ import annotations

import json
import logging
import math
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from sprint import files, json_file
from sprint.disk_use import used
from sprint.domain import Occasion, Phase, Run
from sprint.errors import SprintError

VERSION = 1
_STOP = "stop"
_OCCASION = "follow.json"
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_ISSUE_REFERENCE = re.compile(r"(?P<repo>[^#\s]*)#(?P<number>[0-9]{1,18})")
_MAKING_SECONDS = 60.0  # how long another process may be between a run's marker and its run.json
_GONE = ".gone-"

_log = logging.getLogger(__name__)


def new_id(now: datetime, repo: str, issue: int | None) -> str:
    """A run's name: sorts by time, is safe as a file name, and no two hosts make the same.

    `20261121T120102Z-owner-repo-12-3f9c21aa`; a very long repository name is shortened.
    """
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", repo)[:100]  # no dots: it also names refs
    what = "task" if issue is None else issue
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{slug}-{what}-{secrets.token_hex(4)}"


class StopRequest(Struct, frozen=True):
    """Somebody wants a run to end: why, and whether what is sound shall be handed in as a draft."""

    why: str
    hand_in: bool = False


class RunStore:
    """The runs under one results directory, which several hosts may share. `saved` is told of each that is
    written down, once it is on the disk."""

    def __init__(self, results: Path, saved: Callable[[Run], None] = lambda run: None) -> None:
        self._saved = saved
        self._runs = results / "runs"
        self._active = results / "active"
        self._lost = results / "lost"

    def folder(self, run_id: str) -> Path:
        """Where a run's files are, whether or not they exist. Raises SprintError for no run's name."""
        if _RUN_ID.fullmatch(run_id) is None:
            raise SprintError(f"{run_id!r} is no run's name: `sprint monitor` lists them")
        return self._runs / run_id

    def create(self, run: Run) -> Path:
        """Make the run's folder (0700) and its first run.json. Raises SprintError, also where it exists."""
        folder = self.folder(run.id)
        files.make_folder(self._runs)
        self._make_index()
        with files.refusing("make", folder):
            (self._active / run.id).touch(mode=0o600)
            files.sync_folder(self._active)
            folder.mkdir(mode=0o700)
        self.save(run)
        files.sync_folder(self._runs)
        return folder

    def reopen(self, run: Run) -> None:
        """Have a run that was settled here be under way again. Raises SprintError."""
        with files.refusing("make", self._active / run.id):
            (self._active / run.id).touch(mode=0o600)
            files.sync_folder(self._active)
        self.save(run)

    def save(self, run: Run) -> None:
        """Replace run.json at once; on the disk when this returns. Raises SprintError."""
        record = {"version": VERSION, **msgspec.to_builtins(run)}
        # A forge's JSON may hold half a surrogate pair, which no UTF-8 file can.
        text = json.dumps(record, ensure_ascii=False, indent=1).encode("utf-8", "replace")
        files.replace(self.folder(run.id) / "run.json", text + b"\n")
        if run.phase is Phase.SETTLED:
            self._unmark(run.id)
        self._saved(run)

    def discard(self, run_id: str) -> None:
        """Forget a run that never began, its folder too; nothing happens where there is none."""
        self._delete(self.folder(run_id))
        self._unmark(run_id)

    def exists(self, run_id: str) -> bool:
        return (self.folder(run_id) / "run.json").exists()

    def load(self, run_id: str) -> Run:
        """A run by its full name. Raises SprintError where there is none or it cannot be read."""
        path = self.folder(run_id) / "run.json"
        run = json_file.read(path, Run, remedy="repair it or move its folder away")
        if run is None:
            raise SprintError(f"no run {run_id} in {self._runs}: `sprint monitor` lists them")
        return run

    def keep_occasion(self, run_id: str, occasion: Occasion) -> None:
        """Write down what a follow-up run answers. Raises SprintError."""
        json_file.write(self.folder(run_id) / _OCCASION, occasion)

    def occasion(self, run_id: str) -> Occasion:
        """What a follow-up run answers. Raises SprintError where that is not there."""
        path = self.folder(run_id) / _OCCASION
        found = json_file.read(path, Occasion, remedy="stop the run")
        if found is None:
            raise SprintError(f"{path} is gone: `sprint stop {run_id}` gives the run up")
        return found

    def ask_to_stop(self, run_id: str, why: str, *, hand_in: bool = False) -> None:
        """Leave word for whoever works on the run. Raises SprintError."""
        json_file.write(self.folder(run_id) / _STOP, StopRequest(why, hand_in))

    def asked_to_stop(self, run_id: str) -> StopRequest | None:
        try:
            return json_file.read(self.folder(run_id) / _STOP, StopRequest, remedy="ask again")
        except SprintError as error:
            _log.warning("run %s: whether to stop it is not known: %s", run_id, error)
            return None

    def under_way(self, forge: str, host: str) -> list[Run]:
        """This host's runs on a forge's repositories that are not settled, oldest first.

        A run.json that cannot be read is logged, and stays where it is.
        """
        self._make_index()
        found = []
        for run_id in sorted(_names(self._active)):
            if not (self._runs / run_id / "run.json").exists():
                self._forget_unmade(run_id)
                continue
            run = self._readable(run_id)
            if run is None:
                continue
            if run.phase is Phase.SETTLED:
                self._unmark(run_id)
            elif (run.forge, run.host) == (forge, host):
                found.append(run)
        return found

    def mark_lost(self, run_id: str) -> None:
        """Note that a detached worker was not there at its deadline, or that it was looked for again."""
        files.make_folder(self._lost)
        files.replace(self._lost / run_id, datetime.now(UTC).isoformat().encode())

    def lost(self) -> list[tuple[str, datetime]]:
        """The runs whose worker was lost, with the moment it was last looked for, oldest run first."""
        found = []
        for run_id in sorted(_names(self._lost)):
            with suppress(OSError, ValueError):
                found.append((run_id, datetime.fromisoformat((self._lost / run_id).read_text())))
        return found

    def unmark_lost(self, run_id: str) -> None:
        with suppress(OSError):
            (self._lost / run_id).unlink()

    def active_ids(self) -> list[str]:
        """The names of runs that are not settled, oldest first; none where that cannot be told."""
        try:
            return sorted(_names(self._active))
        except SprintError:
            return []

    def active(self) -> list[Run]:
        """Every run that is not settled, of all repositories and hosts, oldest first; changes nothing."""
        names = _names(self._active) if self._active.is_dir() else _names(self._runs)
        runs = (self._readable(name) for name in sorted(names) if (self._runs / name / "run.json").exists())
        return [run for run in runs if run is not None and run.phase is not Phase.SETTLED]

    def names(self) -> list[str]:
        """The names of all runs, newest first, readable or not. Raises SprintError."""
        return sorted(_names(self._runs), reverse=True)

    def all(self) -> Iterator[Run]:
        """Every run that can be read, newest first; the others are logged."""
        for run_id in sorted(_names(self._runs), reverse=True):
            if (self._runs / run_id / "run.json").exists():
                run = self._readable(run_id)
                if run is not None:
                    yield run

    def find(self, reference: str) -> Run:
        """The run that a person means: the start of its name, or `OWNER/REPO#N` or `#N` for the newest one
        of that issue or pull request.

        Raises SprintError where nothing or more than one thing is meant.
        """
        issue = _ISSUE_REFERENCE.fullmatch(reference)
        if issue is not None:
            return self._newest_of(reference, issue["repo"], int(issue["number"]))
        matches = sorted(name for name in _names(self._runs) if reference and name.startswith(reference))
        if reference in matches:
            return self.load(reference)
        if not matches:
            raise SprintError(f"no run {reference!r} in {self._runs}: `sprint monitor` lists them")
        if len(matches) > 1:
            some = ", ".join(matches[-3:])
            raise SprintError(
                f"{reference!r} begins the names of {len(matches)} runs ({some}): give more of it"
            )
        return self.load(matches[0])

    def newest(self, what: str, wanted: Callable[[Run], bool]) -> Run:
        """The newest run that is wanted. Raises SprintError, which names `what`, where there is none."""
        for run in self.all():
            if wanted(run):
                return run
        raise SprintError(f"no run for {what} in {self._runs}: `sprint monitor` lists them")

    def clean(self, keep: int = 100, most_bytes: float = math.inf, *, seconds: float = math.inf) -> list[str]:
        """Delete run folders but the newest `keep`, and those beyond so many bytes of all together; never one
        that is under way or cannot be read.

        What is not deleted within `seconds` is left for the next time. Returns the names of those deleted.
        """
        deadline = time.monotonic() + seconds
        for leftover in self._runs.glob(f"{_GONE}*") if self._runs.is_dir() else ():
            shutil.rmtree(leftover, ignore_errors=True)
        marked = set(_names(self._active))
        gone, total = [], 0
        for place, name in enumerate(sorted(_names(self._runs), reverse=True)):
            if time.monotonic() > deadline:
                break
            size = used(self._runs / name)[0] if place < keep else 0
            is_too_much = place >= keep or total + size > most_bytes
            if is_too_much and name not in marked and self._is_over(name) and self._delete(self._runs / name):
                gone.append(name)
            else:
                total += size
        return gone

    def _delete(self, folder: Path) -> bool:
        """Delete a run's folder; renamed first, for a half-deleted one must not pass for a run."""
        away = folder.with_name(f"{_GONE}{folder.name}")
        try:
            folder.rename(away)
        except FileNotFoundError:
            return False
        except OSError as error:
            _log.warning("cannot delete the run folder %s: %s", folder, error)
            return False
        shutil.rmtree(away, ignore_errors=True)
        return True

    def _is_over(self, run_id: str) -> bool:
        if not (self._runs / run_id / "run.json").exists():
            return True
        run = self._readable(run_id)
        return run is not None and run.phase is Phase.SETTLED

    def _newest_of(self, reference: str, repo: str, number: int) -> Run:
        ending = re.compile(rf".*-{number}-[0-9a-f]+")
        runs = [self._readable(name) for name in sorted(_names(self._runs)) if ending.fullmatch(name)]
        matches = [run for run in runs if run and run.issue == number and repo in ("", run.repo)]
        if not matches:  # issues and pull requests are numbered together
            every = [run for run in self.all() if run.pr_number == number and repo in ("", run.repo)]
            matches = every[::-1]
        repos = sorted({run.repo for run in matches})
        if not matches:
            raise SprintError(f"no run for {reference} in {self._runs}: `sprint monitor` lists them")
        if len(repos) > 1:
            raise SprintError(
                f"{reference} is an issue or pull request of {', '.join(repos)}: say OWNER/REPO#{number}"
            )
        return matches[-1]

    def _readable(self, run_id: str) -> Run | None:
        try:
            return self.load(run_id)
        except SprintError as error:
            _log.warning("%s", error)
            return None

    def _unmark(self, run_id: str) -> None:
        with suppress(OSError):
            (self._active / run_id).unlink()

    def _forget_unmade(self, run_id: str) -> None:
        """Remove the marker of a run whose making was killed before run.json: it claimed nothing on disk."""
        with suppress(OSError):
            if abs(time.time() - (self._active / run_id).stat().st_mtime) > _MAKING_SECONDS:
                self._unmark(run_id)

    def _make_index(self) -> None:
        """Make results/active/ where it is missing, complete from the moment it is there."""
        if self._active.is_dir():
            return
        files.make_folder(self._active.parent)
        with files.refusing("write in", self._active.parent):
            draft = Path(tempfile.mkdtemp(prefix=".active.", dir=self._active.parent))
        try:
            for run in self.all():
                if run.phase is not Phase.SETTLED:
                    (draft / run.id).touch(mode=0o600)
            with suppress(OSError):  # another process was first
                draft.rename(self._active)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _names(folder: Path) -> list[str]:
    """The entries that may be runs; none where the folder is missing. Raises SprintError."""
    try:
        with files.refusing("read", folder, FileNotFoundError):
            return [name for path in folder.iterdir() if _RUN_ID.fullmatch(name := path.name)]
    except FileNotFoundError:
        return []
