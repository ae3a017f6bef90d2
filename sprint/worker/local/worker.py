"""The local worker: start and resume run the loop to its end; its state is in the run's folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec

from sprint import files, transcript
from sprint.domain import Ending, Liveness, Run, WorkerResult
from sprint.errors import Busy, SprintError
from sprint.model import Models
from sprint.proc import hostname
from sprint.worker import Endpoints, Job
from sprint.worker.local import conversation
from sprint.worker.local.conversation import Conversation
from sprint.worker.local.loop import Loop
from sprint.worker.local.meter import Meter

_RESULT = "result.json"
_LOCK = "worker.lock"


class LocalWorker:
    """`endpoints` is asked for only when the work begins. Spending is kept below `results`."""

    def __init__(self, endpoints: Endpoints, results: Path) -> None:
        self._endpoints = endpoints
        self._results = results

    def start(self, job: Job) -> None:
        """Work on the job to its end. Raises ModelError where no model answers: what was done stays, and
        `resume` goes on from there."""
        with _held(job.folder):
            talk = conversation.begun(job.prompt.system, job.prompt.user)
            transcript.append(job.folder, "system", text=job.prompt.system)
            transcript.append(job.folder, "user", text=job.prompt.user)
            talk.save(job.folder)
            self._work(job, talk)

    def resume(self, job: Job, message: str) -> None:
        """Go on with a message of the user's and what is left of the limits; what never began, begins."""
        with _held(job.folder):
            talk = conversation.load(job.folder)
            if talk is None and not job.prompt.user:
                lost = WorkerResult(Ending.ERROR, detail="its process died before it had begun")
                files.replace(job.folder / _RESULT, msgspec.json.encode(lost))
                return
            talk = talk or conversation.begun(job.prompt.system, job.prompt.user)
            talk.tell(message)
            transcript.append(job.folder, "user", text=message)
            talk.save(job.folder)
            (job.folder / _RESULT).unlink(missing_ok=True)
            self._work(job, talk)

    def poll(self, run: Run, folder: Path) -> Liveness:
        if (folder / _RESULT).exists():
            return Liveness.DONE
        if _is_held(folder):
            return Liveness.RUNNING
        return Liveness.DONE if run.host == hostname() else Liveness.UNKNOWN

    def result(self, run: Run, folder: Path) -> WorkerResult:
        path = folder / _RESULT
        try:
            return msgspec.json.decode(path.read_bytes(), type=WorkerResult)
        except FileNotFoundError:
            usage, model = transcript.usage(folder)
            return WorkerResult(Ending.INTERRUPTED, detail="its process died", model=model, usage=usage)
        except OSError as error:
            raise files.refusal("read", path, error) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SprintError(f"cannot read {path}: {error}; remove it to go on with the run") from error

    def stop(self, run: Run, folder: Path) -> None:
        """Ask the process that works on the run to end; nothing where none does, or where it is our own."""
        if run.host == hostname() and run.pid != os.getpid() and _is_held(folder):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(run.pid, signal.SIGTERM)

    def _work(self, job: Job, talk: Conversation) -> None:
        meter = Meter(job.limits, talk, self._results, job.run.id)
        with Models(
            self._endpoints(), silence_seconds=job.limits.silence_seconds, deadline=meter.deadline
        ) as models:
            result = Loop(job, talk, models, meter).run()
        files.replace(job.folder / _RESULT, msgspec.json.encode(result))


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
