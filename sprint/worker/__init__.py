"""Who implements an issue, and the kinds there are. The asynchronous case is the general one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sprint.config import Limits, RepoConfig
from sprint.domain import Liveness, Prompt, Run, WorkerResult, Workspace
from sprint.forge import Forge
from sprint.sandbox import Sandbox


@dataclass(frozen=True)
class Job:
    """All that a worker gets. `keepalive` renews the claim and returns a reason to stop, or ""."""

    run: Run
    prompt: Prompt
    workspace: Workspace
    sandbox: Sandbox
    network: bool
    limits: Limits
    repo: RepoConfig
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
