"""A worker on a sprite: it takes one, uploads, starts and leaves; later ticks look, stop and collect."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import structs

from sprint import callbacks, prompts, sandbox, transcript
from sprint.clean_text import safe_line
from sprint.config import BackendConfig, SpriteWorkerConfig
from sprint.domain import (
    Ending,
    Endpoint,
    Liveness,
    Outcome,
    Prompt,
    Purpose,
    Run,
    Secret,
    Usage,
    Verdict,
    WorkerResult,
    Workspace,
    replace,
)
from sprint.errors import SprintError
from sprint.gateway import own_process
from sprint.gateway.models.used import Tally
from sprint.sandbox import profile
from sprint.spend import A_TRIFLE
from sprint.sprite import audit, boxed
from sprint.sprite.backend import Backend, BackendError, Failed
from sprint.sprite.composition import MANAGED_BY, OURS, load
from sprint.sprite.folders import FolderBackend
from sprint.sprite.visit import Visit
from sprint.task import Task
from sprint.terminal_text import readable
from sprint.worker import Job, Services, Status, handover
from sprint.worker.agents.told_faults import told_fault
from sprint.worker.sprite import asked, launching, returning, sending
from sprint.worker.sprite import note as notes
from sprint.worker.sprite.asked import Asked
from sprint.worker.sprite.chosen import CLEAN, Choice, seconds_for
from sprint.worker.sprite.ground import ROOT, Ground, is_confined, is_here, slug
from sprint.worker.sprite.launching import Supervision
from sprint.worker.sprite.note import Note
from sprint.worker.sprite.sprite_agent import Agent

_STOP_SECONDS = 15.0
# How the supervisor calls an end, and what that is here. Its words are a hint: the work is judged by itself.
_ENDINGS = {
    "completed": Ending.IMPLEMENTED,
    "blocked": Ending.QUESTION,
    "timeout": Ending.LIMIT,
    "limit": Ending.LIMIT,
    "off_rails": Ending.OFF_RAILS,
    "stopped": Ending.CANCELLED,
    "failed": Ending.ERROR,
}

_log = logging.getLogger(__name__)


class SpriteWorker:
    """See Worker. `section` is its backend's in the configuration."""

    attached = False

    def __init__(
        self,
        config: SpriteWorkerConfig,
        section: BackendConfig,
        backend: Backend,
        services: Services,
    ) -> None:
        self._config = config
        self._section = section
        self._backend = backend
        self._services = services
        self._agent = Agent(config, section, services)
        composition = load(Path(config.composition)) if config.composition else None
        if composition:
            config = structs.replace(config, sprites=tuple(composition.members))
        self._choice = Choice(backend, config, services.results, self._agent.programs(), composition)

    @property
    def records_spend(self) -> bool:
        """A gateway counts what passes it, as it passes."""
        return self._agent.kind is not None and self._config.key == "gateway"

    def check(self) -> None:
        box = structs.replace(self._services.config.defaults.sandbox, kind="bwrap")
        if is_here(self._section):
            sandbox.make(box).probe()
        elif is_confined(self._section):
            assert isinstance(self._backend, FolderBackend)
            boxed.probe(self._backend, box)
        self._agent.check()
        self._choice.check()

    def prompt(self, task: Task) -> Prompt:
        here = is_confined(self._section)
        root = profile.WORK if here else ROOT
        box = structs.replace(
            task.config.sandbox,
            kind="bwrap" if here else "none",
            network=task.config.sandbox.network if here else "host",
        )
        # An earlier attempt's work is here, and so are the tools of this machine.
        made = task.run.environment
        can_fetch = not here or task.config.sandbox.network == "host"
        has_setup = made is not None and (made.bytes if is_here(self._section) else can_fetch)
        told = replace(
            task,
            root=root,
            carried=task.carried and replace(task.carried, is_applied=False),
            setup=task.setup if has_setup else (),
            tools=(),
            config=structs.replace(task.config, sandbox=box),
        )
        wanted = self._asked(task.run)
        return handover.prompt(told, prompts.OwnWords(wanted.text, wanted.ralph) if wanted else None)

    def _asked(self, run: Run) -> Asked | None:
        """Of a task; None where an issue says what is wanted."""
        return asked.load(self._services.store.folder(run.id)) if run.purpose is Purpose.TASK else None

    # --- begin

    def start(self, job: Job) -> None:
        note = notes.load(job.folder)
        if note is None:
            visit, home = self._choice.take(job.run)
            note = Note(sprite=visit.sprite, home=home, uid=job.workspace.uid)
            notes.save_prompt(job.folder, 0, job.prompt.whole)
            notes.save(job.folder, note)
            why = self._choice.why(job.run, note.sprite)
            text = f"works on sprite {note.sprite} of backend {self._backend.name}"
            transcript.append(job.folder, "note", text=f"{text}: {why}" if why else text)
        self._launch(job, note)

    def resume(self, job: Job, message: str) -> None:
        """Told all that it was told before, and the message: it has no memory of the earlier launch."""
        note = self._note(job.run)
        callbacks.begin_anew(job.folder)
        first = notes.prompt(job.folder, 0).read_text("utf-8")
        notes.save_prompt(job.folder, note.launch + 1, f"{first}\n\n{message}")
        note = structs.replace(note, launch=note.launch + 1, before=note.counted)
        notes.save(job.folder, note)
        self._launch(job, note)

    def _launch(self, job: Job, note: Note) -> None:
        visit = Visit(self._backend, note.sprite)
        ground = Ground.of(job, note, self._section)
        held = visit.ask("reserve", run=job.run.id, runner=job.run.host, seconds=seconds_for(job.run))
        if not held["held"]:
            raise Failed(f"sprite {note.sprite} was given to run {held['run']} meanwhile")
        if (kept := self._agent.kept(job)) != note.kept:
            note = structs.replace(note, kept=kept)
            notes.save(job.folder, note)
        token = self._agent.git_token()
        sending.send(job, visit, ground, token)
        if note.launch == 0 and ground.confined:
            job.furnish(Workspace(Path(ground.outside), ground.uid))
        wanted = self._asked(job.run)
        supervision = Supervision.of(wanted) if wanted else Supervision()
        launching.launch(job, visit, ground, note, self._agent.start(job, ground), supervision, token)

    # --- look

    def poll(self, run: Run) -> Status:
        note = notes.load(self._services.store.folder(run.id))
        if note is None:
            return Status(Liveness.ABSENT)
        try:
            seen = self._visit(note).ask("look", run=run.id, slug=slug(run.repo), number=note.launch)
        except BackendError as error:
            _log.warning("run %s: %s", run.id, error)
            return Status(Liveness.UNKNOWN)
        if seen["alive"]:
            if callbacks.said(self._services.store.folder(run.id), "question"):
                self.stop(run)  # it waits for an answer, which a later attempt gets
                return Status(Liveness.DONE, self._usage(run, note, seen["state"]))
            self._agent.keep_reachable(run)
            return Status(Liveness.RUNNING, self._usage(run, note, seen["state"]))
        if not seen["launched"]:
            return Status(Liveness.ABSENT)
        return Status(Liveness.DONE, self._usage(run, note, seen["state"]))

    def collect(self, job: Job) -> WorkerResult:
        note = self._note(job.run)
        visit = self._visit(note)
        answer = returning.fetch(job, visit, Ground.of(job, note, self._section), note)
        usage = self._usage(job.run, note, answer["state"])
        model = self._model(job.run, answer["state"])
        grown = transcript.since(note.counted, usage)
        told, last_words = returning.tell(
            job, visit, self._agent.kind, note, model, grown, estimated=not self.records_spend
        )
        notes.save(job.folder, structs.replace(note, told=told, counted=usage))
        result = replace(self._result(job.run, answer, last_words), model=model, usage=usage)
        is_used_up = note.kept is not None and (usage.cost_usd or 0.0) >= note.kept - A_TRIFLE
        result = replace(result, wants_more=result.ending is Ending.LIMIT and is_used_up)
        transcript.append(
            job.folder, "end", ending=result.ending, summary=result.summary, detail=result.detail
        )
        if not answer["refused"]:
            visit.ask("collected", run=job.run.id, slug=slug(job.run.repo), home=self._agent.files())
        return result

    def _result(self, run: Run, answer: Mapping[str, Any], last_words: str) -> WorkerResult:
        """What it handed over, by its own word. That its model was away is no fault of the issue."""
        state, folder = answer["state"], self._services.store.folder(run.id)
        summary, question = (readable(str(answer[name])).strip() for name in ("summary", "question"))
        summary = summary or callbacks.said(folder, "completed")
        question = question or callbacks.said(folder, "question")
        outcome, said = str(state.get("outcome") or ""), readable(returning.words(state, "detail")).strip()
        ending = _ENDINGS.get(outcome, Ending.INTERRUPTED)
        if refused := safe_line(str(answer["refused"]), 300):
            return WorkerResult(Ending.ERROR, summary, f"its work cannot be handed over: {refused}")
        if ending is Ending.ERROR and (why := self._cut_off(run, said)):
            return WorkerResult(Ending.INTERRUPTED, summary, why)
        if question or ending is Ending.QUESTION:
            return handover.result(summary, question or said or "it is blocked, and does not say by what")
        if ending is Ending.IMPLEMENTED:
            return handover.result(summary or said or readable(last_words).strip(), "")
        if ending is Ending.INTERRUPTED:
            last = readable(str(answer["said"])).strip().splitlines()[-1:]
            said = f"its supervisor ended without a word {' '.join(last)}".strip()
        return WorkerResult(ending, summary, said)

    def _cut_off(self, run: Run, said: str) -> str:
        """Why an agent that failed could not ask its model, "" where that is not what it failed by."""
        kind = self._agent.kind
        if kind is None:
            return ""
        if self.records_spend and not own_process.serves(self._services.store.folder(run.id)):
            return "the gateway of its run ended before it did"
        fault = told_fault(kind.NAME, said)
        return fault.public if fault else ""

    def _usage(self, run: Run, note: Note, state: Mapping[str, Any]) -> Usage:
        """By the gateway's count, else by the agent's stream and the configured price."""
        if self.records_spend:
            return Tally(self._services.store.folder(run.id)).usage()
        return transcript.add(note.before, returning.used(state, self._endpoint(state)))

    def _model(self, run: Run, state: Mapping[str, Any]) -> str:
        if self.records_spend:
            served = Tally(self._services.store.folder(run.id)).served
            if served is not None:
                return served.model
        endpoint = self._endpoint(state)
        return endpoint.name if endpoint else ""

    def _endpoint(self, state: Mapping[str, Any]) -> Endpoint | None:
        """The model that the agent there is at, by its supervisor's word."""
        known, place = self._agent.endpoints(), state.get("fallback")
        if not known:
            return None
        return known[place if isinstance(place, int) and 0 <= place < len(known) else 0]

    # --- end

    def stop(self, run: Run) -> None:
        note = notes.load(self._services.store.folder(run.id))
        if note is not None:
            self._visit(note).ask(
                "stop", timeout=_STOP_SECONDS + 30, run=run.id, number=note.launch, grace=_STOP_SECONDS
            )

    def release(self, run: Run, outcome: Outcome) -> None:
        """Keep a success, put back what went wrong, destroy what was made for this run alone."""
        note = notes.load(self._services.store.folder(run.id))
        if note is None:
            return
        visit = self._visit(note)
        if self._choice.is_ephemeral:
            self._destroy(run, note)
            return
        if outcome is Outcome.OFF_RAILS:
            self._put_back(run, visit)
        elif outcome.verdict is Verdict.PASSED:
            self._backend.checkpoint(note.sprite, f"sprint: {run.id}")
        visit.ask("free", run=run.id)

    def _destroy(self, run: Run, note: Note) -> None:
        """Only what bears our label and is named for this run."""
        if note.sprite not in self._choice.names(run):
            return
        found = next((one for one in self._backend.list() if one.name == note.sprite), None)
        if found is None:
            return
        if found.labels.get(MANAGED_BY) != OURS:
            raise Failed(f"sprite {note.sprite} does not bear managed_by=sprint: it is left as it is")
        self._backend.destroy(note.sprite)
        audit.note(self._services.results, self._backend.name, "destroy", note.sprite, run.id)

    def _put_back(self, run: Run, visit: Visit) -> None:
        kept = list(self._backend.checkpoints(visit.sprite))
        clean = next((one for one in reversed(kept) if one.comment == CLEAN), None)  # a later set-up's
        if clean is None:
            raise Failed(f"sprite {visit.sprite} has no clean checkpoint to go back to")
        self._backend.restore(visit.sprite, clean.id)
        visit.ask("reserve", run=run.id, runner=run.host, seconds=seconds_for(run))
        audit.note(self._services.results, self._backend.name, "restore", visit.sprite, clean.id)
        if clean.id not in {one.id for one in self._backend.checkpoints(visit.sprite)}:
            raise Failed(f"sprite {visit.sprite} does not list {clean.id}, to which it was put back")

    def secrets(self) -> Sequence[Secret]:
        return self._agent.secrets()

    def version(self) -> str:
        return self._agent.version()

    def _visit(self, note: Note) -> Visit:
        return Visit(self._backend, note.sprite)

    def _note(self, run: Run) -> Note:
        found = notes.load(self._services.store.folder(run.id))
        if found is None:
            raise SprintError(f"run {run.id}: on which sprite it is was not noted; it begins anew")
        return found
