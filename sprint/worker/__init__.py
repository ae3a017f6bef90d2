"""Who implements an issue, and the kinds there are. The asynchronous case is the general one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from sprint.config import Limits, RepoConfig
from sprint.domain import Endpoint, Liveness, Prompt, Run, WorkerResult, Workspace
from sprint.errors import ConfigError
from sprint.forge import Forge
from sprint.sandbox import Sandbox

_T = TypeVar("_T")


@dataclass(frozen=True)
class Job:
    """All that a worker gets. `keepalive` renews the claim and returns a reason to stop, or ""."""

    run: Run
    prompt: Prompt
    workspace: Workspace
    sandbox: Sandbox
    network: bool
    limits: Limits
    repo_config: RepoConfig
    forge: Forge
    folder: Path  # runs/<id>/, ours: transcript.jsonl, messages.json, result.json, outputs/
    keepalive: Callable[[], str]


class Worker(Protocol):
    """Starts work and tells how it stands. Each call may come from another process than the one before."""

    def start(self, job: Job) -> None:
        """Begin (a local worker also ends here). Never raises for what the model or the agent did."""
        ...

    def resume(self, job: Job, message: str) -> None:
        """Go on after `start` was done, with what the checks said."""
        ...

    def poll(self, run: Run, folder: Path) -> Liveness: ...

    def result(self, run: Run, folder: Path) -> WorkerResult:
        """Only after poll said done; a worker that died without a word is Ending.INTERRUPTED."""
        ...

    def stop(self, run: Run, folder: Path) -> None: ...


Endpoints = Callable[[], Sequence[Endpoint]]  # asked for when they are needed: finding them may fail


def _local(endpoints: Endpoints, results: Path) -> Worker:
    from sprint.worker.local.worker import LocalWorker

    return LocalWorker(endpoints, results)


def _check_local(endpoints: Endpoints) -> None:
    from sprint.model.inquiry import check

    check(endpoints())


KINDS: dict[str, Callable[[Endpoints, Path], Worker]] = {
    "local": _local,
}

# What must hold before an issue is claimed; each raises ModelError where it does not.
_CHECKS: dict[str, Callable[[Endpoints], None]] = {
    "local": _check_local,
}


def make(kind: str, endpoints: Endpoints, results: Path) -> Worker:
    """The worker of a kind. Raises ConfigError for an unknown one; nothing is asked of the model yet."""
    return _known(kind, KINDS)(endpoints, results)


def check(kind: str, endpoints: Endpoints) -> None:
    """See, quickly, that a worker of this kind could begin now. Raises ModelError where no model answers."""
    _known(kind, _CHECKS)(endpoints)


def _known(kind: str, table: dict[str, _T]) -> _T:
    if kind not in table:
        raise ConfigError(f"worker: {kind} is unknown; it is one of {', '.join(sorted(KINDS))}")
    return table[kind]
