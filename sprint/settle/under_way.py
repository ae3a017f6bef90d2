"""A run under way, with what is needed to bring it on."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from dataclasses import replace as changed
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sprint import environment, transcript, verify, workspace
from sprint.context import Context
from sprint.domain import CheckResult, Outcome, Phase, Prompt, Run, Workspace
from sprint.errors import Stopped
from sprint.renewal import Lease
from sprint.scope import task_for
from sprint.settle.work import inspect
from sprint.worker import Job, Status, Worker

_log = logging.getLogger(__name__)
NO_PROMPT = Prompt("", "")  # what began already knows its prompt


@dataclass(frozen=True)
class UnderWay:
    """One run in one process. Every change of the run is on the disk before anything follows from it.

    `lease` is None where the claim is not ours, or there is none. `status` is the worker's as this tick asked
    for it, None before.
    """

    context: Context
    lease: Lease | None
    run: Run
    status: Status | None = None

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
        """By the name that the repository had when the run began: its commits are there."""
        return workspace.mirror_path(self.context.config.paths.cache, self.run.forge, self.run.repo)

    @property
    def project(self) -> environment.Project:
        context, run = self.context, self.run
        return environment.Project(
            run.forge,
            run.repo,
            context.repo_config,
            context.config.paths,
            self.mirror,
            context.sandbox,
            lambda is_base: context.setup_gateway(self.folder, self.mirror, run.base_sha, at_base=is_base),
        )

    @property
    def worker(self) -> Worker:
        return self.context.worker(self.run.worker)

    @property
    def held_lease(self) -> Lease:
        assert self.lease is not None, "only a run whose claim is ours is worked on"
        return self.lease

    def advance(self, phase: Phase, **fields: Any) -> UnderWay:
        """The same with its run changed and saved."""
        run = changed(self.run, phase=phase, **fields)
        self.context.store.save(run)
        return changed(self, run=run)

    def concluded(self, outcome: Outcome, detail: str = "", **fields: Any) -> UnderWay:
        _log.info("#%s: %s%s", self.run.issue, outcome, f": {detail}" if detail else "")
        return self.advance(Phase.CONCLUDED, outcome=outcome, detail=detail, **fields)

    def with_status(self, status: Status | None) -> UnderWay:
        return changed(self, status=status)

    def job(self, prompt: Prompt = NO_PROMPT) -> Job:
        return Job(
            run=self.run,
            prompt=prompt,
            workspace=self.space,
            sandbox=self.context.sandbox,
            network=self.context.repo_config.sandbox.network == "host",
            limits=self.context.repo_config.limits,
            repo_config=self.context.repo_config,
            forge=self.context.forge,
            folder=self.folder,
            watch=self.reason_to_stop,
            inspect=lambda: inspect(self),
        )

    def prompt(self) -> Prompt:
        """What the worker is told about the issue as it is now."""
        context = self.context
        issue = context.forge.issue(context.repository.name, self.run.number)
        tools = environment.tools(context.sandbox, context.repo_config.sandbox, context.config.paths.cache)
        return self.worker.prompt(task_for(context, self.run, issue, self.mirror, tools=tools))

    def reason_to_stop(self) -> str:
        """Why the work shall end now, or "". Raises Stopped where the runner itself has to."""
        if self.context.stopping.is_set():
            raise Stopped("stopped; the next tick goes on from here")
        request = self.context.store.asked_to_stop(self.run.id)
        # What is to be handed in has to be proven first: that ends the worker, not the checks.
        if request and not (request.hand_in and self.run.phase is Phase.WORKED):
            return request.why
        return self.lease.reason_to_stop() if self.lease else ""

    def watching(self, what: str) -> verify.Watching:
        """For set-up and checks of the kind `what`: each goes into the transcript when it has ended."""

        def ended(result: CheckResult) -> None:
            transcript.check(self.folder, what, result)

        return verify.Watching(ended, self.reason_to_stop)

    @property
    def is_late(self) -> bool:
        return datetime.now(UTC) > self.run.deadline
