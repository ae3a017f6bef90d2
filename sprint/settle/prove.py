"""What a worker handed over: imported, judged, and checked in a checkout of exactly what would be pushed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from sprint import environment, git, prompts, verify, workspace
from sprint.beside import Beside
from sprint.domain import (
    CheckComparison,
    CheckResult,
    Ending,
    EnvironmentUse,
    ImportedWork,
    Outcome,
    Phase,
    Proof,
    Refusal,
    WorkerResult,
    replace,
)
from sprint.errors import SprintError
from sprint.settle import merged_base, second_look
from sprint.settle.public_text import public_text
from sprint.settle.under_way import UnderWay
from sprint.settle.work import bring_in, handed_over, judged

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
    try:
        brought = handed_over(current, result)
    except workspace.HandoverError as error:
        return current.concluded(Outcome.POLICY_REFUSED, str(error))
    work, result = brought.imported, second_look.upheld(current, brought, result)
    current = current.advance(Phase.WORKED, left_out=brought.strays.scratch, result=result)
    if (resumed := second_look.asked_for(current, brought, result, resume)) is not None:
        return resumed
    said = result.detail or result.summary
    if result.ending is Ending.QUESTION:
        return current.concluded(Outcome.NEEDS_HUMAN, said, tree=work.tree)
    if result.ending is Ending.CANCELLED and not _is_wanted_all_the_same(current):
        return current.concluded(Outcome.CANCELLED, said, tree=work.tree)
    unfinished = UNFINISHED.get(result.ending)
    if outcome := _nothing_to_judge(current, work, unfinished):
        only = f"only scratch: {', '.join(current.run.left_out[:5])}; " if current.run.left_out else ""
        return current.concluded(outcome, f"{only}{said}", tree=work.tree)
    rounds = current.run.rounds + 1
    may_go_back = unfinished is None and rounds <= current.context.repo_config.limits.check_rounds
    if refusals := judged(current, brought).refusals:
        if may_go_back:
            _log.info("%s: policy refuses; the worker gets round %d", current.run.about, rounds)
            return resume(current, prompts.policy_refused(refusals), rounds)
        detail = _after(unfinished, said, _listed(refusals))
        return current.concluded(unfinished or Outcome.POLICY_REFUSED, detail, tree=work.tree)
    current = _committed(current, work, result)
    proof, no_setup = _checked(current)
    current = current.advance(Phase.WORKED, proof=proof)
    if no_setup and may_go_back:
        _log.info("%s: set-up fails; the worker gets round %d", current.run.about, rounds)
        return resume(current, prompts.setup_failed(no_setup), rounds)
    if not proof.regressions:
        return _proven(current)
    if may_go_back:
        _log.info("%s: checks fail; the worker gets round %d", current.run.about, rounds)
        return resume(current, prompts.checks_failed(proof), rounds)
    detail = _after(unfinished, said, _failures(proof))
    return current.concluded(unfinished or Outcome.CHECKS_FAILED, detail)


def prove_update(current: UnderWay) -> UnderWay:
    """Phase worked, of an update: nobody has worked on the merge itself, so there is nothing to judge."""
    start = current.run.start_sha
    work = ImportedWork(start, git.resolve(current.objects, start, "tree") or "", ())
    current = _committed(current, work, current.run.result or WorkerResult(Ending.IMPLEMENTED))
    proof, _ = _checked(current)
    current = current.advance(Phase.WORKED, proof=proof)
    if proof.regressions:
        return current.concluded(Outcome.CHECKS_FAILED, _failures(proof))
    return current.advance(Phase.VERIFIED)


def _after(unfinished: Outcome | None, said: str, detail: str) -> str:
    """Why nothing is published; where the worker did not come to its end, what ended it comes first."""
    return f"{said}; what there is cannot be handed in: {detail}" if unfinished and said else detail


def _nothing_to_judge(current: UnderWay, work: ImportedWork, unfinished: Outcome | None) -> Outcome | None:
    """How it ends where nothing can be published; what is half done would make a pull request worse."""
    if current.run.is_follow_up and unfinished:
        return unfinished
    if work.changes or merged_base.is_resolution(current):
        return None
    return unfinished or Outcome.NO_CHANGE


def _proven(current: UnderWay) -> UnderWay:
    if is_repeated(current):
        return current.concluded(Outcome.NO_CHANGE, "the pull request would be as an earlier round had it")
    return replace(current.advance(Phase.VERIFIED), is_just_proven=True)


def is_repeated(current: UnderWay) -> bool:
    """Whether an earlier round proposed just that: then this one leads nowhere."""
    if not current.run.is_follow_up or merged_base.is_resolution(current):
        return False
    return current.lease is not None and current.run.diff in current.lease.claim.follow.diffs


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


def _committed(current: UnderWay, work: ImportedWork, result: WorkerResult) -> UnderWay:
    """With the work's commit, and a digest of all that the pull request would propose."""
    store, base = current.objects, current.run.base_sha
    digest = Beside(lambda watch: git.patch_id(store, base, work.tree, watch))
    try:
        commit = _commit(current, work, result)
        return current.advance(Phase.WORKED, tree=work.tree, commit=commit, diff=digest.result())
    finally:
        digest.stop()


def _commit(current: UnderWay, work: ImportedWork, result: WorkerResult) -> str:
    publish = current.context.repo_config.publish
    run = current.run
    summary = public_text(current.context, run, result.summary)  # before it is made inert
    said = prompts.commit_message(
        *(run.title, run.issue, summary, run.id, run.labels),
        trigger=run.trigger,
        signed_off_by=f"{publish.author_name} <{publish.author_email}>" if publish.signoff else "",
    )
    message = public_text(current.context, run, said)
    return workspace.commit(
        *(current.objects, work, message, publish.author_name, publish.author_email),
        when=run.started_at,
        parents=merged_base.parents_of(current),
        sign=Path(publish.sign) if publish.sign else None,
    )


def _checked(current: UnderWay) -> tuple[Proof, CheckResult | None]:
    """The checks in a checkout of the commit itself: nothing that the agent left beside it can help it.

    And the command of set-up that fails with the change's manifests, where one does.
    """
    context, repo, run = current.context, current.context.repo_config, current.run
    watching = current.watching("result")
    checkout = environment.Checkout(f"{run.id}-proof", run.commit, run.base_branch, run.branch)
    at_base = run.environment or EnvironmentUse()
    project = replace(current.project, mirror=current.objects)
    had_none = not (run.base_checks or at_base.setup or at_base.build)
    if had_none and environment.recipe_for(project, run.commit).is_empty:
        return verify.compare((), ()), None
    prepared = environment.prepare(project, checkout, at_base, watching=watching)
    try:
        if failed := prepared.failed:
            if prepared.is_built:
                return verify.build_broken(run.base_checks, failed), None
            # What it said may name servers, and goes to the operator and the worker alone.
            _log.info("%s: set-up failed: %s", run.about, environment.failure(failed))
            return verify.not_run(run.base_checks, f"set-up fails with this change: {failed.command}"), failed
        results = verify.run_checks(
            context.sandbox,
            prepared.workspace,
            prepared.checks,
            timeout=repo.limits.check_minutes * 60,
            base=run.base_checks,
            watching=watching,
            why_missing=prepared.use.why_missing,
        )
        return verify.compare(run.base_checks, results), None
    finally:
        workspace.remove(prepared.workspace.root)


def _listed(refusals: Sequence[Refusal]) -> str:
    shown = [
        f"{refusal.path}: {refusal.reason}" if refusal.path else refusal.reason for refusal in refusals[:5]
    ]
    more = len(refusals) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _failures(proof: Proof) -> str:
    return "; ".join(_failure(regression) for regression in proof.regressions)


def _failure(regression: CheckComparison) -> str:
    names = ", ".join(regression.new_failures[:5])
    return f"{regression.command}: {names or f'{regression.base.status}, then {regression.result.status}'}"
