"""What a worker handed over: imported, judged, and checked in a checkout of exactly what would be pushed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from sprint import environment, git, prompts, verify, workspace
from sprint.domain import (
    CheckComparison,
    Ending,
    EnvironmentUse,
    ImportedWork,
    Outcome,
    Phase,
    Proof,
    Refusal,
    WorkerResult,
)
from sprint.errors import SprintError
from sprint.settle.under_way import UnderWay
from sprint.settle.work import bring_in, judge

_log = logging.getLogger(__name__)

# What a worker that did not come to its end leaves behind is handed in as a draft where it is sound.
UNFINISHED = {
    Ending.LIMIT: Outcome.LIMIT,
    Ending.OFF_RAILS: Outcome.OFF_RAILS,
    Ending.ERROR: Outcome.ERROR,
    Ending.INTERRUPTED: Outcome.INTERRUPTED,
    Ending.CANCELLED: Outcome.CANCELLED,
}


def prove(current: UnderWay, resume: Callable[[UnderWay, str, int], UnderWay]) -> UnderWay:
    """Phase worked. `resume` sends a message to the worker for one more round."""
    result = current.run.result or WorkerResult(Ending.ERROR, detail="the worker handed nothing over")
    if result.ending is Ending.ALREADY_FIXED:
        return _already_fixed(current, result)
    said = result.detail or result.summary
    try:
        brought = bring_in(current)
    except workspace.HandoverError as error:
        return current.concluded(Outcome.POLICY_REFUSED, str(error))
    work = brought.imported
    current = current.advance(Phase.WORKED, left_out=brought.strays.scratch)
    if result.ending is Ending.QUESTION:
        return current.concluded(Outcome.NEEDS_HUMAN, said, tree=work.tree)
    if result.ending is Ending.CANCELLED and not _is_wanted_all_the_same(current):
        return current.concluded(Outcome.CANCELLED, said, tree=work.tree)
    unfinished = UNFINISHED.get(result.ending)
    if not work.changes:
        only = f"only scratch: {', '.join(current.run.left_out[:5])}; " if current.run.left_out else ""
        return current.concluded(unfinished or Outcome.NO_CHANGE, f"{only}{said}", tree=work.tree)
    rounds = current.run.rounds + 1
    may_go_back = unfinished is None and rounds <= current.context.repo_config.limits.check_rounds
    if refusals := judge(current, work):
        if may_go_back:
            _log.info("#%s: policy refuses; the worker gets round %d", current.run.issue, rounds)
            return resume(current, prompts.policy_refused(refusals), rounds)
        detail = _listed(refusals)
        return current.concluded(unfinished or Outcome.POLICY_REFUSED, detail, tree=work.tree)
    commit = _commit(current, work, result)
    current = current.advance(Phase.WORKED, tree=work.tree, commit=commit)
    proof = _checked(current, commit)
    current = current.advance(Phase.WORKED, proof=proof)
    if not proof.regressions:
        return current.advance(Phase.VERIFIED)
    if may_go_back:
        _log.info("#%s: checks fail; the worker gets round %d", current.run.issue, rounds)
        return resume(current, prompts.checks_failed(proof), rounds)
    failed = "; ".join(_failure(regression) for regression in proof.regressions)
    return current.concluded(unfinished or Outcome.CHECKS_FAILED, failed)


def _is_wanted_all_the_same(current: UnderWay) -> bool:
    request = current.context.store.asked_to_stop(current.run.id)
    return request is not None and request.hand_in


def keep_patch(current: UnderWay) -> None:
    """Save what a run that is given up has made so far; a workspace that gives nothing is no fault."""
    if not current.has_workspace or not current.run.base_sha:
        return
    try:
        bring_in(current)
    except SprintError as error:
        _log.warning("run %s: its workspace gave no patch: %s", current.run.id, error)


def _already_fixed(current: UnderWay, result: WorkerResult) -> UnderWay:
    """Believed only where the commit that it names is in the history of the base."""
    if git.is_ancestor(current.mirror, result.commit, current.run.base_sha):
        return current.concluded(Outcome.ALREADY_FIXED, f"fixed by {result.commit}: {result.summary}")
    named = result.commit or "a commit that it does not name"
    return current.concluded(
        Outcome.NO_CHANGE, f"said to be fixed by {named}, which is not in {current.run.base_branch}"
    )


def _commit(current: UnderWay, work: ImportedWork, result: WorkerResult) -> str:
    publish = current.context.repo_config.publish
    run = current.run
    message = prompts.commit_message(run.title, run.number, result.summary, run.id, run.labels)
    return workspace.commit(
        current.mirror, work, message, publish.author_name, publish.author_email, when=current.run.started_at
    )


def _checked(current: UnderWay, commit: str) -> Proof:
    """The checks in a checkout of the commit itself: nothing that the agent left beside it can help it."""
    context, repo, run = current.context, current.context.repo_config, current.run
    watching = current.watching("result")
    checkout = environment.Checkout(f"{run.id}-proof", commit, run.base_branch, run.branch)
    at_base = run.environment or EnvironmentUse()
    prepared = environment.prepare(current.project, checkout, at_base, watching=watching)
    try:
        if failed := prepared.failed:
            if prepared.is_built:
                return verify.build_broken(run.base_checks, failed)
            # What it said may name servers, and goes to nobody but the operator.
            _log.info("#%s: set-up failed: %s", run.issue, environment.failure(failed))
            return verify.not_run(run.base_checks, f"set-up fails with this change: {failed.command}")
        results = verify.run_checks(
            context.sandbox,
            prepared.workspace,
            prepared.checks,
            timeout=repo.limits.check_minutes * 60,
            base=run.base_checks,
            watching=watching,
        )
        return verify.compare(run.base_checks, results)
    finally:
        workspace.remove(prepared.workspace.root)


def _listed(refusals: Sequence[Refusal]) -> str:
    shown = [
        f"{refusal.path}: {refusal.reason}" if refusal.path else refusal.reason for refusal in refusals[:5]
    ]
    more = len(refusals) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _failure(regression: CheckComparison) -> str:
    names = ", ".join(regression.new_failures[:5])
    return f"{regression.command}: {names or f'{regression.base.status}, then {regression.result.status}'}"
