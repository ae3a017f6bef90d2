"""What a worker has made: brought into the mirror, without what it left lying for itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sprint import policy, workspace
from sprint.credentials import NO_KEY
from sprint.domain import ImportedWork, Refusal, Secret
from sprint.errors import SprintError
from sprint.worker.review import Inspection

if TYPE_CHECKING:
    from sprint.settle.under_way import UnderWay


@dataclass(frozen=True)
class Work:
    """`imported` is what would be published, `strays` what is not (scratch) or may not be meant (others)."""

    imported: ImportedWork
    strays: workspace.Strays


def bring_in(current: UnderWay) -> Work:
    """Import the workspace's work and leave scratch out; patch.diff keeps all of it, whatever becomes of it.

    Raises HandoverError where the workspace cannot be exported.
    """
    work = workspace.import_work(
        current.space,
        current.mirror,
        current.run.base_sha,
        current.context.sandbox,
        leftovers=current.run.leftovers,
        scratch=current.folder,
    )
    if work.changes:
        (current.folder / "patch.diff").write_bytes(workspace.diff(current.mirror, work.base, work.tree))
    found = workspace.strays(current.mirror, work, lambda: _asked_for(current))
    left = workspace.leave_out(current.mirror, current.space, work, found.scratch, current.folder)
    return Work(left, found)


def judge(current: UnderWay, work: ImportedWork) -> tuple[Refusal, ...]:
    """Why the work may not be published; empty where it may, or where there is none."""
    if not work.changes:
        return ()
    publish = current.context.repo_config.publish
    return policy.judge(current.mirror, work, publish, known=_secrets(current))


def inspect(current: UnderWay) -> Inspection:
    """The work as it would be handed in now, for the worker to look at."""
    try:
        work = bring_in(current)
    except workspace.HandoverError as error:
        return Inspection((), refusals=(Refusal("", str(error)),))
    return Inspection(
        workspace.diffstat(current.mirror, work.imported),
        scratch=work.strays.scratch,
        unreferenced=work.strays.others,
        refusals=judge(current, work.imported),
    )


def _asked_for(current: UnderWay) -> str:
    """The issue's own words and people's: a file that they name is wanted."""
    forge, name, number = current.context.forge, current.context.repository.name, current.run.issue
    if number is None:
        return current.run.title
    issue = forge.issue(name, number)
    said = [comment.body for comment in forge.comments(name, number)] if issue.comments else []
    return "\n".join([issue.title, issue.body, *said])


def _secrets(current: UnderWay) -> list[Secret]:
    """Ours. The agent can have seen none of them; that its work holds none is looked at all the same."""
    try:
        keys = [key for key in current.worker.secrets() if key != NO_KEY]
    except SprintError:  # no model now, which is nothing to what has been made
        keys = []
    return [*keys, *([current.context.forge.token] if current.context.forge.token else [])]
