"""A run under way, with what is needed to bring it on."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from sprint import environment, progress, prompts, transcript, verify, workspace
from sprint.context import Context
from sprint.domain import (
    CheckResult,
    ImportedWork,
    Outcome,
    Phase,
    Prompt,
    PullRequest,
    Refusal,
    Run,
    Workspace,
)
from sprint.domain import replace as changed
from sprint.renewal import Lease
from sprint.scope import own_task, task_for
from sprint.settle.ahead import Ahead
from sprint.settle.run_project import mirror_of, project_of
from sprint.worker import Status, Worker

_log = logging.getLogger(__name__)
NO_PROMPT = Prompt("", "")  # what began already knows its prompt


class Work(Struct, frozen=True):
    """What a worker made: `imported` is what would be published, `strays` what is not (scratch) or may not
    be meant (others). `refusals` is what policy said of it, None where it was not asked yet."""

    imported: ImportedWork
    strays: workspace.Strays
    refusals: tuple[Refusal, ...] | None = None


class UnderWay(Struct, frozen=True):
    """One run in one process. Every change of the run is on the disk before anything follows from it.

    `lease` is None where the claim is not ours, or there is none. `status` is the worker's as this tick asked
    for it, None before.
    """

    context: Context
    lease: Lease | None
    run: Run
    status: Status | None = None
    is_just_proven: bool = False  # by this very process, which has handed nothing in yet
    looks: list[Work] = []  # the last one at what is in the workspace, for its worker; all copies share it
    ahead: Ahead | None = None  # what was begun for it beside its claim

    @property
    def space(self) -> Workspace:
        return Workspace(Path(self.run.workspace), self.run.uid)

    @property
    def has_workspace(self) -> bool:
        return bool(self.run.workspace) and self.space.checkout.is_dir()

    @property
    def folder(self) -> Path:
        return self.context.store.folder(self.run.id)

    @property
    def mirror(self) -> Path:
        return mirror_of(self.context, self.run)

    @property
    def objects(self) -> Path:
        """The run's own repository: what its worker made is there, and the mirror's commits are seen."""
        return workspace.own_objects(self.folder, self.mirror)

    @property
    def project(self) -> environment.Project:
        return project_of(self.context, self.run)

    @property
    def worker(self) -> Worker:
        return self.context.worker_of(self.run)

    @property
    def pull(self) -> PullRequest:
        """The pull request that a follow-up is for, as the forge has it now. One request."""
        assert self.run.pr_number is not None, f"run {self.run.id} follows no pull request"
        return self.context.forge.pull(self.context.repository.name, self.run.pr_number)

    @property
    def held_lease(self) -> Lease:
        assert self.lease is not None, "only a run whose claim is ours is worked on"
        return self.lease

    def advance(self, phase: Phase, **fields: Any) -> UnderWay:
        """The same with its run changed and saved."""
        run = changed(self.run, phase=phase, **fields)
        self.context.store.save(run)
        if phase is not self.run.phase:
            progress.append(self.folder, "phase", phase=phase)
        return changed(self, run=run)

    def concluded(self, outcome: Outcome, detail: str = "", **fields: Any) -> UnderWay:
        _log.info("%s: %s%s", self.run.about, outcome, f": {detail}" if detail else "")
        return self.advance(Phase.CONCLUDED, outcome=outcome, detail=detail, **fields)

    def with_status(self, status: Status | None) -> UnderWay:
        return changed(self, status=status)

    def prompt(self) -> Prompt:
        """What the worker is told about the issue as it is now, or of its operator's task."""
        context = self.context
        prompts.keep_compiled(context.config.paths.cache / "prompts")
        tools = environment.tools(context.sandbox, context.repo_config.sandbox, context.config.paths.cache)
        if self.run.issue is None:
            return self.worker.prompt(own_task(context, self.run, self.mirror, tools=tools))
        issue = context.forge.issue(context.repository.name, self.run.issue)
        return self.worker.prompt(task_for(context, self.run, issue, self.mirror, tools=tools))

    def reason_to_stop(self) -> str:
        """Why the work shall end now, or "". Raises Stopped where the runner itself has to."""
        self.context.check_going_on()
        request = self.context.store.asked_to_stop(self.run.id)
        # What is to be handed in has to be proven first: that ends the worker, not the checks.
        if request and not (request.hand_in and self.run.phase is Phase.WORKED):
            return request.why
        return self.lease.reason_to_stop() if self.lease else ""

    def watching(self, what: str) -> verify.Watching:
        """For set-up and checks of the kind `what`: each goes into the transcript when it has ended."""

        def began(command: str, seconds: float) -> None:
            progress.append(self.folder, "doing", what=what, text=command, seconds=seconds)

        def ended(result: CheckResult) -> None:
            transcript.check(self.folder, what, result)

        return verify.Watching(ended, self.reason_to_stop, began, progress.Pulse(self.folder).line)

    @property
    def is_late(self) -> bool:
        return datetime.now(UTC) > self.run.deadline
