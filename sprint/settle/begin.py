"""The first step of a run: a workspace, the project's setup, its checks at the base, then the worker."""

from __future__ import annotations

import os
from pathlib import Path

from sprint import verify, workspace
from sprint.brief import brief
from sprint.clean_text import safe_line
from sprint.domain import CheckResult, Outcome, Phase
from sprint.settle.case import Case


def begin(case: Case) -> Case:
    """Phase claimed. What an earlier process began of it is begun anew: nobody has worked on it yet."""
    context, repo = case.context, case.context.repo
    mirror, base_sha = workspace.update_mirror(
        context.config.paths.cache, case.run.forge, case.run.repo, context.remote, branch=context.base
    )
    if case.run.workspace:
        workspace.remove(Path(case.run.workspace))
    branch = repo.publish.branch.format(number=case.run.issue)
    space = workspace.create(
        context.config.paths.workspaces, case.run.id, mirror, base_sha, context.base, branch
    )
    case = case.advance(
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
        return case.concluded(Outcome.ERROR, setup_failure(failed))
    checks = repo.checks if repo.checks is not None else verify.find_checks(space, context.sandbox)
    base_checks = verify.run_checks(context.sandbox, space, checks, timeout=minutes)
    case = case.advance(
        Phase.CLAIMED,
        base_checks=base_checks,
        leftovers=workspace.leftovers(space, context.sandbox, base_sha),
    )
    issue = context.forge.issue(context.repository.name, case.run.issue)
    prompt = brief(context, case.run, issue, mirror)
    case = case.advance(Phase.WORKING)
    case.worker.start(case.job(prompt))
    return case


def setup_failure(failed: CheckResult) -> str:
    last = failed.tail.strip().splitlines()[-1:] or [failed.status]
    return f"setup failed: {failed.command}: {safe_line(last[0])}"
