"""The last steps of a run whose outcome is known: one row, one comment, the claim released."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sprint import ledger, progress, prompts, workspace
from sprint.beside import Beside
from sprint.claim import uncounted
from sprint.context import Context
from sprint.domain import (
    Claim,
    Followed,
    LedgerRow,
    Outcome,
    Phase,
    Run,
    Usage,
    Verdict,
    Workspace,
    replace,
)
from sprint.errors import ForgeError, SprintError
from sprint.outcomes import Retry
from sprint.prompts import Receipt
from sprint.settle.drafts import is_draft
from sprint.settle.public_text import public_text, with_public_words

_log = logging.getLogger(__name__)

_PATIENCE = timedelta(hours=6)
_MOST_DIGESTS = 1_000
_NOTHING_NEW = (Outcome.NO_CHANGE, Outcome.ALREADY_FIXED, Outcome.NEEDS_HUMAN)


def conclude(context: Context, claim: Claim | None, run: Run, *, released: Claim | None = None) -> Run:
    """Write the row, release the claim and tell the issue; each is done once however often this is called.

    `released` is the claim where an earlier call has released it already.
    """
    if run.finished_at is None:
        run = replace(run, finished_at=datetime.now(UTC))
        context.store.save(run)
    ledger.append(context.config.paths.results, row_of(run))
    if _is_told(run) or (claim is not None and _is_patch_kept(context, run)):
        _tell_if_possible(context, run, _receipt(run, claim, released))
    _give_back(context, run)
    clearing = Beside(lambda _watch: _clear(context, run))
    try:
        if claim is not None:
            _release(context, claim, run)
    except BaseException:
        clearing.stop()
        raise
    clearing.result()
    run = replace(run, phase=Phase.SETTLED)
    progress.append(
        context.store.folder(run.id), "phase", phase=run.phase, outcome=run.outcome, pr_url=run.pr_url
    )
    context.store.save(run)
    return run


def _clear(context: Context, run: Run) -> None:
    """Remove what the run leaves that nobody needs."""
    kept = "" if run.outcome and run.outcome.verdict is Verdict.PASSED else run.workspace
    workspace.remove_all_of(context.config.paths.workspaces, run.id, keep=kept)
    if kept:
        _leave_to_people(run)
    workspace.drop_objects(context.store.folder(run.id))


def _leave_to_people(run: Run) -> None:
    """The workspace of a run that did not pass, as it is without any process of ours."""
    space = Workspace(Path(run.workspace), run.uid)
    try:
        workspace.write_out(space)
    except (SprintError, OSError) as error:
        _log.warning(
            "run %s: its workspace %s is kept with changed files only: %s", run.id, space.root, error
        )
    workspace.uncover(space.root)


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
        trigger=run.trigger,
    )


def _is_told(run: Run) -> bool:
    """Whether an issue gets to know: of a follow-up what came of it, for the rest is at the pull request."""
    if run.issue is None:
        return False
    if run.is_follow_up:
        return run.outcome is Outcome.PR_UPDATED
    return run.outcome is not None and (run.outcome.facts.is_told or bool(run.pr_url))


def _receipt(run: Run, claim: Claim | None, released: Claim | None) -> Receipt | None:
    """What the issue has cost so far, this run included; None where no claim tells."""
    if released is not None:
        return Receipt(released.attempt, released.rounds, released.tokens, released.usd)
    if claim is None:
        return None
    return Receipt(claim.attempt, claim.rounds, claim.tokens + _tokens(run), claim.usd + _usd(run))


def _tell_if_possible(context: Context, run: Run, receipt: Receipt | None) -> None:
    """A forge that is away is waited for; one that takes no comment costs the run its comment and no more."""
    try:
        _tell(context, run, receipt)
    except ForgeError as error:
        is_away = error.status is None or error.status >= 500 or error.status == 429
        if is_away and run.finished_at and datetime.now(UTC) < run.finished_at + _PATIENCE:
            raise
        _log.warning("#%s: no comment on the issue: %s", run.issue, error)


def _tell(context: Context, run: Run, receipt: Receipt | None) -> None:
    """Write the one comment on the issue, or edit the one that is there."""
    name = context.repository.name
    kept = _is_patch_kept(context, run)
    said = prompts.comment(
        with_public_words(context, run), patch_kept=kept, patch_host=context.host_id, receipt=receipt
    )
    body = public_text(context, run, said)
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
    if run.is_follow_up:
        _release_follow_up(context, claim, run, now)
        return
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
        follow=_first(context, run) if run.pr_number else None,
        tokens=_tokens(run),
        usd=_usd(run),
    )


def _first(context: Context, run: Run) -> Followed:
    """What is kept of a pull request that was just opened."""
    return Followed(
        head=run.commit,
        base=run.base_branch,
        is_draft=is_draft(context.repo_config.publish, run),
        usd=_usd(run),
        diffs=(run.diff,) if run.diff else (),
    )


def _release_follow_up(context: Context, claim: Claim, run: Run, now: datetime) -> None:
    """A round that ended without a push through no fault of the pull request is given back, unless it was
    cancelled: what cancelled it may do so the next time. One that brought nothing new leaves the rest to a
    person."""
    outcome = run.outcome or Outcome.ERROR
    taken = tuple(remark.digest for remark in context.store.occasion(run.id).remarks)
    is_counted = outcome.facts.counts or outcome is Outcome.CANCELLED
    kept = claim.follow if is_counted else uncounted(claim, run.trigger)
    kept = replace(kept, usd=kept.usd + _usd(run))
    wait: timedelta | None = timedelta(minutes=context.repo_config.pick.backoff_minutes)
    if outcome is Outcome.PR_UPDATED:
        kept = replace(
            kept,
            head=run.commit,
            taken=merged_digests(kept.taken, taken),
            diffs=merged_digests(kept.diffs, (run.diff,)),
        )
        wait = None
    elif outcome in _NOTHING_NEW or (run.is_update and outcome is Outcome.CHECKS_FAILED):
        wait = None  # no time mends that
        stuck = f"the last round ended without a change ({outcome.value})"
        if run.is_update:
            stuck = f"the checks fail once {run.base_branch} is merged in"
        kept = replace(
            kept, taken=merged_digests(kept.taken, taken), stuck=stuck, stuck_on=run.trigger, is_told=False
        )
    context.claims.release(
        claim,
        now,
        outcome=outcome,
        not_before=None if wait is None else now + wait,
        pr=run.pr_number,
        follow=kept,
        tokens=_tokens(run),
        usd=_usd(run),
    )


def _usd(run: Run) -> float:
    return (run.result.usage if run.result else run.spent).cost_usd or 0.0


def _tokens(run: Run) -> int:
    usage = run.result.usage if run.result else run.spent
    return usage.prompt_tokens + usage.completion_tokens


def merged_digests(known: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*known, *more)))[-_MOST_DIGESTS:]


def _give_back(context: Context, run: Run) -> None:
    """What the worker held for the run; a failure of that fails no run."""
    try:
        context.worker_of(run).release(run, run.outcome or Outcome.ERROR)
    except SprintError as error:
        _log.warning("run %s: its worker could not give back what it held: %s", run.id, error)
