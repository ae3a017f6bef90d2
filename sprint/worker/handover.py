"""How an agent or a command hands its work over: files beside the checkout, and what they say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from sprint.domain import Ending, Prompt, WorkerResult
from sprint.prompts import ALREADY_FIXED, OwnWords, agent_prompt
from sprint.sandbox import Command
from sprint.task import Task
from sprint.terminal_text import readable
from sprint.worker import Job

_CAP = 20_000  # bytes of a file
_SECONDS = 20.0
_FIRST_LINE = re.compile(rf"\W*{ALREADY_FIXED}\W+([0-9a-f]{{7,64}})\W*", re.IGNORECASE)


@dataclass(frozen=True)
class Places:
    """Where the hand-over lies, as the one who works sees it."""

    folder: str

    @classmethod
    def below(cls, root: str) -> Places:
        return cls(str(PurePosixPath(root, "tmp", "handover")))

    @classmethod
    def of(cls, job: Job) -> Places:
        return cls.below(str(PurePosixPath(job.sandbox.inside(job.workspace)).parent))

    @property
    def prompt(self) -> str:
        return f"{self.folder}/prompt.md"

    @property
    def summary(self) -> str:
        return f"{self.folder}/summary.md"

    @property
    def question(self) -> str:
        return f"{self.folder}/question.md"


def prompt(task: Task, own: OwnWords | None = None) -> Prompt:
    """The task, for one who hands over so."""
    places = Places.below(task.root)
    own = own or OwnWords()
    return agent_prompt(task, summary_file=places.summary, question_file=places.question, own=own)


def read(job: Job, path: str) -> str:
    """A plain file's text, "" for anything else; read inside, for it may be whatever was made of it."""
    script = f'[ -f "$1" ] && [ ! -L "$1" ] && head -c {_CAP} -- "$1"'
    done = job.sandbox.run(Command(["/bin/sh", "-c", script, "sh", path], timeout=_SECONDS), job.workspace)
    return readable(done.out).strip() if done.ok else ""


def result(summary: str, question: str) -> WorkerResult:
    """A question wins. A summary that begins as `prompts.agent_prompt` says names the commit of a fix."""
    if question:
        return WorkerResult(Ending.QUESTION, summary, question)
    first, _, rest = summary.partition("\n")
    if fixed := _FIRST_LINE.fullmatch(first):
        return WorkerResult(Ending.ALREADY_FIXED, rest.strip(), commit=fixed[1])
    return WorkerResult(Ending.IMPLEMENTED, summary)
