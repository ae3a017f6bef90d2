"""The first step of a run: a workspace, the project's setup, its checks at the base, then the worker."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sprint import environment, verify, workspace
from sprint.beside import ending
from sprint.domain import (
    CheckResult,
    Ending,
    EnvironmentUse,
    Liveness,
    Outcome,
    Phase,
    Prompt,
    WorkerResult,
    Workspace,
    replace,
)
from sprint.settle import merged_base, repository
from sprint.settle.ahead import Ahead, branch_of
from sprint.settle.carry import carry
from sprint.settle.early import ended_early
from sprint.settle.under_way import UnderWay
from sprint.settle.work import job_of
from sprint.worker import Status


def begin(current: UnderWay) -> UnderWay:
    """Phase claimed. What an earlier process began of it is begun anew: nobody has worked on it yet."""
    current, prepared = _prepared(current)
    if prepared.failed:
        if reason := current.reason_to_stop():
            return ended_early(current, reason)
        raise repository.set_up_failed(current, f"setup failed: {environment.failure(prepared.failed)}")
    repository.set_up_works(current)
    current = _checked(current, prepared)
    if reason := current.reason_to_stop():
        return ended_early(current, reason)
    if not current.run.is_follow_up:
        current = carry(current)
        return start(current, current.prompt())
    current = _merged(current)
    if current.run.phase is not Phase.CLAIMED:
        return current
    current = _at_the_head(current)
    if reason := current.reason_to_stop():
        return ended_early(current, reason)
    return start(current, current.prompt())


def _merged(current: UnderWay) -> UnderWay:
    """Of a follow-up: the pull request's branch with the base merged in. An update is that, and no work."""
    try:
        head = merged_base.fetch_head(current)
        if head != current.run.head_sha:
            return current.concluded(Outcome.CANCELLED, "somebody pushed to its branch, or removed it")
        current = merged_base.merged(current, head)
    except merged_base.CannotBegin as error:
        return current.concluded(Outcome.ERROR, str(error))
    if not current.run.is_update:
        return current
    if len(merged_base.parents_of(current)) == 1 or merged_base.is_resolution(current):
        return current.concluded(Outcome.CANCELLED, "its base moved once more")
    return current.advance(Phase.WORKED, result=WorkerResult(Ending.IMPLEMENTED, is_reviewed=True))


def _at_the_head(current: UnderWay) -> UnderWay:
    """Of a follow-up: the base's workspace makes room for that of the pull request with the base merged in,
    where the checks are run once more, to see what fails there."""
    run = current.run
    workspace.remove_all_of(current.context.config.paths.workspaces, run.id)
    prepared = environment.prepare(
        replace(current.project, mirror=current.objects),
        environment.Checkout(run.id, run.start_sha, run.base_branch, run.branch),
        run.environment or EnvironmentUse(),
        watching=current.watching("setup"),
    )
    space = prepared.workspace
    current = current.advance(Phase.CLAIMED, workspace=str(space.root), uid=space.uid)
    checks = () if prepared.failed else _run(current, space, prepared.checks, "head")
    leftovers = _leftovers(current, prepared, current.objects, run.start_sha)
    return current.advance(Phase.CLAIMED, start_checks=checks, leftovers=leftovers)


def start(current: UnderWay, prompt: Prompt) -> UnderWay:
    """Have the worker begin; an attached one also ends here."""
    if not current.worker.attached:
        current.held_lease.confirm()  # from here on nobody renews the claim between two ticks
    current = current.advance(Phase.WORKING, worker_version=current.worker.version())
    current.worker.start(job_of(current, prompt))
    return current.with_status(None if current.worker.attached else Status(Liveness.RUNNING))


def _prepared(current: UnderWay) -> tuple[UnderWay, environment.Prepared]:
    context, run = current.context, current.run
    base = run.base_branch if run.is_follow_up else context.base
    ahead = current.ahead or Ahead(context)
    base_sha, fresh = ahead.take(run, base, ending(current.reason_to_stop))
    branch = branch_of(context, run)
    kept = str(fresh.workspace.root) if fresh else ""
    workspace.remove_all_of(context.config.paths.workspaces, run.id, keep=kept)
    current = current.advance(
        Phase.CLAIMED, pid=os.getpid(), base_branch=base, base_sha=base_sha, branch=branch
    )
    prepared = environment.prepare(
        current.project,
        environment.Checkout(run.id, base_sha, base, branch),
        fresh=fresh,
        watching=current.watching("setup"),
    )
    space = prepared.workspace
    current = current.advance(
        Phase.CLAIMED, workspace=str(space.root), uid=space.uid, environment=prepared.use
    )
    return current, prepared


def _run(current: UnderWay, space: Workspace, checks: Sequence[str], what: str) -> tuple[CheckResult, ...]:
    return verify.run_checks(
        current.context.sandbox,
        space,
        checks,
        timeout=current.context.repo_config.limits.check_minutes * 60,
        watching=current.watching(what),
        why_missing=current.run.environment.why_missing if current.run.environment else "",
    )


def _checked(current: UnderWay, prepared: environment.Prepared) -> UnderWay:
    base_checks = _run(current, current.space, prepared.checks, "base")
    leftovers = _leftovers(current, prepared, current.mirror, current.run.base_sha)
    return current.advance(Phase.CLAIMED, base_checks=base_checks, leftovers=leftovers)


def _leftovers(
    current: UnderWay, prepared: environment.Prepared, store: Path, commit: str
) -> tuple[str, ...]:
    """What set-up and checks left in the checkout; where there are none, it is as it was made."""
    is_untouched = not (prepared.use.setup or prepared.use.build or prepared.checks)
    if is_untouched and workspace.comes_out_as_it_is(store, commit):
        return ()
    return workspace.leftovers(current.space, current.context.sandbox, commit)
