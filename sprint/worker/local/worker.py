"""The local worker: the tool-calling loop in the tick's own process; its state is in the run's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sprint import __version__, progress, transcript
from sprint.config import Limits
from sprint.domain import Prompt, Secret, WorkerResult
from sprint.errors import SprintError
from sprint.model import Models, readiness
from sprint.sharing import Sharing
from sprint.task import Task
from sprint.worker import Endpoints, Job
from sprint.worker.local import conversation, offer
from sprint.worker.local.conversation import Conversation
from sprint.worker.local.loop import Loop
from sprint.worker.local.meter import Meter


class LocalPerformer:
    """`endpoints` is asked for only when it is needed. Spending, and what is known of models, is kept below
    `results`."""

    def __init__(
        self, endpoints: Endpoints, results: Path, limits: Limits, sharing: Sharing | None = None
    ) -> None:
        self._sharing = sharing
        self._endpoints = endpoints
        self._results = results
        self._limits = limits

    def check(self) -> None:
        readiness.check(self._endpoints, self._results, self._limits.first_token_seconds)

    def prompt(self, task: Task) -> Prompt:
        try:
            model = next(iter(self._endpoints()), None)
        except SprintError:  # a dry run shows the prompt all the same, and a run fails when it begins
            model = None
        return offer.prompt(task, model)

    def begin(self, job: Job) -> WorkerResult:
        """Raises ModelError where no model answers."""
        return self._work(job, _begun(job))

    def go_on(self, job: Job, message: str) -> WorkerResult:
        """With what is left of the limits. Raises ModelError where no model answers."""
        talk = conversation.load(job.folder) or _begun(job)
        talk.tell(message)
        transcript.append(job.folder, "user", text=message)
        talk.save(job.folder)
        return self._work(job, talk)

    def secrets(self) -> Sequence[Secret]:
        return [endpoint.key for endpoint in self._endpoints()]

    def version(self) -> str:
        return __version__

    def _work(self, job: Job, talk: Conversation) -> WorkerResult:
        meter = Meter(job.limits, talk, self._results, job.run.id, self._sharing)
        with Models(
            self._endpoints(),
            first_token_seconds=job.limits.first_token_seconds,
            silence_seconds=job.limits.silence_seconds,
            deadline=meter.deadline,
            results=self._results,
            watch=job.watch,
            heard=progress.Pulse(job.folder).characters,
        ) as models:
            return Loop(job, talk, models, meter).run()


def _begun(job: Job) -> Conversation:
    talk = conversation.begun(job.prompt.system, job.prompt.user)
    transcript.append(job.folder, "system", text=job.prompt.system)
    transcript.append(job.folder, "user", text=job.prompt.user)
    talk.save(job.folder)
    return talk
