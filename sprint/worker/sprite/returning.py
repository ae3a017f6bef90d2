"""Brings what an agent made on a sprite into the run's own workspace, and what it said into the transcript.

What comes back is hostile. It is weighed as every export is, unpacked in the sandbox, and from there on it is
the work of a worker like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sprint import transcript
from sprint.domain import Endpoint, Usage
from sprint.model.reply import priced
from sprint.sandbox import Command
from sprint.sprite.backend import BackendError
from sprint.sprite.detector import Silence
from sprint.sprite.visit import Visit
from sprint.worker import Job
from sprint.worker.agents.agent_kind import AgentKind
from sprint.worker.agents.story import Story
from sprint.worker.sprite.ground import Ground
from sprint.worker.sprite.note import Note
from sprint.workspace.bundle import BundleError, open_bundle
from sprint.workspace.importing import (
    BUNDLE_CAP,
    ENVIRONMENT,
    EXPORT,
    MAX_EXPANDED,
    MAX_NEW_FILES,
    HandoverError,
)

_SECONDS = 600.0
_LOG_CAP = 4 << 20
# Of the supervisor, in the checkout; see sprite/supervisor/.
_SUPERVISORS = (".bb-agent", "STATUS.json", ".dispatch-prompt.md", "PROMPT.md")
_SIGNALS = ("TASK_COMPLETE", "TASK_COMPLETE.md", "BLOCKED.md", "BLOCKED")
# Makes the checkout what the agent's was, but for what the repository ignores; $1 is the commit that came.
# Files of the supervisor's that the project has under the same name are as they were.
_UNPACK = """\
set -eu
work=$1 base=$2; shift 2
git index-pack --strict --stdin >/dev/null
git add -A . 2>/dev/null || true
git read-tree --reset -u "$work"
for name; do
git rev-parse -q --verify "$base:$name" >/dev/null && git checkout -q "$base" -- "$name" || true
done
"""


def fetch(job: Job, visit: Visit, ground: Ground, note: Note) -> dict[str, Any]:
    """Make the workspace's checkout what the agent's is there, and return what else it left. Repeatable.

    Raises BackendError where it cannot be had now. What can never be handed over is said in `refused`: then
    it stays on the sprite, where the next run puts it aside.
    """
    run = job.run
    answer = visit.ask(
        "collect",
        timeout=_SECONDS + 60,
        run=run.id,
        slug=ground.slug,
        number=note.launch,
        base=run.base_sha,
        cwd=ground.cwd,
        confine=ground.confine(
            seconds=_SECONDS, writable=False, has_input=True, env=ENVIRONMENT, output_cap=BUNDLE_CAP
        ),
        script=EXPORT.read_text(),
        env={} if ground.held else {**ENVIRONMENT, "HOME": ground.home},
        most=[MAX_NEW_FILES, MAX_EXPANDED],
        patterns=[*_ignored(job), *(f"/{name}" for name in (*_SUPERVISORS, *_SIGNALS))],
        seconds=_SECONDS,
    )
    if answer["refused"]:
        return answer
    bundle = visit.backend.get(visit.sprite, f".sprint/runs/{run.id}/result.bundle", cap=BUNDLE_CAP)
    try:
        _unpack(job, bundle)
    except HandoverError as error:
        return {**answer, "refused": str(error)}
    return answer


def _ignored(job: Job) -> list[str]:
    """The junk of this project, as its own checkout leaves it out."""
    done = job.sandbox.run(Command(["cat", ".git/info/exclude"], timeout=20), job.workspace)
    return [line for line in done.out.splitlines() if line.strip() and not line.startswith("#")][:500]


def _unpack(job: Job, bundle: bytes) -> None:
    base = job.run.base_sha
    try:
        work, pack = open_bundle(bundle, base, MAX_EXPANDED)
    except BundleError as error:
        raise HandoverError(f"what came from the sprite is not as it should be: {error}") from error
    done = job.sandbox.run(
        Command(
            ["sh", "-c", _UNPACK, "unpack", work, base, *_SUPERVISORS, *_SIGNALS],
            timeout=_SECONDS,
            stdin=pack,
            env={key: value for key, value in ENVIRONMENT.items() if key != "HOME"},
        ),
        job.workspace,
    )
    if not done.ok:
        said = done.killed_by or (done.err.strip().splitlines() or ["git said nothing"])[-1]
        raise HandoverError(f"what came from the sprite cannot be unpacked: {said[:300]}")


class _Known:
    """What is known of the model's use, as the transcript's writer asks for it."""

    def __init__(self, model: str, usage: Usage) -> None:
        self.model = model
        self._usage = usage

    def calls(self) -> int:
        return 0

    def usage(self) -> Usage:
        return self._usage


def tell(
    job: Job, visit: Visit, kind: AgentKind | None, note: Note, model: str, usage: Usage, *, estimated: bool
) -> tuple[str, str]:
    """Put what the agent printed since the last time into the transcript; the time of its last line, and the
    last words of an agent that shows no steps.

    The work is what counts: a log that cannot be had is missing in the transcript, and no more.
    """
    try:
        log = visit.backend.get(visit.sprite, f".sprint/runs/{job.run.id}/agent.log", cap=_LOG_CAP)
    except BackendError as error:
        transcript.append(job.folder, "note", text=f"what the agent printed cannot be had: {error}")
        return note.told, ""
    (job.folder / transcript.RAW).write_bytes(log)
    if kind is None:
        return note.told, ""
    story = Story(job.folder, kind, _Known(model, usage), Silence(), lambda _: None, is_estimated=estimated)
    last, printed = note.told, []
    for line in log.splitlines():
        at, _, rest = line.partition(b" ")
        stream, _, text = rest.partition(b" ")
        when = at.decode("ascii", "replace")
        if when > note.told:
            last = max(last, when)
            if stream == b"[stdout]":
                story.line(text)
                printed.append(text.decode("utf-8", "replace"))
    story.close("" if kind.TELLS_STEPS else "\n".join(printed), "", 0)
    return last, "" if kind.TELLS_STEPS else story.last_text


def used(state: Mapping[str, Any], endpoint: Endpoint | None) -> Usage:
    """What the supervisor has counted in the agent's own words, at that model's price."""
    stats = state.get("stats")
    stats = stats if isinstance(stats, Mapping) else {}
    turns, read, written = (_number(stats, name) for name in ("messageCount", "inputTokens", "outputTokens"))
    cached = min(_number(state, "cached_tokens"), read)
    turns = max(turns, bool(read or written))
    cost = priced(endpoint, read, cached, written).cost_usd if endpoint and turns else None
    return Usage(turns, read, cached, written, cost)


def _number(record: Mapping[str, Any], name: str) -> int:
    value = record.get(name)
    return value if isinstance(value, int) and 0 <= value < 10**12 else 0


def words(state: Mapping[str, Any], name: str) -> str:
    value = state.get(name)
    return value[:4000] if isinstance(value, str) else ""
