"""Hermes by whichever of its two ways is configured and there: its command line, or its server."""

from __future__ import annotations

from collections.abc import Sequence

from sprint.config import HermesWorkerConfig
from sprint.domain import Prompt, Secret, WorkerResult
from sprint.errors import SprintError
from sprint.task import Task
from sprint.worker import Job
from sprint.worker.agents import hermes, state
from sprint.worker.agents.hermes_server import OURS, ServerPerformer
from sprint.worker.agents.performer import AgentPerformer
from sprint.worker.agents.way import Route


class HermesPerformer:
    """See Performer. `auto` is the server where it is allowed and up, else the command line."""

    def __init__(self, config: HermesWorkerConfig, route: Route, key: Secret | None) -> None:
        self._config = config
        self._cli = AgentPerformer(hermes, config, route)
        self._server = ServerPerformer(config, route, key, self._cli)

    def check(self) -> None:
        self._chosen().check()

    def prompt(self, task: Task) -> Prompt:
        return self._cli.prompt(task)

    def begin(self, job: Job) -> WorkerResult:
        return self._chosen().begin(job)

    def go_on(self, job: Job, message: str) -> WorkerResult:
        """With whoever has the session; the other one is told everything again."""
        session = state.load(job.folder).session
        chosen = self._chosen() if session.startswith(OURS) or not session else self._cli
        if chosen is self._cli and session.startswith(OURS):
            state.forget_session(job.folder)
        return chosen.go_on(job, message)

    def secrets(self) -> Sequence[Secret]:
        own = list(self._server.secrets())
        return own if self._config.via == "server" else [*self._cli.secrets(), *own]

    def version(self) -> str:
        return self._chosen().version()

    def _chosen(self) -> AgentPerformer:
        if self._config.via == "server":
            return self._server
        if self._config.via == "cli" or not self._config.outside_sandbox:
            return self._cli
        try:
            self._server.check()
        except SprintError:
            return self._cli
        return self._server
