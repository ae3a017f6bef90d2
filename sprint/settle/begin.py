"""The first step of a run: a workspace, the project's setup, its checks at the base, then the worker."""

from __future__ import annotations

import os
from pathlib import Path

from sprint import verify, workspace
from sprint.domain import CheckResult, Liveness, Phase, Prompt
from sprint.settle import repository
from sprint.settle.early import ended_early
from sprint.settle.prove import setup_failure
from sprint.settle.under_way import UnderWay
from sprint.worker import Status


def begin(current: UnderWay) -> UnderWay:
    """Phase claimed. What an earlier process began of it is begun anew: nobody has worked on it yet."""
    current = _with_workspace(current)
    if failed := _setup(current):
        if reason := current.reason_to_stop():
            return ended_early(current, reason)
        raise repository.set_up_failed(current, setup_failure(failed))
    repository.set_up_works(current)
    current = _checked(current)
    if reason := current.reason_to_stop():
        return ended_early(current, reason)
    return start(current, current.prompt())


def start(current: UnderWay, prompt: Prompt) -> UnderWay:
    """Have the worker begin; an attached one also ends here."""
    if not current.worker.attached:
        current.held_lease.confirm()  # from here on nobody renews the claim between two ticks
    current = current.advance(Phase.WORKING, worker_version=current.worker.version())
    current.worker.start(current.job(prompt))
    return current.with_status(None if current.worker.attached else Status(Liveness.RUNNING))


def _with_workspace(current: UnderWay) -> UnderWay:
    context, run = current.context, current.run
    mirror, base_sha = workspace.update_mirror(
        context.config.paths.cache, run.forge, run.repo, context.remote, branch=context.base
    )
    if run.workspace:
        workspace.remove(Path(run.workspace))
    branch = context.repo_config.publish.branch.format(number=run.number)
    space = workspace.create(context.config.paths.workspaces, run.id, mirror, base_sha, context.base, branch)
    return current.advance(
        Phase.CLAIMED,
        pid=os.getpid(),
        base_branch=context.base,
        base_sha=base_sha,
        branch=branch,
        workspace=str(space.root),
        uid=space.uid,
    )


def _setup(current: UnderWay) -> CheckResult | None:
    context, repo = current.context, current.context.repo_config
    return verify.run_setup(
        context.sandbox,
        current.space,
        repo.setup,
        network=repo.sandbox.setup_network == "host",
        timeout=repo.limits.check_minutes * 60,
        watching=current.watching("setup"),
    )


def _checked(current: UnderWay) -> UnderWay:
    context, repo, space = current.context, current.context.repo_config, current.space
    checks = repo.checks if repo.checks is not None else verify.find_checks(space, context.sandbox)
    base_checks = verify.run_checks(
        context.sandbox,
        space,
        checks,
        timeout=repo.limits.check_minutes * 60,
        watching=current.watching("base"),
    )
    leftovers = workspace.leftovers(space, context.sandbox, current.run.base_sha)
    return current.advance(Phase.CLAIMED, base_checks=base_checks, leftovers=leftovers)
