"""Who implements an issue, and the kinds there are.

Two sorts: an *attached* worker lives and dies with the tick's process, a *detached* one outlives it. The
detached case is the general one: each call may come from another process than the one before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from sprint.config import Config, Limits, RepoConfig
from sprint.domain import Endpoint, Liveness, Outcome, Prompt, Run, Secret, Usage, WorkerResult, Workspace
from sprint.sandbox import Sandbox
from sprint.surroundings import Surroundings
from sprint.task import Task
from sprint.worker.review import Inspection

if TYPE_CHECKING:  # a command on a sprite is a process of its own, which needs neither
    from sprint.forge import Forge
    from sprint.runs import RunStore


class Job(Struct, frozen=True):
    """All that a worker gets for one run.

    `watch` is to be asked often: it returns a reason to end the work, or "", and raises Stopped where the
    runner itself has to stop and the run shall rest. `inspect` tells what would be handed in as things stand.
    `furnish` puts what the project's set-up made into another workspace of the base, on this machine. `kept`
    tells the dollars of the fleet's ceiling, from the run's beginning; it raises SprintError.
    """

    run: Run
    prompt: Prompt
    workspace: Workspace
    sandbox: Sandbox
    network: bool
    limits: Limits
    repo_config: RepoConfig
    forge: Forge
    folder: Path  # runs/<id>/, ours: transcript.jsonl, messages.jsonl, result.json, outputs/
    watch: Callable[[], str]
    inspect: Callable[[], Inspection]
    furnish: Callable[[Workspace], None] = lambda _workspace: None
    kept: Callable[[], float] = lambda: math.inf


class Status(Struct, frozen=True):
    """How a worker is. `usage` is all that it has used so far, None where it cannot be told."""

    liveness: Liveness
    usage: Usage | None = None


class Worker(Protocol):
    """One configured worker, made once a tick. Nothing of what a worker says is believed: it is a hint.

    What the backend of a detached worker fails to do is a SprintError; then the run is left for a later tick.
    """

    attached: bool

    @property
    def records_spend(self) -> bool:
        """Whether what it spends is in the day's spending as it is spent; else it is added by what `poll` and
        `collect` tell."""
        ...

    def check(self) -> None:
        """See, before a claim, that it could begin now. Raises SprintError with the remedy."""
        ...

    def prompt(self, task: Task) -> Prompt: ...

    def start(self, job: Job) -> None:
        """Begin (an attached worker also ends here); repeatable by the run's id.

        Never raises for what the model or the agent did. Raises SprintError where the model or the backend is
        away: what was done stays, and `resume` goes on from there.
        """
        ...

    def resume(self, job: Job, message: str) -> None:
        """Go on with one more message, after the work was handed over or after it was cut short."""
        ...

    def poll(self, run: Run) -> Status:
        """One request at most; UNKNOWN where there is no answer. DONE also where an attached worker's process
        is gone: then `collect` says Ending.INTERRUPTED."""
        ...

    def collect(self, job: Job) -> WorkerResult:
        """Bring the work into job.workspace, as far as it is not there; repeatable."""
        ...

    def stop(self, run: Run) -> None:
        """End its work, also where the claim is lost; nothing where it is not at work."""
        ...

    def release(self, run: Run, outcome: Outcome) -> None:
        """Give back what it held for the run, once the outcome is known. Its failure fails no run."""
        ...

    def secrets(self) -> Sequence[Secret]:
        """What its work may not hold. Raises SprintError where that cannot be told."""
        ...

    def version(self) -> str:
        """For the ledger; "" where there is none."""
        ...


Endpoints = Callable[[], Sequence[Endpoint]]  # asked for when they are needed: finding them may fail


class Services(Struct, frozen=True):
    """What workers are made from besides their section of the configuration."""

    endpoints: Endpoints
    store: RunStore
    results: Path
    limits: Limits
    around: Surroundings
    config: Config
