"""What every worker shares that lives in the tick's own process: its lock, its result, its end.

In the run's folder: `worker.lock`, held while the process works on the run and freed by the kernel when it
dies; `result.json`, once it has handed over; `stop`, where somebody asks it to end (see `asked_to_stop`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from sprint import json_file, transcript
from sprint.domain import Ending, Liveness, Outcome, Prompt, Run, Secret, WorkerResult
from sprint.errors import SprintError
from sprint.lock import is_held, lock
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
    records_spend = True  # its process counts, answer by answer

    def __init__(self, performer: Performer, store: RunStore) -> None:
        self._performer = performer
        self._store = store

    def check(self) -> None:
        self._performer.check()

    def prompt(self, task: Task) -> Prompt:
        return self._performer.prompt(task)

    def start(self, job: Job) -> None:
        with _held(job.folder):
            json_file.write(job.folder / _RESULT, self._performer.begin(job))

    def resume(self, job: Job, message: str) -> None:
        with _held(job.folder):
            (job.folder / _RESULT).unlink(missing_ok=True)
            json_file.write(job.folder / _RESULT, self._performer.go_on(job, message))

    def poll(self, run: Run) -> Status:
        folder = self._store.folder(run.id)
        if (folder / _RESULT).exists():
            return Status(Liveness.DONE)
        if not (folder / _LOCK).exists():
            return Status(Liveness.ABSENT)
        return Status(Liveness.RUNNING if is_held(folder / _LOCK) else Liveness.DONE)

    def collect(self, job: Job) -> WorkerResult:
        result = json_file.read(job.folder / _RESULT, WorkerResult, remedy="remove it to go on with the run")
        if result is not None:
            return result
        usage, model = transcript.usage(job.folder)
        return WorkerResult(Ending.INTERRUPTED, detail="its process died", model=model, usage=usage)

    def stop(self, run: Run) -> None:
        """Ask the process that works on the run to end, and wait until it has. Raises SprintError."""
        folder = self._store.folder(run.id)
        if not is_held(folder / _LOCK):
            return
        self._store.ask_to_stop(run.id, "its claim was lost")
        deadline = time.monotonic() + _STOP_SECONDS
        while is_held(folder / _LOCK):
            if time.monotonic() > deadline:
                raise SprintError(f"run {run.id}: process {run.pid} does not end; kill it")
            time.sleep(_LOOK_SECONDS)

    def release(self, run: Run, outcome: Outcome) -> None:
        pass  # all that it held went with its process

    def secrets(self) -> Sequence[Secret]:
        return self._performer.secrets()

    def version(self) -> str:
        return self._performer.version()


def _held(folder: Path) -> AbstractContextManager[None]:
    """The run's lock, which the kernel frees when the process dies. Raises Busy where it is held."""
    return lock(folder / _LOCK, what="works on this run")
