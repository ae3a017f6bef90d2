"""Runs any kind of coding agent: the sandbox, its clock, its hand-over, and whose fault its end is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

from sprint import progress, transcript
from sprint.config import AgentWorkerConfig
from sprint.domain import Completed, Ending, Prompt, Secret, WorkerResult, replace
from sprint.errors import ConfigError, ModelError, SprintError
from sprint.sandbox import Command
from sprint.sprite.detector import Silence
from sprint.task import Task
from sprint.terminal_text import readable
from sprint.worker import Job, handover
from sprint.worker.agents import leavings, logins, state
from sprint.worker.agents.agent_kind import AgentKind, Assignment, Launch, by_file
from sprint.worker.agents.programs import Program
from sprint.worker.agents.state import State
from sprint.worker.agents.story import Story
from sprint.worker.agents.told_faults import told_fault
from sprint.worker.agents.way import Route, Way
from sprint.worker.handover import Places

LOG = transcript.RAW
TURNS = "turns"
_OUTPUT_CAP = 2_000_000
_TAIL = 600
_LONGEST_ARGUMENT = 100_000  # bytes: the kernel takes 128 KiB
_SCRIPT = 'mkdir -p "$1" && rm -rf "$2" "$3" && shift 3 && exec "$@"'


class Verdicts(Protocol):
    """What was seen outside of the agent of how it ended; see Way."""

    def over(self) -> str: ...

    def fault(self) -> ModelError | None: ...


class AgentPerformer:
    """See Performer. `config` is the worker's section, `route` leads to its model."""

    def __init__(self, kind: AgentKind, config: AgentWorkerConfig, route: Route) -> None:
        self._kind = kind
        self._config = config
        self._route = route

    def check(self) -> None:
        self._kind.find(self._config)
        try:
            self._route.check(self._kind.DIALECT, self._config.model)
        except SprintError as error:
            if login := logins.remark(self._kind.NAME, Path.home()):
                raise ConfigError(f"{error}; {login}") from error
            raise

    def prompt(self, task: Task) -> Prompt:
        return handover.prompt(task)

    def begin(self, job: Job) -> WorkerResult:
        """Raises ModelError where it ended for want of a model that answers."""
        transcript.append(job.folder, "user", text=job.prompt.whole)
        state.save(job.folder, State(names=leavings.free_names(job)))
        return self._ended(job, self._start(job, job.prompt.whole))

    def go_on(self, job: Job, message: str) -> WorkerResult:
        """In the agent's own session where it has one, else with all that it was told before."""
        told = transcript.told(job.folder)
        if not told:
            return self.begin(job)
        transcript.append(job.folder, "user", text=message)
        if session := state.load(job.folder).session:
            result, steps = self._start(job, message, session)
            if steps or result.ending is not Ending.ERROR:
                return self._ended(job, (result, steps))
            transcript.append(job.folder, "note", text="its session is gone: it is told everything again")
        return self._ended(job, self._start(job, f"{told[0]}\n\n{message}"))

    def secrets(self) -> Sequence[Secret]:
        return self._route.secrets()

    def version(self) -> str:
        return self._kind.find(self._config).version

    # --- one start

    def _start(self, job: Job, prompt: str, session: str = "") -> tuple[WorkerResult, int]:
        """What it handed over, and how many steps were seen of it. Raises ModelError."""
        kept = state.load(job.folder)
        left = job.limits.minutes * 60 - kept.seconds
        turns = job.limits.turns - transcript.usage(job.folder)[0].turns
        if left <= 0 or turns <= 0:
            return WorkerResult(Ending.LIMIT, detail=over(job, is_time=left <= 0)), 0
        with self._route.open(job, self._kind.DIALECT, self._config.model) as way:
            program = self._kind.find(self._config)
            launch = self._launch(job, way, program, prompt, session, turns)
            start = _Start(job, self._kind, way, kept, left)
            done = start.run(launch, program)
            return self._judged(job, way, start.story, done), start.story.steps

    def _launch(self, job: Job, way: Way, program: Program, prompt: str, session: str, turns: int) -> Launch:
        home = PurePosixPath(job.sandbox.inside(job.workspace)).parent / "home"
        work = Assignment(
            program=program.argv,
            prompt=prompt,
            base_url=way.base_url,
            key=way.key,
            model=way.model,
            home=str(home),
            max_turns=turns,
            session=session,
        )
        launch = self._kind.launch(work)
        if not launch.stdin and len(prompt.encode("utf-8", "replace")) > _LONGEST_ARGUMENT:
            path = Places.of(job).prompt
            leavings.write(job, path, prompt)
            launch = self._kind.launch(replace(work, prompt=by_file(path)))
        for name, text in launch.files.items():
            leavings.write(job, str(home / name), text)
        return launch

    def _judged(self, job: Job, way: Verdicts, story: Story, done: Completed) -> WorkerResult:
        """Whose fault its end is: the clock's, ours, the provider's, its own; else what it handed over."""
        places = Places.of(job)
        handed = leavings.take(job, state.load(job.folder).names)
        question = handover.read(job, places.question) or handed.question
        summary = handover.read(job, places.summary) or handed.summary
        text = readable(story.last_text).strip()
        if not done.killed_by and (question or summary):
            return handover.result(summary, question)
        if done.killed_by == "timeout":
            return WorkerResult(Ending.LIMIT, summary or text, over(job, is_time=True))
        if limit := way.over():
            return WorkerResult(Ending.LIMIT, summary or text, limit)
        if story.waits and (fault := way.fault()):
            raise fault
        if story.stop:
            return WorkerResult(Ending.OFF_RAILS, summary or text, story.stop)
        if done.killed_by == TURNS or (not done.killed_by and story.turns >= job.limits.turns):
            return WorkerResult(Ending.LIMIT, summary or text, over(job, is_time=False))
        if done.killed_by:
            return WorkerResult(Ending.CANCELLED, summary or text, done.killed_by)
        failure = _failure(story, done)
        if fault := way.fault() or (told_fault(self._kind.NAME, failure) if failure else None):
            raise fault
        if failure:
            return WorkerResult(Ending.ERROR, text, f"{self._kind.NAME}: {failure}")
        return handover.result(text, "")

    def _ended(self, job: Job, ended: tuple[WorkerResult, int]) -> WorkerResult:
        result, _ = ended
        usage, model = transcript.usage(job.folder)
        transcript.append(
            job.folder, "end", ending=result.ending, summary=result.summary, detail=result.detail
        )
        return WorkerResult(result.ending, result.summary, result.detail, result.commit, model, usage)


class _Start:
    """One process of an agent, from its start to its end."""

    def __init__(self, job: Job, kind: AgentKind, way: Way, kept: State, left: float) -> None:
        self._job = job
        self._kind = kind
        self._way = way
        self._state = kept
        self._left = left
        self._began = time.monotonic()
        self.story = Story(job.folder, kind, way, _silence(job, kind), self._note_session)

    def run(self, launch: Launch, program: Program) -> Completed:
        """Raises Stopped and KeyboardInterrupt, as they come; what was done stays."""
        job, way, places = self._job, self._way, Places.of(self._job)
        progress.append(job.folder, "time", seconds_left=self._left)
        inside = ["/bin/sh", "-c", _SCRIPT, "sh", places.folder, places.summary, places.question]
        try:
            done = job.sandbox.run(
                Command(
                    way.wrap([*inside, *launch.argv]),
                    timeout=self._left,
                    network=job.network or way.network,
                    stdin=launch.stdin.encode("utf-8", "replace"),
                    env={**launch.env, **way.env},
                    read_only={**program.read_only, **way.read_only},
                    output_cap=_OUTPUT_CAP,
                    output_file=job.folder / LOG,
                    watch=self._watch,
                    on_line=self.story.line,
                ),
                job.workspace,
            )
        finally:
            way.close()
            self._save()
        if done.killed_by:
            self.story.close("", "", 0)
        else:
            self.story.close(done.out, done.err, done.exit_code)
        return done

    def _watch(self) -> str:
        self.story.tick()
        if reason := self._job.watch():
            return reason
        if self.story.turns > self._job.limits.turns:
            return TURNS
        return self._way.over() or self.story.stop

    def _note_session(self, session: str) -> None:
        if session == self._state.session:
            return
        self._state = State(session, self._state.seconds, self._state.names)
        self._save()

    def _save(self) -> None:
        seconds = self._state.seconds + time.monotonic() - self._began
        state.save(self._job.folder, State(self._state.session, seconds, self._state.names))


def _silence(job: Job, kind: AgentKind) -> Silence:
    """A slow model may read for as long as it may be silent; one that shows no steps may be in a call."""
    slow = job.limits.first_token_seconds + job.limits.silence_seconds
    usual = Silence()
    stop = slow if kind.TELLS_STEPS else max(slow, usual.in_call)
    return Silence(warn=stop / 2, stop=stop, in_call=max(usual.in_call, stop))


def _failure(story: Story, done: Completed) -> str:
    """What it says, or its exit code, of an end that was none."""
    if story.ended is not None and story.ended.failure:
        return readable(story.ended.failure)[-_TAIL:]
    if done.exit_code and not (story.ended and story.steps):
        last = readable(done.err + "\n" + done.out).strip()[-_TAIL:]
        return f"it exited with {done.exit_code}: {last}"
    return ""


def over(job: Job, *, is_time: bool) -> str:
    """Which limit is reached."""
    if is_time:
        return f"limits.minutes: {job.limits.minutes:g} minutes are over"
    return f"limits.turns: {job.limits.turns} turns are used"
