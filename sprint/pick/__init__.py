"""Which issue to work on: pure, with a reason for each one that is passed over.

What costs a request is a callable, asked only where nothing cheaper decided; issues are taken from the
iterator one by one, and none after the pick. They come oldest first and stay in that order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache

from msgspec import Struct

from sprint.config.schema import PickConfig
from sprint.domain import (
    Claim,
    Issue,
    Outcome,
    PassedOver,
    Pick,
    PullRequest,
    Repository,
    Run,
)
from sprint.outcomes import Retry
from sprint.pick.closing import closed_by, is_at_home
from sprint.pick.closing import is_by as is_by
from sprint.pick.closing import own_branch as own_branch
from sprint.pick.news import issue_digest as issue_digest
from sprint.prompts import COMMENT_MARKER as COMMENT_MARKER
from sprint.prompts import is_dashboard

_TAG = re.compile(r"\s*[\[(]([^\])]{1,40})[\])]")
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")


class _Backlog(Struct, frozen=True):
    """What the reasons look at besides the issue."""

    policy: PickConfig
    repository: Repository
    claims: Mapping[int, Claim]
    pulls: Mapping[int, PullRequest]
    own_pulls: Mapping[int, PullRequest]  # those of them that our account opened
    me: str
    blockers: Callable[[Issue], Sequence[int]]
    can_write: Callable[[str], bool | None]
    has_news: Callable[[Issue, Claim], bool]
    now: datetime


def choose(
    issues: Iterable[Issue],
    *,
    policy: PickConfig,
    repository: Repository,
    claims: Mapping[int, Claim],
    open_pulls: Sequence[PullRequest],
    me: str,
    branch_pattern: str,
    blockers: Callable[[Issue], Sequence[int]],
    can_write: Callable[[str], bool | None],
    has_news: Callable[[Issue, Claim], bool],
    reviewed: Callable[[PullRequest], bool],
    now: datetime,
    only: int | None = None,
    force: bool = False,
    before: Sequence[PassedOver] = (),
) -> Pick:
    """The first issue that nothing speaks against, in the order in which they come.

    `only` leaves the others out, and the count of pull requests that wait; with `force` nothing counts but
    that the issue is open, and that we have no pull request for it. `has_news` tells whether people said
    something since a claim's attempt began. `reviewed` is asked of our own open pull requests until the
    answer is clear. `before` are the issues that an earlier call on the same iterator passed over: this one
    goes on from there. Raises only what the callables raise.
    """
    if only is None and (
        crowd := _too_many_waiting(open_pulls, policy, repository.name, branch_pattern, me, reviewed)
    ):
        return Pick(None, why_none=crowd)
    own = [pull for pull in open_pulls if is_by(pull, me)]
    backlog = _Backlog(
        policy=policy,
        repository=repository,
        claims=claims,
        pulls=_pulls_by_issue(open_pulls, repository.name, branch_pattern, me),
        own_pulls=_pulls_by_issue(own, repository.name, branch_pattern, me),
        me=me,
        blockers=blockers,
        can_write=cache(can_write),
        has_news=has_news,
        now=now,
    )
    return _first_fit(issues, backlog, only=only, force=force, before=before)


def _first_fit(
    issues: Iterable[Issue],
    backlog: _Backlog,
    *,
    only: int | None,
    force: bool,
    before: Sequence[PassedOver],
) -> Pick:
    passed_over = {passed.number: passed for passed in before}
    remedy = ""
    for issue in issues:
        if issue.number in passed_over or only not in (None, issue.number):
            continue
        reasons = _reasons(issue, backlog) if not force else _reasons_despite_force(issue, backlog)
        reason = next(reasons, "")
        if not reason:
            return Pick(issue, tuple(passed_over.values()))
        passed_over[issue.number] = PassedOver(issue.number, issue.title, reason)
        if only is not None:
            remedy = _remedy(issue, backlog, force=force)
    return Pick(None, tuple(passed_over.values()), _why_none(passed_over, only, remedy))


def _remedy(issue: Issue, backlog: _Backlog, *, force: bool) -> str:
    """What helps whoever asked for that one issue, after why it is passed over."""
    if pull := backlog.own_pulls.get(issue.number):
        return f"; --pr {pull.number} goes on with it, or close it first"
    if force or issue.number in backlog.pulls or any(_reasons_despite_force(issue, backlog)):
        return ""
    return "; --force takes it all the same"


def _why_none(passed_over: Mapping[int, PassedOver], only: int | None, remedy: str) -> str:
    """`remedy` is for the one issue that was asked for."""
    if only is not None:
        found = passed_over.get(only)
        return f"#{only}: {found.reason}{remedy}" if found else f"there is no open issue #{only}"
    if not passed_over:
        return "no open issues"
    return f"none of the {len(passed_over)} open issues is fit to work on"


def _too_many_waiting(
    pulls: Sequence[PullRequest],
    policy: PickConfig,
    repo: str,
    branch_pattern: str,
    me: str,
    reviewed: Callable[[PullRequest], bool],
) -> str:
    """Why people have enough of ours to review, or ""; asks about no more pull requests than it must."""
    ours = [
        pull
        for pull in pulls
        if pull.is_open
        and own_branch(pull, repo, branch_pattern, me) is not None
        and (not me or pull.author.lower() == me.lower())
    ]
    waiting = 0
    for index, pull in enumerate(ours):
        if waiting + len(ours) - index < policy.max_open_prs:
            return ""
        waiting += not reviewed(pull)
        if waiting >= policy.max_open_prs:
            return (
                f"{waiting} of our pull requests wait for a review (pick.max_open_prs: {policy.max_open_prs})"
            )
    return ""


def _reasons_despite_force(issue: Issue, backlog: _Backlog) -> Iterator[str]:
    if not issue.is_open:
        yield "it is closed"
    me = backlog.me.lower()
    if me and issue.author.lower() == me and is_dashboard(issue.body):
        yield "it is our own dashboard"
    if pull := backlog.own_pulls.get(issue.number):  # nobody wants a second one, and only one is followed
        yield f"pull request #{pull.number} is open for it"


def _reasons(issue: Issue, backlog: _Backlog) -> Iterator[str]:
    """Reasons to pass an issue over, the cheapest to find first; a reader stops at the first."""
    yield from _reasons_despite_force(issue, backlog)
    if issue.locked:
        yield "its conversation is locked"
    if label := skipping_label(issue, backlog.policy.skip_labels):
        yield label
    if backlog.policy.labels and not has_any_label(issue, backlog.policy.labels):
        yield f"it has none of the labels {', '.join(backlog.policy.labels)} (pick.labels)"
    others = [name for name in issue.assignees if name.lower() != backlog.me.lower()]
    if others:
        yield f"assigned to {', '.join(others)}"
    if pull := backlog.pulls.get(issue.number):
        yield f"pull request #{pull.number} is open for it"
    claim = backlog.claims.get(issue.number)
    if claim is not None and claim.state == "claimed" and claim.expires > backlog.now:
        yield f"claimed by {claim.host} until {_moment(claim.expires)} (run {claim.run})"
    # An edit or a comment since then is new information: it lifts all that the history says.
    reason = _reason_in_history(claim, backlog.policy, backlog.now) if claim else ""
    if claim is not None and reason and not backlog.has_news(issue, claim):
        yield reason
    if reason := _reason_in_author(issue, backlog):
        yield reason
    if numbers := backlog.blockers(issue):
        yield f"blocked by {', '.join(f'#{number}' for number in numbers)}"


def _reason_in_history(claim: Claim, policy: PickConfig, now: datetime) -> str:
    """What earlier attempts say against another one now."""
    again = "a comment or an edit has it tried again"
    over = {one.value: one.facts.why_over for one in Outcome if one.facts.retry is Retry.NEVER}
    if claim.state != "claimed" and (claim.pr is not None or claim.outcome in over):
        why = over.get(claim.outcome, over[Outcome.PR_OPENED])
        return f"{why}{f' (#{claim.pr})' if claim.pr else ''}; {again}"
    if claim.attempt >= policy.max_attempts:
        last = f", the last: {claim.outcome}" if claim.outcome else ""
        return f"out of attempts ({claim.attempt}{last}); {again}"
    if claim.not_before is not None and claim.not_before > now:
        return f"backs off until {_moment(claim.not_before)} (attempt {claim.attempt}: {claim.outcome})"
    return ""


def _reason_in_author(issue: Issue, backlog: _Backlog) -> str:
    """On a public repository anybody can write an issue; only people with write access are listened to."""
    if backlog.repository.private or backlog.policy.authors == "anyone" or issue.trusted:
        return ""
    author = issue.author.lower()
    known = (backlog.me, backlog.repository.name.split("/")[0], *backlog.policy.trusted)
    if author and author in [name.lower() for name in known]:
        return ""
    may = False if issue.trusted is False or not issue.author else backlog.can_write(issue.author)
    # Where we may not ask, a label or our assignment stands for a maintainer: others can set neither.
    if may or (may is None and (issue.labels or issue.assignees)):
        return ""
    who = issue.author or "a deleted account"
    if may is None:
        return (
            f"whether its author {who} has write access cannot be asked; give it a label or assign it to "
            f"{backlog.me or 'us'}, or set pick.authors: anyone"
        )
    return f"its author {who} has no write access; set pick.authors: anyone to listen to everybody"


def skipping_label(issue: Issue, skip_labels: Sequence[str]) -> str:
    """Why its labels, or a title that begins with one in brackets, keep an issue from being picked; or "".

    `epic` also means `Epic`, `type/epic`, `kind: epic` and `🚀 epic`.
    """
    skip = {_plain(label): label for label in skip_labels}
    for label in issue.labels:
        scope_less = re.split(r"[/:]", label)[-1]
        if _plain(label) in skip or _plain(scope_less) in skip:
            return f"labelled {label}"
    tag = _TAG.match(issue.title)
    if tag and _plain(tag[1]) in skip:
        return f"titled {tag[0].strip()}"
    return ""


def has_any_label(issue: Issue, labels: Sequence[str]) -> bool:
    """Whether it has one of them by its whole name, in whatever case."""
    own = {label.casefold() for label in issue.labels}
    return any(label.casefold() in own for label in labels)


def _plain(label: str) -> str:
    return _EDGES.sub("", label.casefold())


def _moment(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"


def _pulls_by_issue(
    pulls: Sequence[PullRequest], repo: str, branch_pattern: str, me: str
) -> dict[int, PullRequest]:
    """The open pull request, ours by its branch or anyone's by its words, that closes each issue."""
    found: dict[int, PullRequest] = {}
    for pull in pulls:
        if pull.is_open:
            ours = own_branch(pull, repo, branch_pattern, me)
            for number in closed_by(pull, repo) | ({ours} if ours is not None else set()):
                found.setdefault(number, pull)
    return found


def competing_pull(run: Run, issue: Issue, pulls: Sequence[PullRequest], repo: str, me: str) -> str:
    """Why a run is no longer needed: somebody else's open pull request closes its issue, or "".

    `repo` is OWNER/REPO, `me` our login. Also asked right before publishing, where our own branch
    may be there already.
    """
    for pull in pulls:
        ours = is_by(pull, me) and is_at_home(pull, repo, me) and _is_run_branch(pull.head, run.branch)
        if pull.is_open and not ours and issue.number in closed_by(pull, repo):
            return f"pull request #{pull.number} closes it already"
    return ""


def _is_run_branch(head: str, branch: str) -> bool:
    return bool(branch) and re.fullmatch(rf"{re.escape(branch)}(-\d+)?", head) is not None
