"""A run under way, with what is needed to bring it on."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

from sprint import workspace
from sprint.claim import Lease
from sprint.context import Context
from sprint.domain import Outcome, Phase, Prompt, Run, Workspace
from sprint.worker import Job, Worker
from sprint.worker import make as make_worker

_log = logging.getLogger(__name__)
NO_PROMPT = Prompt("", "")  # what began already knows its prompt


@dataclass(frozen=True)
class UnderWay:
    """One run in one process. Every change of the run is on the disk before anything follows from it."""

    context: Context
    lease: Lease | None  # None: the claim is not ours any more
    run: Run

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
    def worker(self) -> Worker:
        return make_worker(self.run.worker, self.context.endpoints, self.context.config.paths.results)

    def advance(self, phase: Phase, **fields: Any) -> UnderWay:
        """The current with its run changed and saved."""
        run = changed(self.run, phase=phase, **fields)
        self.context.store.save(run)
        return changed(self, run=run)

    def concluded(self, outcome: Outcome, detail: str = "", **fields: Any) -> UnderWay:
        _log.info("#%d: %s%s", self.run.issue, outcome, f": {detail}" if detail else "")
        return self.advance(Phase.CONCLUDED, outcome=outcome, detail=detail, **fields)

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
            keepalive=self.reason_to_stop,
        )

    @property
    def held_lease(self) -> Lease:
        assert self.lease is not None, "only a run whose claim is ours is worked on"
        return self.lease

    def reason_to_stop(self) -> str:
        if self.context.stopping.is_set():
            return "stopped by the operator"
        return self.held_lease.reason_to_stop()
