"""The worker `command`: any program, run in the sandbox over the checkout, with the prompt on its stdin.

It hands over by files beside the checkout, so that none of them is published: what it writes to
$SPRINT_SUMMARY is the summary, what it writes to $SPRINT_QUESTION is a question that a person has to answer
first; a summary that begins with the words of `prompts.ALREADY_FIXED` and a commit says that nothing is left
to do. What it changed in the checkout is its work.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from sprint import progress, transcript
from sprint.config import CommandWorkerConfig
from sprint.domain import Completed, Ending, Prompt, Secret, WorkerResult
from sprint.sandbox import Command
from sprint.task import Task
from sprint.terminal_text import readable
from sprint.worker import Job, handover
from sprint.worker.handover import Places

_OUTPUT_CAP = 2_000_000
_TAIL = 2_000
_SECONDS = "seconds"  # below the run's folder: how long it has worked so far
_RUN = 'mkdir -p "$SPRINT_HANDOVER" && rm -rf "$SPRINT_SUMMARY" "$SPRINT_QUESTION"'


class CommandPerformer:
    def __init__(self, config: CommandWorkerConfig) -> None:
        self._config = config

    def check(self) -> None:
        pass  # what it needs is its own; a command that is not there ends its first run as an error

    def prompt(self, task: Task) -> Prompt:
        return handover.prompt(task)

    def begin(self, job: Job) -> WorkerResult:
        transcript.append(job.folder, "user", text=job.prompt.whole)
        return self._run(job, job.prompt.whole)

    def go_on(self, job: Job, message: str) -> WorkerResult:
        """A command has no memory: it is told all that it was told before, and then the message."""
        told = transcript.told(job.folder)
        if not told:
            return self.begin(job)
        transcript.append(job.folder, "user", text=message)
        return self._run(job, f"{told[0]}\n\n{message}")

    def secrets(self) -> Sequence[Secret]:
        return ()

    def version(self) -> str:
        return ""

    def _run(self, job: Job, text: str) -> WorkerResult:
        places = Places.of(job)
        left = job.limits.minutes * 60 - _seconds_so_far(job.folder)
        if left <= 0:
            return _over(job, "")
        prepared = _RUN
        if self._config.prompt == "file":
            prepared += ' && cat >"$SPRINT_PROMPT"'
        done = self._at_work(job, places, text, prepared, left)
        summary = handover.read(job, places.summary)
        if done.killed_by == "timeout":
            return _over(job, summary)
        if done.killed_by:
            return WorkerResult(Ending.CANCELLED, summary, done.killed_by)
        question = handover.read(job, places.question)
        if done.exit_code and not question:
            last = readable(done.out + done.err).strip()[-_TAIL:]
            return WorkerResult(Ending.ERROR, summary, f"the command exited with {done.exit_code}: {last}")
        return handover.result(summary, question)

    def _at_work(self, job: Job, places: Places, text: str, prepared: str, left: float) -> Completed:
        script = f"{prepared} && exec /bin/sh -c {_quoted(self._config.command)}"
        began = time.monotonic()
        progress.append(job.folder, "time", seconds_left=left)
        progress.append(job.folder, "doing", what="tool", text=self._config.command, seconds=left)
        try:
            done = job.sandbox.run(
                Command(
                    ["/bin/sh", "-c", script],
                    timeout=left,
                    network=job.network,
                    stdin=text.encode("utf-8", "replace"),
                    env=_environment(places),
                    output_cap=_OUTPUT_CAP,
                    output_file=job.folder / transcript.RAW,
                    watch=job.watch,
                    on_line=progress.Pulse(job.folder).line,
                ),
                job.workspace,
            )
        finally:
            total = _seconds_so_far(job.folder) + time.monotonic() - began
            (job.folder / _SECONDS).write_text(f"{total:.1f}")
        transcript.append(
            job.folder,
            "tool",
            turn=0,
            id="",
            name="command",
            text=readable(done.out + done.err)[-_TAIL:],
            seconds=round(done.seconds, 3),
            error="",
            exit_code=done.exit_code,
            killed_by=done.killed_by,
            output=transcript.RAW,
        )
        return done


def _over(job: Job, summary: str) -> WorkerResult:
    return WorkerResult(Ending.LIMIT, summary, f"limits.minutes: {job.limits.minutes:g} minutes are over")


def _environment(places: Places) -> dict[str, str]:
    return {
        "SPRINT_HANDOVER": places.folder,
        "SPRINT_PROMPT": places.prompt,
        "SPRINT_SUMMARY": places.summary,
        "SPRINT_QUESTION": places.question,
    }


def _seconds_so_far(folder: Path) -> float:
    try:
        return float((folder / _SECONDS).read_text())
    except (OSError, ValueError):
        return 0.0


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
