"""What every worker shares that lives in the tick's own process: its lock, its result, its end.

In the run's folder: `worker.lock`, held while the process works on the run and freed by the kernel when it
dies; `result.json`, once it has handed over; `stop`, where somebody asks it to end (see `asked_to_stop`).
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from sprint import files, transcript
from sprint.domain import Ending, Liveness, Outcome, Prompt, Run, Secret, WorkerResult
from sprint.errors import Busy, SprintError
from sprint.runs import RunStore
from sprint.task import Task
from sprint.worker import Job, Status

_RESULT = "result.json"
_LOCK = "worker.lock"
_STOP_SECONDS = 10.0
_LOOK_SECONDS = 0.05


class Performer(Protocol):
    """What differs from one attached worker to the next: how the work itself is done."""

    def check(self) -> None: ...

    def prompt(self, task: Task) -> Prompt: ...

    def begin(self, job: Job) -> WorkerResult:
        """Work on the job to its end."""
        ...

    def go_on(self, job: Job, message: str) -> WorkerResult:
        """The same with a further message; where the work never began, it begins here."""
        ...

    def secrets(self) -> Sequence[Secret]: ...

    def version(self) -> str: ...


class Attached:
    """A Worker made of a Performer. See Worker for the contract."""

    attached = True

    def __init__(self, performer: Performer, store: RunStore) -> None:
        self._performer = performer
        self._store = store

    def check(self) -> None:
        self._performer.check()

    def prompt(self, task: Task) -> Prompt:
        return self._performer.prompt(task)

    def start(self, job: Job) -> None:
        with _held(job.folder):
            _keep(job.folder, self._performer.begin(job))

    def resume(self, job: Job, message: str) -> None:
        with _held(job.folder):
            (job.folder / _RESULT).unlink(missing_ok=True)
            _keep(job.folder, self._performer.go_on(job, message))

    def poll(self, run: Run) -> Status:
        folder = self._store.folder(run.id)
        if (folder / _RESULT).exists():
            return Status(Liveness.DONE)
        if not (folder / _LOCK).exists():
            return Status(Liveness.ABSENT)
        return Status(Liveness.RUNNING if _is_held(folder) else Liveness.DONE)

    def collect(self, job: Job) -> WorkerResult:
        path = job.folder / _RESULT
        try:
            return msgspec.json.decode(path.read_bytes(), type=WorkerResult)
        except FileNotFoundError:
            usage, model = transcript.usage(job.folder)
            return WorkerResult(Ending.INTERRUPTED, detail="its process died", model=model, usage=usage)
        except OSError as error:
            raise files.refusal("read", path, error) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SprintError(f"cannot read {path}: {error}; remove it to go on with the run") from error

    def stop(self, run: Run) -> None:
        """Ask the process that works on the run to end, and wait until it has. Raises SprintError."""
        folder = self._store.folder(run.id)
        if not _is_held(folder):
            return
        self._store.ask_to_stop(run.id, "its claim was lost")
        deadline = time.monotonic() + _STOP_SECONDS
        while _is_held(folder):
            if time.monotonic() > deadline:
                raise SprintError(f"run {run.id}: process {run.pid} does not end; kill it")
            time.sleep(_LOOK_SECONDS)

    def release(self, run: Run, outcome: Outcome) -> None:
        pass  # all that it held went with its process

    def secrets(self) -> Sequence[Secret]:
        return self._performer.secrets()

    def version(self) -> str:
        return self._performer.version()


def _keep(folder: Path, result: WorkerResult) -> None:
    files.replace(folder / _RESULT, msgspec.json.encode(result))


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold the run's lock, which the kernel frees when the process dies. Raises Busy where it is held."""
    with (folder / _LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"{folder.name}: another process works on this run") from None
        yield


def _is_held(folder: Path) -> bool:
    try:
        with (folder / _LOCK).open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
