"""What a worker handed over: imported, judged, and checked in a checkout of exactly what would be pushed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from sprint import git, policy, prompts, verify, workspace
from sprint.credentials import NO_KEY
from sprint.domain import (
    CheckComparison,
    Ending,
    ImportedWork,
    Outcome,
    Phase,
    Proof,
    Refusal,
    Secret,
    WorkerResult,
)
from sprint.errors import SprintError
from sprint.settle.active_run import ActiveRun
from sprint.settle.begin import setup_failure

_log = logging.getLogger(__name__)

_WITHOUT_PROOF = {
    Ending.QUESTION: Outcome.NEEDS_HUMAN,
    Ending.CANCELLED: Outcome.CANCELLED,
    Ending.OFF_RAILS: Outcome.OFF_RAILS,
    Ending.ERROR: Outcome.ERROR,
    Ending.INTERRUPTED: Outcome.INTERRUPTED,
}


class SetupFailed(SprintError):
    """The project's setup fails on the result, as it did not at the base."""


def prove(active: ActiveRun, resume: Callable[[ActiveRun, str, int], ActiveRun]) -> ActiveRun:
    """Phase worked. `resume` sends a message to the worker for one more round."""
    result = active.run.result or WorkerResult(Ending.ERROR, detail="the worker handed nothing over")
    if result.ending is Ending.ALREADY_FIXED:
        return _already_fixed(active, result)
    try:
        work = import_work(active)
    except workspace.HandoverError as error:
        return active.concluded(Outcome.POLICY_REFUSED, str(error))
    said = result.detail or result.summary
    if outcome := _WITHOUT_PROOF.get(result.ending):
        return active.concluded(outcome, said, tree=work.tree)
    is_unfinished = result.ending is Ending.LIMIT
    if not work.changes:
        return active.concluded(Outcome.LIMIT if is_unfinished else Outcome.NO_CHANGE, said, tree=work.tree)
    known = _secrets(active)
    if refusals := policy.judge(active.mirror, work, active.context.repo_config.publish, known=known):
        return active.concluded(Outcome.POLICY_REFUSED, _listed(refusals), tree=work.tree)
    commit = _commit(active, work, result)
    try:
        proof = _checked(active, commit)
    except SetupFailed as error:
        return active.concluded(Outcome.CHECKS_FAILED, str(error), tree=work.tree, commit=commit)
    if not proof.regressions:
        return active.advance(Phase.VERIFIED, tree=work.tree, commit=commit, proof=proof)
    rounds = active.run.rounds + 1
    if result.ending is Ending.IMPLEMENTED and rounds <= active.context.repo_config.limits.check_rounds:
        _log.info("#%d: checks fail; the worker gets round %d", active.run.issue, rounds)
        return resume(active, prompts.checks_failed(proof), rounds)
    outcome = Outcome.LIMIT if is_unfinished else Outcome.CHECKS_FAILED
    failed = "; ".join(_failure(regression) for regression in proof.regressions)
    return active.concluded(outcome, failed, tree=work.tree, commit=commit, proof=proof)


def import_work(active: ActiveRun) -> ImportedWork:
    """Bring the workspace's work into the mirror, and keep it as patch.diff whatever becomes of it.

    Raises HandoverError where the workspace cannot be exported.
    """
    work = workspace.import_work(
        active.space,
        active.mirror,
        active.run.base_sha,
        active.context.sandbox,
        leftovers=active.run.leftovers,
        scratch=active.folder,
    )
    if work.changes:
        (active.folder / "patch.diff").write_bytes(workspace.diff(active.mirror, work.base, work.tree))
    return work


def keep_patch(active: ActiveRun) -> None:
    """Save what a run that is given up has made so far; a workspace that gives nothing is no fault."""
    if not active.has_workspace or not active.run.base_sha:
        return
    try:
        import_work(active)
    except SprintError as error:
        _log.warning("run %s: its workspace gave no patch: %s", active.run.id, error)


def _already_fixed(active: ActiveRun, result: WorkerResult) -> ActiveRun:
    """Believed only where the commit that it names is in the history of the base."""
    if git.is_ancestor(active.mirror, result.commit, active.run.base_sha):
        return active.concluded(Outcome.ALREADY_FIXED, f"fixed by {result.commit}: {result.summary}")
    named = result.commit or "a commit that it does not name"
    return active.concluded(
        Outcome.NO_CHANGE, f"said to be fixed by {named}, which is not in {active.run.base_branch}"
    )


def _secrets(active: ActiveRun) -> list[Secret]:
    """Ours. The agent can have seen none of them; that its work holds none is looked at all the same."""
    try:
        endpoints = active.context.endpoints()
    except SprintError:  # no model now, which is nothing to what has been made
        endpoints = ()
    keys = [endpoint.key for endpoint in endpoints if endpoint.key != NO_KEY]
    return [*keys, *([active.context.forge.token] if active.context.forge.token else [])]


def _commit(active: ActiveRun, work: ImportedWork, result: WorkerResult) -> str:
    publish = active.context.repo_config.publish
    message = prompts.commit_message(active.run.title, active.run.issue, result.summary, active.run.id)
    return workspace.commit(
        active.mirror, work, message, publish.author_name, publish.author_email, when=active.run.started_at
    )


def _checked(active: ActiveRun, commit: str) -> Proof:
    """The checks in a checkout of the commit itself: nothing that the agent left beside it can help it."""
    context, repo, run = active.context, active.context.repo_config, active.run
    seconds = repo.limits.check_minutes * 60
    space = workspace.create(
        context.config.paths.workspaces, f"{run.id}-proof", active.mirror, commit, run.base_branch, run.branch
    )
    try:
        network = repo.sandbox.setup_network == "host"
        if failed := verify.run_setup(context.sandbox, space, repo.setup, network=network, timeout=seconds):
            raise SetupFailed(setup_failure(failed))
        commands = repo.checks if repo.checks is not None else verify.find_checks(space, context.sandbox)
        results = verify.run_checks(context.sandbox, space, commands, timeout=seconds, base=run.base_checks)
        return verify.compare(run.base_checks, results)
    finally:
        workspace.remove(space.root)


def _listed(refusals: Sequence[Refusal]) -> str:
    shown = [
        f"{refusal.path}: {refusal.reason}" if refusal.path else refusal.reason for refusal in refusals[:5]
    ]
    more = len(refusals) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _failure(regression: CheckComparison) -> str:
    names = ", ".join(regression.new_failures[:5])
    return f"{regression.command}: {names or f'{regression.base.status}, then {regression.result.status}'}"
