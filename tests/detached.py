"""A detached worker whose state the test sets, and a clock that the test moves."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Any

import msgspec
import pytest

from sprint import claim, renewal, runs, settle, tick
from sprint.config import WorkerConfig, schema
from sprint.domain import Ending, Liveness, Outcome, Prompt, Run, Secret, Usage, WorkerResult
from sprint.errors import SprintError
from sprint.task import Task
from sprint.worker import Job, Status, kinds

_A_CLAIM = b'{"state": "", "run": "", "host": "", "attempt": 0, "expires": "2026-01-01T00:00:00Z"}'


class FakeWorkerConfig(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="fake"):
    """The section `workers: {NAME: {kind: fake}}`."""


def fix(job: Job) -> None:
    """What a worker would do about the issue of these tests, in the workspace."""
    path = job.workspace.checkout / "widgets.py"
    path.write_text(path.read_text().replace("n + n + 1", "n + n"))


def nothing(job: Job) -> None:
    pass


@dataclass
class Backend:
    """What outlives the ticks: one for all hosts. The test sets what it says of every run."""

    liveness: Liveness = Liveness.RUNNING
    usage: Usage | None = None
    result: WorkerResult = field(default_factory=lambda: WorkerResult(Ending.IMPLEMENTED, "Done."))
    work: Callable[[Job], None] = fix
    on_start: Callable[[Job], None] = nothing
    unreachable: bool = False
    calls: Counter[str] = field(default_factory=Counter)
    started: list[Run] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    begun: set[str] = field(default_factory=set)
    stopped: set[str] = field(default_factory=set)
    released: dict[str, Outcome] = field(default_factory=dict)


class FakeWorker:
    attached = False
    records_spend = False

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def _call(self, name: str) -> None:
        self._backend.calls[name] += 1
        if self._backend.unreachable and name not in ("poll", "check"):
            raise SprintError("the backend does not answer; look at its network")

    def check(self) -> None:
        self._call("check")

    def prompt(self, task: Task) -> Prompt:
        self._backend.tasks.append(task)
        return Prompt("", f"Fix #{task.issue.number}.")

    def start(self, job: Job) -> None:
        self._call("start")
        if job.run.id not in self._backend.begun:  # idempotent by the run's id
            self._backend.begun.add(job.run.id)
            self._backend.started.append(job.run)
        self._backend.on_start(job)

    def resume(self, job: Job, message: str) -> None:
        self._call("resume")
        self._backend.messages.append(message)

    def poll(self, run: Run) -> Status:
        self._call("poll")
        if run.id not in self._backend.begun:
            return Status(Liveness.ABSENT)
        liveness = Liveness.UNKNOWN if self._backend.unreachable else self._backend.liveness
        return Status(liveness, self._backend.usage)

    def collect(self, job: Job) -> WorkerResult:
        self._call("collect")
        self._backend.work(job)
        return self._backend.result

    def stop(self, run: Run) -> None:
        self._call("stop")
        self._backend.stopped.add(run.id)

    def release(self, run: Run, outcome: Outcome) -> None:
        self._call("release")
        self._backend.released[run.id] = outcome

    def secrets(self) -> Sequence[Secret]:
        return ()

    def version(self) -> str:
        return "fake 1.0"


def plant(monkeypatch: pytest.MonkeyPatch) -> Backend:
    """Make the kind `fake` known to the configuration and to the registry."""
    backend = Backend()
    known: dict[str, Any] = schema.WORKER_KINDS  # type: ignore[assignment]
    makers: dict[Any, Any] = kinds.KINDS

    def make(config: WorkerConfig, services: kinds.Services) -> FakeWorker:
        backend.calls["made"] += 1
        return FakeWorker(backend)

    monkeypatch.setitem(known, "fake", FakeWorkerConfig)
    monkeypatch.setitem(makers, FakeWorkerConfig, make)
    return backend


class Clock:
    """`ahead` of the real one, for the modules that judge how old runs and claims are."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = timedelta()
        clock = self

        class Moved(datetime):
            # What msgspec writes must be a plain one.
            fromtimestamp = staticmethod(datetime.fromtimestamp)  # type: ignore[assignment]
            fromisoformat = staticmethod(datetime.fromisoformat)  # type: ignore[assignment]

            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Any:
                return datetime.now(tz) + clock.ahead

        # It reads the types of its records when it first decodes one, and must not read a moved clock there.
        msgspec.json.decode(_A_CLAIM, type=claim._State)
        packages = [module.name for module in pkgutil.iter_modules(settle.__path__, f"{settle.__name__}.")]
        modules = (settle, tick, runs, claim, renewal)
        for name in (*packages, *(module.__name__ for module in modules)):
            module = importlib.import_module(name)
            if getattr(module, "datetime", None) is datetime:
                monkeypatch.setattr(module, "datetime", Moved)

    def forward(self, **span: float) -> None:
        self.ahead += timedelta(**span)
