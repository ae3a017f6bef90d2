"""What an open pull request of ours needs: pure, and each decision with its reason."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from sprint.config import FollowConfig
from sprint.domain import Claim, Followed, Occasion, PullRequest, Remark, Status, Trigger, replace
from sprint.prompts import OWN_MARKER
from sprint.settle.wanted import HANDS_OFF

_MOST_FORGOTTEN = 3  # CI that passes and fails by turns is a person's to look at
_LONGEST_CI = timedelta(hours=1)
_LONGEST_CLAIM = timedelta(days=30)  # a claim for longer is a forged one


class Step(StrEnum):
    NOTHING = "nothing"  # for now: something is under way
    WAITS = "waits"  # for people
    WORK = "work"
    STUCK = "stuck"  # people are to be told that one of them is needed
    HANDS_OFF = "hands_off"

    @property
    def words(self) -> str:
        """As they come after a pull request's number."""
        return _WORDS[self]


_WORDS = {
    Step.NOTHING: "is left alone for now",
    Step.WAITS: "waits for people",
    Step.WORK: "needs work",
    Step.STUCK: "needs a person",
    Step.HANDS_OFF: "is left to people",
}


class Seen(Struct, frozen=True):
    """What the forge tells of one pull request now.

    `statuses` are of its head; `base_failures` the checks that fail at the base as well, or may where not
    `is_base_known`. `has_conflict` None: not known. `is_behind`: its base has moved on since it was merged in
    last; `must_be_current`: the forge merges it only where that is not so (None: not told now). `pushers` are
    asked for only where the head is not the commit that we pushed last (None: not told). `greens` counts the
    looks in a row, this one too, at which CI had passed.
    """

    pull: PullRequest
    now: datetime
    remarks: tuple[Remark, ...] = ()
    statuses: tuple[Status, ...] = ()
    base_failures: frozenset[str] = frozenset()
    is_base_known: bool = True
    has_conflict: bool | None = None
    is_behind: bool = False
    must_be_current: bool | None = False
    pushers: frozenset[str] | None = None
    greens: int = 0


class Decision(Struct, frozen=True):
    """`kept` is what is to be kept of the pull request from now on, where that changes. `is_final`: nothing
    else comes of it until the forge shows a change."""

    step: Step
    reason: str
    occasion: Occasion | None = None
    kept: Followed | None = None
    is_final: bool = True


def decide(
    seen: Seen, claim: Claim, config: FollowConfig, me: str, trusted: Collection[str] = ()
) -> Decision:
    """What is to be done about a pull request whose issue has this claim; `me` is our login, `trusted` are
    those of people who count as having write access."""
    kept = adopted(seen, claim.follow, me)
    if reason := _hands_off(seen, kept):
        return Decision(Step.HANDS_OFF, reason)
    if claim.state == "claimed" and seen.now < claim.expires < seen.now + _LONGEST_CLAIM:
        return Decision(Step.NOTHING, f"run {claim.run} is at work on it", is_final=False)
    is_follow_up = claim.purpose == "follow_up"
    if is_follow_up and claim.not_before is not None and seen.now < claim.not_before:
        until = f"{claim.not_before:%Y-%m-%d %H:%M}"
        return Decision(
            Step.NOTHING, f"the last round: {claim.outcome}; waits until {until} UTC", is_final=False
        )
    new = [
        remark
        for remark in seen.remarks
        if _counts(remark, config, trusted) and remark.digest not in kept.taken
    ]
    kept = _lifted(kept, new, seen, config)
    if kept.stuck:
        if kept.is_told:
            return Decision(Step.WAITS, f"needs a person: {kept.stuck}", kept=_changed(kept, claim))
        return _stuck(kept, new, kept.stuck, kept.stuck_on)
    return _next(seen, kept, claim, config, new)


def _next(seen: Seen, kept: Followed, claim: Claim, config: FollowConfig, new: list[Remark]) -> Decision:
    failures = tuple(
        status
        for status in seen.statuses
        if status.state == "failure" and status.context not in seen.base_failures
    )
    why = _why(new, seen.has_conflict is True, failures)
    if why is None:
        return _without_a_word(seen, kept, claim, config)
    trigger, reason = why
    if trigger is Trigger.CI and _is_ci_under_way(seen):
        return Decision(Step.NOTHING, f"{reason}, so far; CI is not done", kept=_changed(kept, claim))
    quiet = timedelta(seconds=config.debounce_seconds)
    if new and quiet and (newest := max(remark.updated_at for remark in new)) > seen.now - quiet:
        return Decision(
            Step.NOTHING, f"{reason}; somebody wrote at {newest:%H:%M:%S} UTC, and may go on", is_final=False
        )
    most = _most(config, trigger)
    if kept.rounds(trigger) >= most:
        plural = "s" if most > 1 else ""
        return _stuck(kept, new, f"{most} round{plural} did not settle it: {reason}", trigger)
    if config.usd is not None and kept.usd >= config.usd:
        spent = f"${kept.usd:.2f} of ${config.usd:.2f} are spent on it (follow.usd): {reason}"
        return _stuck(kept, new, spent, "")
    occasion = Occasion(trigger, tuple(sorted(new, key=lambda r: (r.updated_at, r.id))), failures)
    return Decision(Step.WORK, reason, occasion, kept, is_final=False)


def _without_a_word(seen: Seen, kept: Followed, claim: Claim, config: FollowConfig) -> Decision:
    """Where nobody wants anything of us: it waits, unless its base has to be merged in before it can be
    merged itself, and nothing else keeps it from that."""
    is_final = seen.has_conflict is not None
    reason = _waiting(seen)
    if seen.is_behind and _may_be_updated(seen):
        if config.update == "needed" and seen.must_be_current is None:
            is_final = False
        elif config.update == "always" or (config.update == "needed" and seen.must_be_current):
            if kept.update < config.update_rounds:
                behind = f"{seen.pull.base} has moved on, and can be merged in as it is"
                return Decision(Step.WORK, behind, Occasion(Trigger.UPDATE), kept, is_final=False)
            reason = f"{seen.pull.base} has moved on, and was merged in {kept.update} times"
    return Decision(Step.WAITS, reason, kept=_changed(kept, claim), is_final=is_final)


def _may_be_updated(seen: Seen) -> bool:
    """Whether a push of the base's changes could bring a merge nearer: for CI it would begin anew."""
    is_settled = all(status.state in ("success", "skipped") for status in seen.statuses)
    asked_for = any(remark.asks for remark in seen.remarks)
    return seen.has_conflict is False and is_settled and not asked_for and not seen.pull.draft


def _why(new: list[Remark], has_conflict: bool, failures: tuple[Status, ...]) -> tuple[Trigger, str] | None:
    """The first that a round answers; it is shown the others as well."""
    if new:
        who = ", ".join(sorted({remark.author for remark in new}))
        asks = any(remark.asks for remark in new)
        return Trigger.REVIEWS, f"{who} {'asked for changes' if asks else 'said something'}"
    if has_conflict:
        return Trigger.CONFLICT, "it conflicts with its base"
    if failures:
        names = ", ".join(sorted(status.context for status in failures)[:5])
        return Trigger.CI, f"CI fails on it and not on the base: {names}"
    return None


def _is_ci_under_way(seen: Seen) -> bool:
    """Whether more may come of it, so that one round answers all that fails; not waited for for ever."""
    pushed = seen.pull.updated_at or seen.pull.created_at
    is_pending = any(status.state == "pending" for status in seen.statuses)
    return is_pending and pushed > seen.now - _LONGEST_CI


def _waiting(seen: Seen) -> str:
    if held := [status.context for status in seen.statuses if status.is_held]:
        return f"CI waits for a person to let it run: {', '.join(held[:5])}"
    if any(status.state == "pending" for status in seen.statuses):
        return "CI is not done"
    if any(status.state == "failure" for status in seen.statuses):
        return "CI fails on it as on the base" if seen.is_base_known else "CI of the base is not done"
    return "a review, or a merge"


def _stuck(kept: Followed, new: list[Remark], why: str, on: str) -> Decision:
    """What was said until now is heard: only a new word of a person's has it go on."""
    taken = tuple(dict.fromkeys((*kept.taken, *(remark.digest for remark in new))))
    return Decision(Step.STUCK, why, kept=replace(kept, taken=taken, stuck=why, stuck_on=on, is_told=True))


def _lifted(kept: Followed, new: list[Remark], seen: Seen, config: FollowConfig) -> Followed:
    """Rounds of CI are forgotten when it passed at two looks; a person's answer lifts all but the dollars,
    also one that came before anybody was told."""
    if seen.greens >= 2 and kept.ci and kept.forgotten < _MOST_FORGOTTEN:
        kept = replace(kept.freed() if kept.stuck_on == Trigger.CI else kept, ci=0)
        kept = replace(kept, forgotten=kept.forgotten + 1)
    is_affordable = config.usd is None or kept.usd < config.usd
    if kept.stuck and is_affordable and any(not _is_bot(remark, config) for remark in new):
        kept = replace(kept.freed(), reviews=0, ci=0, conflict=0, forgotten=0)
    return kept


def _changed(kept: Followed, claim: Claim) -> Followed | None:
    return kept if kept != claim.follow else None


def adopted(seen: Seen, kept: Followed, me: str) -> Followed:
    """What is kept, of one that was opened before anything was: its branch is ours as long as the forge tells
    that nobody else pushed to it."""
    if kept.head or seen.pushers is None or seen.pushers - {me.lower()}:
        return kept
    return replace(kept, head=seen.pull.head_sha, base=seen.pull.base, is_draft=seen.pull.draft)


def _hands_off(seen: Seen, kept: Followed) -> str:
    pull = seen.pull
    if not pull.is_open:
        return "it is merged" if pull.merged_at else "it is closed"
    if HANDS_OFF in [label.casefold() for label in pull.labels]:
        return f"labelled {HANDS_OFF}"
    if pull.draft and not kept.is_draft:
        return "somebody made it a draft"
    if kept.base and pull.base != kept.base:
        return f"its base was changed to {pull.base}"
    if not kept.head:
        return "it is not known who pushed to its branch"
    if pull.head_sha != kept.head:
        others = sorted(seen.pushers or ())
        return f"its branch is not as we left it (pushed to by {', '.join(others) or 'somebody'})"
    return ""


def _counts(remark: Remark, config: FollowConfig, trusted: Collection[str]) -> bool:
    """Whether somebody with a say said it, and not we; our account may be a person's, who writes as well."""
    if OWN_MARKER in remark.body or not (remark.body.strip() or remark.asks):
        return False
    if _is_named(remark.author, config.listen_to):
        return True
    return not remark.is_bot and (remark.may_write is True or _is_named(remark.author, trusted))


def _is_bot(remark: Remark, config: FollowConfig) -> bool:
    return remark.is_bot or _is_named(remark.author, config.listen_to)


def _is_named(login: str, names: Collection[str]) -> bool:
    return login.casefold() in [name.casefold() for name in names]


def _most(config: FollowConfig, trigger: Trigger) -> int:
    return {
        Trigger.REVIEWS: config.review_rounds,
        Trigger.CI: config.ci_rounds,
        Trigger.CONFLICT: config.conflict_rounds,
        Trigger.UPDATE: config.update_rounds,
    }[trigger]
