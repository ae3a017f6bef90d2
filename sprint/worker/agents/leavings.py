"""Files that agents leave in the checkout to say how it went: read and removed inside, never published."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from sprint.domain import Completed
from sprint.sandbox import Command
from sprint.worker import Job, handover

_BLOCKED = ("BLOCKED.md", "BLOCKED")
_COMPLETE = ("TASK_COMPLETE.md", "TASK_COMPLETE")
_SECONDS = 20.0
_NO_REASON = "It says that it is blocked, and not by what."


@dataclass(frozen=True)
class Handed:
    """What they say. A question wins over a summary."""

    summary: str = ""
    question: str = ""


def free_names(job: Job) -> tuple[str, ...]:
    """The names that the base commit does not use itself; what lies there from before is removed."""
    names = [*_BLOCKED, *_COMPLETE]
    base = shlex.quote(job.run.base_sha or "HEAD")
    is_tracked = f'git cat-file -e {base}:"$name" 2>/dev/null'
    script = f'for name; do {is_tracked} || {{ rm -rf "$name"; echo "$name"; }}; done'
    done = _run(job, ["/bin/sh", "-c", script, "sh", *names])
    return tuple(name for name in done.out.splitlines() if name in names)


def take(job: Job, names: Sequence[str]) -> Handed:
    """Read those that are there, and remove them."""
    root = job.sandbox.inside(job.workspace)
    texts = {name: handover.read(job, f"{root}/{name}") for name in names}
    there = _run(job, ["/bin/sh", "-c", 'for name; do [ -f "$name" ] && echo "$name"; done', "sh", *names])
    found = there.out.splitlines()
    if names:
        _run(job, ["/bin/sh", "-c", 'rm -rf -- "$@"', "sh", *names])
    blocked = [texts[name] or _NO_REASON for name in _BLOCKED if name in found]
    summary = next((texts[name] for name in _COMPLETE if texts.get(name)), "")
    return Handed(summary, blocked[0] if blocked else "")


def write(job: Job, path: str, text: str) -> None:
    """A file of ours, written inside, where links lead nowhere that the agent could not reach itself."""
    script = 'mkdir -p "$2" && rm -rf "$1" && cat >"$1"'
    parent = str(PurePosixPath(path).parent)
    _run(job, ["/bin/sh", "-c", script, "sh", path, parent], text.encode("utf-8", "replace"))


def _run(job: Job, argv: Sequence[str], stdin: bytes = b"") -> Completed:
    return job.sandbox.run(Command(argv, timeout=_SECONDS, stdin=stdin), job.workspace)
