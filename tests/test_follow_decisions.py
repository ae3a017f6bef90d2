"""What an open pull request of ours needs, decided from what was seen alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sprint.config import FollowConfig
from sprint.domain import Claim, Followed, PullRequest, Remark, Status, Trigger, replace
from sprint.follow.decide import Decision, Seen, Step, decide

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=1)
HEAD, OTHER = "a" * 40, "b" * 40
ME = "sprint-bot"
CONFIG = FollowConfig(enabled=True)
PULL = PullRequest(
    number=2,
    title="fix: x",
    body="",
    author=ME,
    head="feat/issue-1",
    base="main",
    head_repo="acme/widgets",
    html_url="",
    is_open=True,
    created_at=LONG_AGO,
    head_sha=HEAD,
    updated_at=LONG_AGO,
)
KEPT = Followed(head=HEAD, base="main", usd=0.5)
CLAIM = Claim(1, "released", "run-1", "host", 1, LONG_AGO, outcome="pr_opened", pr=2, follow=KEPT, sha=OTHER)
BY_ANN = Remark(7, "ann", "Not like this.", LONG_AGO, review=7, may_write=True, asks=True)
RED = Status("ci/test", "failure", "2 tests fail")


def decision(
    claim: Claim = CLAIM, config: FollowConfig = CONFIG, pull: PullRequest = PULL, **seen: Any
) -> Decision:
    return decide(Seen(pull, NOW, **{"has_conflict": False, **seen}), claim, config, ME, ("Tom",))


def kept(**changes: Any) -> Claim:
    return replace(CLAIM, follow=replace(KEPT, **changes))


@pytest.mark.parametrize(
    ("remark", "step"),
    [
        (BY_ANN, Step.WORK),
        (replace(BY_ANN, asks=False, review=0), Step.WORK),
        (replace(BY_ANN, body=""), Step.WORK),
        (replace(BY_ANN, body=" ", asks=False), Step.WAITS),
        (replace(BY_ANN, author="eve", may_write=False), Step.WAITS),
        (replace(BY_ANN, author="eve", may_write=None), Step.WAITS),
        (replace(BY_ANN, author="tom", may_write=None), Step.WORK),
        (replace(BY_ANN, author="tom", may_write=False), Step.WORK),
        (replace(BY_ANN, author="helper[bot]", is_bot=True), Step.WAITS),
        (replace(BY_ANN, author=ME, body="<!-- sprint:follow-up x all -->\nDone."), Step.WAITS),
        (replace(BY_ANN, author=ME, body="I, a person with this account, say no."), Step.WORK),
    ],
)
def test_who_is_heard(remark: Remark, step: Step) -> None:
    assert decision(remarks=(remark,)).step is step


def test_a_bot_that_is_named_is_heard() -> None:
    remark = replace(BY_ANN, author="helper[bot]", is_bot=True, may_write=False)
    assert decision(config=FollowConfig(listen_to=("Helper[bot]",)), remarks=(remark,)).step is Step.WORK


def test_what_was_taken_up_is_new_only_once_it_was_edited() -> None:
    claim = kept(taken=(BY_ANN.digest,))
    assert decision(claim, remarks=(BY_ANN,)).step is Step.WAITS
    assert decision(claim, remarks=(replace(BY_ANN, body="Not like that."),)).step is Step.WORK


def test_a_round_begins_when_nobody_has_written_for_a_while() -> None:
    late = replace(BY_ANN, id=8, updated_at=NOW - timedelta(seconds=59))
    found = decision(remarks=(BY_ANN, late))
    assert (found.step, found.is_final) == (Step.NOTHING, False)
    over = replace(late, updated_at=NOW - timedelta(seconds=61))
    occasion = decision(remarks=(over, BY_ANN)).occasion
    assert occasion is not None
    assert occasion.remarks == (BY_ANN, over)


@pytest.mark.parametrize(
    ("seen", "trigger"),
    [
        ({"statuses": (RED,)}, Trigger.CI),
        ({"statuses": (RED,), "has_conflict": True}, Trigger.CONFLICT),
        ({"statuses": (RED,), "has_conflict": True, "remarks": (BY_ANN,)}, Trigger.REVIEWS),
        ({"statuses": (RED,), "base_failures": frozenset({"ci/test"})}, None),
        ({"statuses": (replace(RED, state="pending"),)}, None),
        ({"statuses": (replace(RED, state="success"),)}, None),
        ({"has_conflict": None}, None),
        ({}, None),
    ],
)
def test_what_there_is_to_do(seen: dict[str, Any], trigger: Trigger | None) -> None:
    found = decision(**seen)
    assert (found.occasion.trigger if found.occasion else None) == trigger
    assert found.step is (Step.WORK if trigger else Step.WAITS)
    if trigger and "statuses" in seen:
        assert found.occasion is not None
        assert found.occasion.failures == (RED,), "a round is shown all that there is"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"is_open": False}, "closed"),
        ({"is_open": False, "merged_at": NOW}, "merged"),
        ({"draft": True}, "draft"),
        ({"labels": ("bug", "Hands-Off")}, "labelled"),
        ({"base": "release"}, "base was changed to release"),
        ({"head_sha": OTHER}, "not as we left it (pushed to by eve)"),
    ],
)
def test_hands_off(changes: dict[str, Any], reason: str) -> None:
    found = decision(pull=replace(PULL, **changes), remarks=(BY_ANN,), pushers=frozenset({"eve"}))
    assert found.step is Step.HANDS_OFF
    assert reason in found.reason


def test_our_own_draft_is_followed() -> None:
    assert decision(kept(is_draft=True), pull=replace(PULL, draft=True), remarks=(BY_ANN,)).step is Step.WORK


@pytest.mark.parametrize(
    ("pushers", "step"),
    [(frozenset(), Step.WORK), ({ME}, Step.WORK), ({ME, "eve"}, Step.HANDS_OFF), (None, Step.HANDS_OFF)],
)
def test_one_that_was_opened_before_is_ours_if_nobody_else_pushed(pushers: Any, step: Step) -> None:
    claim = replace(CLAIM, follow=Followed())
    found = decision(claim, remarks=(BY_ANN,), pushers=pushers and frozenset(pushers))
    assert found.step is step
    if step is Step.WORK:
        assert found.kept is not None
        assert (found.kept.head, found.kept.base) == (HEAD, "main")


def test_what_is_under_way_or_rests_is_left_alone() -> None:
    claimed = replace(CLAIM, state="claimed", expires=NOW + timedelta(minutes=5))
    assert decision(claimed, remarks=(BY_ANN,)).step is Step.NOTHING
    assert decision(replace(claimed, expires=LONG_AGO), remarks=(BY_ANN,)).step is Step.WORK
    assert decision(replace(claimed, expires=NOW + timedelta(days=99)), remarks=(BY_ANN,)).step is Step.WORK
    resting = replace(CLAIM, purpose="follow_up", not_before=NOW + timedelta(minutes=5), outcome="error")
    assert decision(resting, remarks=(BY_ANN,)).step is Step.NOTHING


@pytest.mark.parametrize(
    ("claim", "seen"),
    [
        (kept(reviews=3), {"remarks": (BY_ANN,)}),
        (kept(ci=2), {"statuses": (RED,)}),
        (kept(conflict=2), {"has_conflict": True}),
        (kept(usd=6.0), {"remarks": (BY_ANN,)}),
    ],
)
def test_where_its_rounds_are_over_a_person_is_asked_for_once(claim: Claim, seen: dict[str, Any]) -> None:
    found = decision(claim, **seen)
    assert found.step is Step.STUCK
    assert found.kept is not None
    assert found.kept.is_told
    again = decision(replace(claim, follow=found.kept), **seen)
    assert again.step is Step.WAITS


def test_ci_that_passed_twice_has_its_rounds_forgotten() -> None:
    over = kept(ci=2, stuck="CI", stuck_on="ci", is_told=True)
    green = (replace(RED, state="success"),)
    once = decision(over, statuses=green, greens=1)
    assert (once.step, once.kept) == (Step.WAITS, None)
    twice = decision(over, statuses=green, greens=2)
    assert twice.kept is not None
    assert (twice.kept.ci, twice.kept.stuck) == (0, "")
    assert decision(replace(over, follow=twice.kept), statuses=(RED,)).step is Step.WORK
    often = replace(over, follow=replace(over.follow, forgotten=3))
    assert decision(often, statuses=green, greens=9).step is Step.WAITS, "by turns, it is a person's"
    of_reviews = kept(ci=1, reviews=3, stuck="reviews", stuck_on="reviews", is_told=True)
    still = decision(of_reviews, statuses=green, greens=2)
    assert still.kept is not None
    assert (still.kept.ci, still.kept.stuck) == (0, "reviews")


def test_a_persons_answer_lifts_all_but_the_dollars() -> None:
    stuck = kept(reviews=3, ci=2, stuck="reviews", stuck_on="reviews", is_told=True)
    found = decision(stuck, remarks=(BY_ANN,))
    assert found.step is Step.WORK
    assert found.kept is not None
    assert (found.kept.reviews, found.kept.ci, found.kept.usd) == (0, 0, 0.5)
    early = replace(stuck, follow=replace(stuck.follow, is_told=False))
    assert decision(early, remarks=(BY_ANN,)).step is Step.WORK, "also before anybody was told"
    spent = replace(stuck, follow=replace(stuck.follow, usd=6.0))
    assert decision(spent, remarks=(BY_ANN,)).step is Step.WAITS


@pytest.mark.parametrize("kind", ["bot", "ci"])
def test_a_bot_with_the_same_comment_and_ci_that_never_passes_come_to_an_end(kind: str) -> None:
    """200 ticks: each round is answered by a comment as before, or by CI that fails as before."""
    config = FollowConfig(listen_to=("helper[bot]",))
    claim, rounds, told = CLAIM, 0, 0
    for tick in range(200):
        said = Remark(100 + tick, "helper[bot]", "Not like this.", LONG_AGO, is_bot=True)
        seen: dict[str, Any] = {"remarks": (said,)} if kind == "bot" else {"statuses": (RED,)}
        found = decision(claim, config, **seen)
        follow = found.kept or claim.follow
        told += found.step is Step.STUCK
        if found.occasion:
            rounds += 1
            trigger = found.occasion.trigger
            taken = (*follow.taken, *(remark.digest for remark in found.occasion.remarks))
            follow = replace(follow.counted(trigger, 1), taken=taken)
        claim = replace(claim, follow=follow)
    assert (rounds, told) == ({"bot": 3, "ci": 2}[kind], 1)


GREEN = replace(RED, state="success")
BEHIND: dict[str, Any] = {"statuses": (GREEN,), "is_behind": True, "must_be_current": True}


@pytest.mark.parametrize(
    ("update", "seen", "step"),
    [
        ("needed", BEHIND, Step.WORK),
        ("always", {**BEHIND, "must_be_current": False}, Step.WORK),
        ("needed", {**BEHIND, "must_be_current": False}, Step.WAITS),
        ("never", BEHIND, Step.WAITS),
        ("needed", {**BEHIND, "is_behind": False}, Step.WAITS),
        ("needed", {**BEHIND, "statuses": (replace(RED, state="pending"),)}, Step.WAITS),
        ("needed", {**BEHIND, "statuses": (RED,), "base_failures": {RED.context}}, Step.WAITS),
        ("needed", {**BEHIND, "pull": replace(PULL, draft=True)}, Step.WAITS),
        ("needed", {**BEHIND, "has_conflict": None}, Step.WAITS),
    ],
)
def test_its_base_is_merged_in_where_it_must_be_and_nothing_else_is_in_the_way(
    update: Any, seen: dict[str, Any], step: Step
) -> None:
    found = decision(kept(is_draft=True), FollowConfig(update=update), **seen)
    assert found.step is step
    assert (found.occasion.trigger if found.occasion else None) == (
        Trigger.UPDATE if step is Step.WORK else None
    )


def test_a_base_is_not_merged_into_what_changes_are_asked_for_on_nor_for_ever() -> None:
    taken = kept(taken=(BY_ANN.digest,))
    assert decision(taken, remarks=(BY_ANN,), **BEHIND).step is Step.WAITS
    often = decision(kept(update=20), **BEHIND)
    assert (often.step, often.is_final) == (Step.WAITS, True)
    unknown = decision(**{**BEHIND, "must_be_current": None})
    assert (unknown.step, unknown.is_final) == (Step.WAITS, False), "asked again at the next look"


def test_a_round_for_ci_begins_when_all_of_it_is_told_or_an_hour_has_passed() -> None:
    seen = {"statuses": (RED, replace(RED, context="slow", state="pending"))}
    pushed = replace(PULL, updated_at=NOW - timedelta(minutes=5))
    found = decision(pull=pushed, **seen)
    assert (found.step, found.reason) == (
        Step.NOTHING,
        "CI fails on it and not on the base: ci/test, so far; CI is not done",
    )
    assert decision(pull=replace(PULL, updated_at=NOW - timedelta(hours=2)), **seen).step is Step.WORK
    held = decision(statuses=(replace(RED, state="pending", is_held=True),))
    assert held.reason == "CI waits for a person to let it run: ci/test"
