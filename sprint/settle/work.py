"""What a worker is given, and what it has made: brought into the run's own repository, without scratch."""

from __future__ import annotations

from sprint import environment, policy, workspace
from sprint.domain import Prompt, Refusal, WorkerResult, replace
from sprint.settle.merged_base import as_change, unresolved
from sprint.settle.public_text import secrets_of
from sprint.settle.under_way import NO_PROMPT, UnderWay, Work
from sprint.worker import Job
from sprint.worker.review import Inspection


def job_of(current: UnderWay, prompt: Prompt = NO_PROMPT) -> Job:
    return Job(
        run=current.run,
        prompt=prompt,
        workspace=current.space,
        sandbox=current.context.sandbox,
        network=current.context.repo_config.sandbox.network == "host",
        limits=current.context.repo_config.limits,
        repo_config=current.context.repo_config,
        forge=current.context.forge,
        folder=current.folder,
        watch=current.reason_to_stop,
        inspect=lambda: inspect(current),
        kept=lambda: current.context.sharing.kept(current.run.id),
        furnish=lambda space: environment.put_into(space, current.project, current.run.environment),
    )


def bring_in(current: UnderWay) -> Work:
    """Import the workspace's work and leave scratch out; patch.diff keeps all of it, whatever becomes of it.

    Raises HandoverError where the workspace cannot be exported.
    """
    store = current.objects
    work = workspace.import_work(
        current.space,
        store,
        current.run.start,
        current.context.sandbox,
        leftovers=current.run.leftovers,
        scratch=current.folder,
    )
    work = as_change(current, work)
    if work.changes:
        (current.folder / "patch.diff").write_bytes(workspace.diff(store, work.base, work.tree))
    found = workspace.strays(store, work, lambda: _asked_for(current))
    left = workspace.leave_out(store, work, found.scratch, current.folder)
    return Work(left, found)


def judged(current: UnderWay, work: Work) -> Work:
    """With why it may not be published; with no refusals where it may, or there is none. Raises
    ScanUnfinished."""
    if work.refusals is not None:  # of these very objects, whose ids stand for what is in them
        return work
    imported = work.imported
    refusals = unresolved(current, imported)
    if imported.changes and not refusals:
        known = secrets_of(current.context, current.run)
        rules = current.context.repo_config.publish
        refusals = policy.judge(current.objects, imported, rules, known=known, branch=current.run.branch)
    return replace(work, refusals=refusals)


def inspect(current: UnderWay) -> Inspection:
    """The work as it would be handed in now, for the worker to look at."""
    try:
        work = _judged_in_time(current, bring_in(current))
    except workspace.HandoverError as error:
        current.looks.clear()
        return Inspection((), refusals=(Refusal("", str(error)),))
    current.looks[:] = [work]
    return inspection(current, work)


def _judged_in_time(current: UnderWay, work: Work) -> Work:
    try:
        return judged(current, work)
    except policy.ScanUnfinished:  # looked for again before anything is published
        return work


def handed_over(current: UnderWay, result: WorkerResult) -> Work:
    """The work of a worker that has ended: brought in, unless this process has just done so for it to look at
    and nothing ran there since. Raises HandoverError where the workspace cannot be exported."""
    looks = list(current.looks)
    current.looks.clear()
    return looks[0] if looks and result.is_as_inspected else bring_in(current)


def inspection(current: UnderWay, work: Work) -> Inspection:
    """What a reviewer would see of work that is brought in."""
    work = _judged_in_time(current, work)
    return Inspection(
        workspace.diffstat(current.objects, work.imported.base, work.imported.tree),
        scratch=work.strays.scratch,
        unreferenced=work.strays.others,
        refusals=work.refusals or (),
    )


def _asked_for(current: UnderWay) -> str:
    """The issue's own words and people's: a file that they name is wanted."""
    forge, name, number = current.context.forge, current.context.repository.name, current.run.issue
    if number is None:
        return current.run.title
    issue = forge.issue(name, number)
    said = [comment.body for comment in forge.comments(name, number)] if issue.comments else []
    return "\n".join([issue.title, issue.body, *said])
