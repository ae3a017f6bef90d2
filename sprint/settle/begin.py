"""The first step of a run: a workspace, the project's setup, its checks at the base, then the worker."""

from __future__ import annotations

import os
from pathlib import Path

from sprint import verify, workspace
from sprint.clean_text import safe_line
from sprint.domain import CheckResult, Outcome, Phase
from sprint.scope import prompt_for
from sprint.settle.under_way import UnderWay


def begin(current: UnderWay) -> UnderWay:
    """Phase claimed. What an earlier process began of it is begun anew: nobody has worked on it yet."""
    context, repo = current.context, current.context.repo_config
    mirror, base_sha = workspace.update_mirror(
        context.config.paths.cache, current.run.forge, current.run.repo, context.remote, branch=context.base
    )
    if current.run.workspace:
        workspace.remove(Path(current.run.workspace))
    branch = repo.publish.branch.format(number=current.run.number)
    space = workspace.create(
        context.config.paths.workspaces, current.run.id, mirror, base_sha, context.base, branch
    )
    current = current.advance(
        Phase.CLAIMED,
        pid=os.getpid(),
        base_branch=context.base,
        base_sha=base_sha,
        branch=branch,
        workspace=str(space.root),
        uid=space.uid,
    )
    minutes = repo.limits.check_minutes * 60
    network = repo.sandbox.setup_network == "host"
    if failed := verify.run_setup(context.sandbox, space, repo.setup, network=network, timeout=minutes):
        return current.concluded(Outcome.ERROR, setup_failure(failed))
    checks = repo.checks if repo.checks is not None else verify.find_checks(space, context.sandbox)
    base_checks = verify.run_checks(context.sandbox, space, checks, timeout=minutes)
    current = current.advance(
        Phase.CLAIMED,
        base_checks=base_checks,
        leftovers=workspace.leftovers(space, context.sandbox, base_sha),
    )
    issue = context.forge.issue(context.repository.name, current.run.number)
    prompt = prompt_for(context, current.run, issue, mirror)
    current = current.advance(Phase.WORKING)
    current.worker.start(current.job(prompt))
    return current


def setup_failure(failed: CheckResult) -> str:
    last = failed.tail.strip().splitlines()[-1:] or [failed.status]
    return f"setup failed: {failed.command}: {safe_line(last[0])}"
