"""What our open pull requests still need: looked at once a tick, decided purely, begun as runs."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime

from msgspec import Struct

from sprint import assign, publish
from sprint.clean_text import safe_line
from sprint.config import FollowConfig
from sprint.context import Context
from sprint.domain import Claim, Issue, PullRequest, Purpose, Run, Status, replace
from sprint.errors import Busy, ForgeError
from sprint.follow.decide import Decision, Step, decide
from sprint.follow.looks import Looks
from sprint.follow.tell import tell, untell
from sprint.logs import run_log
from sprint.new_run import new_run, room_for
from sprint.pick import is_by, own_branch
from sprint.settle import Mirrored
from sprint.settle.wanted import not_wanted

_log = logging.getLogger(__name__)


class Decided(Struct, frozen=True):
    """A pull request of ours, and what was decided of it, now or when it last changed."""

    number: int
    issue: int
    step: Step
    reason: str

    @property
    def says(self) -> str:
        return f"#{self.number} {self.step.words}: {self.reason}"

    @property
    def waits_for_us(self) -> bool:
        return self.step in (Step.WORK, Step.NOTHING)


class Needed(Struct, frozen=True):
    """A round that a pull request needs."""

    pull: PullRequest
    claim: Claim
    decision: Decision
    issue: Issue


class Followed(Struct, frozen=True):
    """`mirrored` is the repository's mirror, where it was brought up to date for the base of new runs."""

    decisions: tuple[Decided, ...] = ()
    needed: tuple[Needed, ...] = ()
    mirrored: Mirrored | None = None


def look(
    context: Context,
    claims: Mapping[int, Claim],
    pulls: Sequence[PullRequest],
    *,
    only: int | None = None,
    is_kept: bool = True,
) -> Followed:
    """Decide about each of ours, oldest first; where people are to be told that one is needed, they are.

    `only` that pull request, whatever is remembered of it and however lately somebody spoke. `is_kept` False:
    nothing is written, told or remembered. Raises ForgeError.
    """
    ours = [one for one in _ours(context, claims, pulls) if only in (None, one[0].number)]
    with closing(Looks(context, is_kept=is_kept, is_fresh=only is not None)) as looks:
        looks.begin([pull for pull, _ in ours])
        looks.ask_ahead(ours)
        config = context.repo_config.follow
        if only is not None:
            config = replace(config, debounce_seconds=0.0)
        return _looked_at(context, looks, ours, config, is_kept=is_kept)


def _looked_at(
    context: Context,
    looks: Looks,
    ours: Sequence[tuple[PullRequest, Claim]],
    config: FollowConfig,
    *,
    is_kept: bool,
) -> Followed:
    decided, needed = [], []
    for pull, found in ours:
        claim = found
        seen = looks.seen(pull, claim)
        if seen is None:
            last = looks.last(pull)
            assert last is not None
            decided.append(Decided(pull.number, claim.issue, Step(last.step), last.reason))
            continue
        trusted = context.repo_config.pick.trusted
        decision = decide(seen, claim, config, context.forge.whoami(), trusted)
        issue = _open_issue(context, claim.issue) if decision.step is Step.WORK else None
        if decision.step is Step.WORK and issue is None:
            decision = Decision(Step.HANDS_OFF, "its issue is closed")
        _log.info("pull request #%d: %s: %s", pull.number, decision.step, safe_line(decision.reason))
        if is_kept:
            claim = _settled(context, pull, claim, decision)
        looks.keep(seen, claim, decision)
        decided.append(Decided(pull.number, claim.issue, decision.step, decision.reason))
        if issue is not None:
            needed.append(Needed(pull, claim, decision, issue))
    looks.save(pull.number for pull, _ in ours)
    return Followed(tuple(decided), tuple(needed), looks.mirrored)


def _ours(
    context: Context, claims: Mapping[int, Claim], pulls: Sequence[PullRequest]
) -> list[tuple[PullRequest, Claim]]:
    """Open pull requests of our account, on branches named as ours, which a claim tells that we opened."""
    me, name = context.forge.whoami(), context.repository.name
    found = []
    for pull in sorted(pulls, key=lambda pull: pull.number):
        issue = own_branch(pull, name, context.repo_config.publish.branch, me)
        claim = claims.get(issue) if issue is not None else None
        if pull.is_open and claim is not None and claim.pr == pull.number and is_by(pull, me):
            found.append((pull, claim))
    return found


def _settled(context: Context, pull: PullRequest, claim: Claim, decision: Decision) -> Claim:
    """Tell people where they are to be told, then keep that they were: killed in between, they are told once
    more in the same words, which are said only once."""
    if claim.follow.is_told and decision.kept is not None and not decision.kept.is_told:
        untell(context, pull)
    if decision.kept is None or decision.step is Step.WORK:
        return claim
    if decision.step is Step.STUCK:
        tell(context, pull, claim, decision.reason)
    return context.claims.note(claim, decision.kept, datetime.now(UTC)) or claim


def begin(context: Context, needed: Needed) -> tuple[Run, Claim] | None:
    """Write a follow-up run down and claim it; None where it is not wanted, or another host was faster."""
    pull, occasion = needed.pull, needed.decision.occasion
    assert occasion is not None
    issue = needed.issue
    run = _new_run(context, needed)
    if reason := not_wanted(context, run):
        _log.info("pull request #%d: no round for it: %s", pull.number, safe_line(reason))
        return None
    if not run.is_update:
        run = replace(run, worker=assign.able(context, run.worker))
    context.sandbox.probe()
    publish.check(context.forge, context.repository, context.repo_config.publish)
    if occasion.failures:
        occasion = replace(occasion, failures=_with_logs(context, pull, occasion.failures))
    try:
        room_for(context, run)
    except Busy as error:
        _log.info("pull request #%d: no round for it: %s", pull.number, error)
        return None
    context.store.keep_occasion(run.id, occasion)
    kept = needed.decision.kept or needed.claim.follow
    released = replace(needed.claim, follow=kept)
    claim = context.claims.take_up(released, run.id, occasion.trigger, run.started_at)
    if claim is None:
        context.store.discard(run.id)
        _log.info("pull request #%d: another host was faster", pull.number)
        return None
    with run_log(context.store.folder(run.id), run):
        _log.info("#%d: following pull request #%d: %s", issue.number, pull.number, needed.decision.reason)
    return run, claim


def _new_run(context: Context, needed: Needed) -> Run:
    pull, issue, occasion = needed.pull, needed.issue, needed.decision.occasion
    return replace(
        new_run(context, issue, assign.wanted(context, issue)),
        purpose=Purpose.FOLLOW_UP,
        attempt=max(needed.claim.attempt, 1),
        round=needed.claim.rounds + 1,
        trigger=occasion.trigger.value if occasion else "",
        pr_number=pull.number,
        pr_url=pull.html_url,
        branch=pull.head,
        base_branch=pull.base,
        head_sha=pull.head_sha,
    )


def _with_logs(context: Context, pull: PullRequest, failures: Sequence[Status]) -> tuple[Status, ...]:
    """With what the failed jobs printed, where the forge gives it; a check's name has its job's in it."""
    logs = context.forge.failure_logs(context.repository.name, pull.head_sha)

    def log_of(status: Status) -> str:
        return next((log for name, log in logs.items() if name and name in status.context), "")

    return tuple(replace(status, log=log_of(status)) for status in failures)


def _open_issue(context: Context, number: int) -> Issue | None:
    try:
        issue = context.forge.issue(context.repository.name, number)
    except ForgeError as error:
        if error.status not in (404, 410):
            raise
        return None
    return issue if issue.is_open else None
