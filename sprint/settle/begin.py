"""The first step of a run: a workspace, the project's setup, its checks at the base, then the worker."""

from __future__ import annotations

import os
from collections.abc import Sequence

from sprint import environment, verify, workspace
from sprint.domain import Liveness, Phase, Prompt
from sprint.settle import repository
from sprint.settle.carry import carry
from sprint.settle.early import ended_early
from sprint.settle.under_way import UnderWay
from sprint.worker import Status


def begin(current: UnderWay) -> UnderWay:
    """Phase claimed. What an earlier process began of it is begun anew: nobody has worked on it yet."""
    current, prepared = _prepared(current)
    if prepared.failed:
        if reason := current.reason_to_stop():
            return ended_early(current, reason)
        raise repository.set_up_failed(current, f"setup failed: {environment.failure(prepared.failed)}")
    repository.set_up_works(current)
    current = _checked(current, prepared.checks)
    if reason := current.reason_to_stop():
        return ended_early(current, reason)
    current = carry(current)
    return start(current, current.prompt())


def start(current: UnderWay, prompt: Prompt) -> UnderWay:
    """Have the worker begin; an attached one also ends here."""
    if not current.worker.attached:
        current.held_lease.confirm()  # from here on nobody renews the claim between two ticks
    current = current.advance(Phase.WORKING, worker_version=current.worker.version())
    current.worker.start(current.job(prompt))
    return current.with_status(None if current.worker.attached else Status(Liveness.RUNNING))


def _prepared(current: UnderWay) -> tuple[UnderWay, environment.Prepared]:
    context, run = current.context, current.run
    _, base_sha = workspace.update_mirror(
        context.config.paths.cache, run.forge, run.repo, context.remote, branch=context.base
    )
    workspace.remove_all_of(context.config.paths.workspaces, run.id)
    branch = context.repo_config.publish.branch.format(number=run.number)
    current = current.advance(
        Phase.CLAIMED, pid=os.getpid(), base_branch=context.base, base_sha=base_sha, branch=branch
    )
    prepared = environment.prepare(
        current.project,
        environment.Checkout(run.id, base_sha, context.base, branch),
        watching=current.watching("setup"),
    )
    space = prepared.workspace
    current = current.advance(
        Phase.CLAIMED, workspace=str(space.root), uid=space.uid, environment=prepared.use
    )
    return current, prepared


def _checked(current: UnderWay, checks: Sequence[str]) -> UnderWay:
    context, repo, space = current.context, current.context.repo_config, current.space
    base_checks = verify.run_checks(
        context.sandbox,
        space,
        checks,
        timeout=repo.limits.check_minutes * 60,
        watching=current.watching("base"),
    )
    leftovers = workspace.leftovers(space, context.sandbox, current.run.base_sha)
    return current.advance(Phase.CLAIMED, base_checks=base_checks, leftovers=leftovers)
