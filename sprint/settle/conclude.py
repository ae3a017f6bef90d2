"""The last steps of a run whose outcome is known: one row, one comment, the claim released."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sprint import ledger, prompts, workspace
from sprint.context import Context
from sprint.domain import Claim, LedgerRow, Outcome, Phase, Run, Usage, Verdict
from sprint.errors import ForgeError, SprintError
from sprint.outcomes import Retry

_log = logging.getLogger(__name__)

_PATIENCE = timedelta(hours=6)


def conclude(context: Context, claim: Claim | None, run: Run) -> Run:
    """Write the row, release the claim and tell the issue; each is done once however often this is called."""
    if run.finished_at is None:
        run = replace(run, finished_at=datetime.now(UTC))
        context.store.save(run)
    ledger.append(context.config.paths.results, row_of(run))
    if (run.outcome and (run.outcome.facts.is_told or run.pr_url)) or (
        claim is not None and _is_patch_kept(context, run)
    ):
        _tell_if_possible(context, run)
    _give_back(context, run)
    if claim is not None:
        _release(context, claim, run)
    kept = "" if run.outcome and run.outcome.verdict is Verdict.PASSED else run.workspace
    workspace.remove_all_of(context.config.paths.workspaces, run.id, keep=kept)
    run = replace(run, phase=Phase.SETTLED)
    context.store.save(run)
    return run


def row_of(run: Run) -> LedgerRow:
    """The ledger's row of a run whose outcome is known."""
    outcome = run.outcome or Outcome.ERROR
    result = run.result
    usage = result.usage if result else Usage()
    finished = run.finished_at or datetime.now(UTC)
    return LedgerRow(
        finished_at=finished,
        run_id=run.id,
        repo=run.repo,
        issue=run.issue,
        outcome=outcome,
        exit_code=1 if outcome.verdict is Verdict.FAILED else 0,
        pr_url=run.pr_url,
        branch=run.branch if run.pr_url else "",
        worker=run.worker,
        model=result.model if result else "",
        attempt=run.attempt,
        duration_s=max((finished - run.started_at).total_seconds() - run.paused_s, 0.0),
        turns=usage.turns,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cost_usd=usage.cost_usd,
        host=run.host,
        detail=run.detail,
        proof=run.proof.verdict if run.proof else "",
        worker_version=run.worker_version,
        purpose=run.purpose,
        round=run.round,
        paused_s=run.paused_s,
    )


def _tell_if_possible(context: Context, run: Run) -> None:
    """A forge that is away is waited for; one that takes no comment costs the run its comment and no more."""
    try:
        _tell(context, run)
    except ForgeError as error:
        is_away = error.status is None or error.status >= 500 or error.status == 429
        if is_away and run.finished_at and datetime.now(UTC) < run.finished_at + _PATIENCE:
            raise
        _log.warning("#%s: no comment on the issue: %s", run.issue, error)


def _tell(context: Context, run: Run) -> None:
    """Write the one comment on the issue, or edit the one that is there."""
    name = context.repository.name
    body = prompts.comment(run, patch_kept=_is_patch_kept(context, run), patch_host=context.host_id)
    marker = prompts.comment_marker(run.number)
    me = context.forge.whoami()
    for comment in context.forge.comments(name, run.number):
        if comment.author == me and marker in comment.body:
            if comment.body.strip() != body.strip():
                context.forge.edit_comment(name, comment.id, body)
            return
    context.forge.add_comment(name, run.number, body)


def _is_patch_kept(context: Context, run: Run) -> bool:
    """Whether there is work that got into no pull request."""
    return not run.pr_url and (context.store.folder(run.id) / "patch.diff").exists()


def _release(context: Context, claim: Claim, run: Run) -> None:
    """Give the issue free for the next attempt, with the back-off that the outcome calls for."""
    now = datetime.now(UTC)
    outcome = run.outcome or Outcome.ERROR
    wait = timedelta(minutes=context.repo_config.pick.backoff_minutes * 2 ** min(run.attempt - 1, 10))
    if outcome is Outcome.INTERRUPTED:
        wait = timedelta(hours=context.repo_config.limits.paused_hours)
    context.claims.release(
        claim,
        now,
        outcome=outcome,
        not_before=None if outcome.facts.retry is Retry.AT_ONCE else now + wait,
        pr=run.pr_number,
        counts=outcome.facts.counts,
    )


def _give_back(context: Context, run: Run) -> None:
    """What the worker held for the run; a failure of that fails no run."""
    try:
        context.worker(run.worker).release(run, run.outcome or Outcome.ERROR)
    except SprintError as error:
        _log.warning("run %s: its worker could not give back what it held: %s", run.id, error)
