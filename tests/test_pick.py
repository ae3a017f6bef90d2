"""Picking: the oldest fit issue, a reason for every other, and no request that nothing needed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sprint.config import PickConfig
from sprint.domain import Claim, Comment, Issue, PassedOver, Pick, PullRequest, Repository, Run, replace
from sprint.pick import choose, competing_pull, issue_digest, skipping_label

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
PUBLIC = Repository(
    name="Acme/Widgets",
    default_branch="trunk",
    clone_url="https://git.example/Acme/Widgets.git",
    html_url="https://git.example/Acme/Widgets",
)
PRIVATE = replace(PUBLIC, private=True)


def issue(number: int = 1, **fields: Any) -> Issue:
    born = NOW - timedelta(days=1000 - number)
    defaults: dict[str, Any] = {
        "title": f"Issue {number}",
        "body": "",
        "author": "ann",
        "created_at": born,
        "updated_at": born,
        "trusted": True,
    }
    return Issue(number=number, **(defaults | fields))


def pull(number: int = 50, **fields: Any) -> PullRequest:
    defaults: dict[str, Any] = {
        "title": "A change",
        "body": "",
        "author": "ann",
        "head": "topic",
        "base": "trunk",
        "head_repo": "Acme/Widgets",
        "html_url": "",
        "is_open": True,
        "created_at": NOW,
    }
    return PullRequest(number=number, **(defaults | fields))


def claim(**fields: Any) -> Claim:
    defaults: dict[str, Any] = {
        "issue": 1,
        "state": "released",
        "run": "r-1",
        "host": "other-host",
        "attempt": 1,
        "expires": NOW - timedelta(minutes=1),
        "outcome": "checks_failed",
        "seen": "same",
    }
    return Claim(**(defaults | fields))


def never(*_: Any) -> Any:
    raise AssertionError("nothing needed this request")


def settings_of(**changes: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "policy": PickConfig(),
        "repository": PRIVATE,
        "claims": {},
        "open_pulls": [],
        "me": "bot",
        "branch_pattern": "feat/issue-{number}",
        "blockers": lambda _: [],
        "can_write": never,
        "has_news": never,
        "reviewed": never,
        "now": NOW,
    }
    return settings | changes


def pick(*issues: Issue, **changes: Any) -> Pick:
    return choose(issues, **settings_of(**changes))


def reason(one: Issue, **changes: Any) -> str:
    result = pick(one, **changes)
    if result.issue is not None:
        assert (result.issue, result.passed_over, result.why_none) == (one, (), "")
        return ""
    assert [(p.number, p.title) for p in result.passed_over] == [(one.number, one.title)]
    return result.passed_over[0].reason


def test_the_first_fit_issue_is_taken_and_no_more_are_asked_for() -> None:
    def issues() -> Iterator[Issue]:
        yield issue(1, labels=("epic",))
        yield issue(2)
        raise AssertionError("read past the pick")

    result = choose(
        issues(),
        policy=PickConfig(),
        repository=PRIVATE,
        claims={},
        open_pulls=[],
        me="bot",
        branch_pattern="feat/issue-{number}",
        blockers=lambda _: [],
        can_write=never,
        has_news=never,
        reviewed=never,
        now=NOW,
    )
    assert result.issue is not None
    assert result.issue.number == 2
    assert [p.number for p in result.passed_over] == [1]


@pytest.mark.parametrize("seed", range(40))
def test_it_is_always_the_oldest_that_is_fit(seed: int) -> None:
    """Whatever the backlog: the pick is the oldest issue that would be picked alone."""
    luck = random.Random(seed)
    spoilers: list[Mapping[str, Any]] = [
        {},
        {},
        {"labels": ("type/epic", "x")},
        {"assignees": ("carl",)},
        {"locked": True},
        {"is_open": False},
        {"trusted": False},
        {"title": "[study] of it"},
    ]
    backlog = [issue(number, **luck.choice(spoilers)) for number in range(1, luck.randint(2, 12))]
    claims = {
        number: claim(issue=number, state="claimed", expires=NOW + timedelta(minutes=luck.choice([-1, 1])))
        for number in luck.sample(range(1, 13), 4)
    }
    pulls = [pull(100 + n, body=f"Fixes #{n}") for n in luck.sample(range(1, 13), 3)]
    blocked = set(luck.sample(range(1, 13), 3))
    world: dict[str, Any] = {
        "repository": PUBLIC,
        "claims": claims,
        "open_pulls": pulls,
        "blockers": lambda one: [99] if one.number in blocked else [],
    }
    alone = [one for one in backlog if pick(one, **world).issue is not None]
    result = pick(*backlog, **world)
    assert result.issue == (alone[0] if alone else None)
    older = [one.number for one in backlog if not alone or one.number < alone[0].number]
    assert [p.number for p in result.passed_over] == older
    assert all(p.reason for p in result.passed_over)
    assert bool(result.why_none) == (not alone)


def test_pages_that_overlap_give_each_issue_once() -> None:
    epic = issue(1, labels=("epic",))
    assert [p.number for p in pick(epic, epic, issue(2)).passed_over] == [1]


@pytest.mark.parametrize(
    "label",
    ["epic", "Epic", "EPIC", "type/epic", "kind: epic", "Kind:Epic", "🏔 epic", "epic!", "study", "a/b/study"],
)
def test_labels_that_keep_an_issue_back(label: str) -> None:
    assert reason(issue(labels=("bug", label))) == f"labelled {label}"


@pytest.mark.parametrize(
    "label", ["epics", "epic-child", "epic/payments", "not an epic", "case-study", "", "bug"]
)
def test_labels_that_do_not(label: str) -> None:
    assert reason(issue(labels=(label,))) == ""


@pytest.mark.parametrize(
    ("title", "expected"), [("[EPIC] All of it", "titled [EPIC]"), ("(study) x", "titled (study)")]
)
def test_a_title_that_says_so_itself(title: str, expected: str) -> None:
    assert reason(issue(title=title)) == expected


@pytest.mark.parametrize("title", ["Epic failure on start", "[epicure] x", "Fix [epic] label", "[] x", "["])
def test_titles_that_do_not(title: str) -> None:
    assert reason(issue(title=title)) == ""


def test_labels_are_configurable() -> None:
    assert skipping_label(issue(labels=("epic",)), ("later",)) == ""
    assert skipping_label(issue(labels=("prio/later",)), ("Later",)) == "labelled prio/later"
    assert skipping_label(issue(labels=("prio/later",)), ("prio/later",)) == "labelled prio/later"


def test_an_issue_that_a_person_has() -> None:
    assert reason(issue(assignees=("Bot",))) == ""
    assert reason(issue(assignees=("bot", "carl"))) == "assigned to carl"
    assert reason(issue(assignees=("bot",)), me="") == "assigned to bot"


def test_locked_closed_and_blocked() -> None:
    assert reason(issue(locked=True)) == "its conversation is locked"
    assert reason(issue(is_open=False)) == "it is closed"
    assert reason(issue(), blockers=lambda _: [7, 8]) == "blocked by #7, #8"


def test_what_costs_a_request_is_asked_only_where_it_decides() -> None:
    for one in (issue(labels=("epic",)), issue(assignees=("x",)), issue(locked=True), issue(is_open=False)):
        assert reason(one, repository=PUBLIC, blockers=never)
    held = claim(state="claimed", expires=NOW + timedelta(minutes=1))
    assert reason(issue(), claims={1: held}, blockers=never)
    assert reason(issue(), open_pulls=[pull(body="closes #1")], blockers=never)


# --- pull requests -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "Closes #1",
        "closed #1.",
        "close: #1",
        "FIX #1",
        "fixes\t#1",
        "Fixed #1, and more",
        "resolve #1",
        "Resolves  #1",
        "resolved acme/widgets#1",
        "Closes https://git.example/Acme/Widgets/issues/1",
        "fixes GH-1",
        "(closes #1)",
        "text\n\n- fixes #1\n",
        "fixes #9, fixes #1",
        "```\ncode\n```\nfixes #1",
        "`code` fixes #1",
    ],
)
def test_a_pull_request_that_closes_the_issue(words: str) -> None:
    expected = "pull request #50 is open for it"
    assert reason(issue(), open_pulls=[pull(body=words)]) == expected
    assert reason(issue(), open_pulls=[pull(body=words, head_repo="fork/Widgets")]) == expected
    assert reason(issue(), open_pulls=[pull(body=words, is_open=False)]) == ""


@pytest.mark.parametrize(
    "words",
    [
        "Refs #1",
        "see #1",
        "#1",
        "closes #11",
        "closes #1a",
        "closes 1",
        "encloses #1",
        "prefix #1",
        "closes other/repo#1",
        "closes https://git.example/other/repo/issues/1",
        "```\ncloses #1\n```",
        "~~~~\ncloses #1\n~~~\n~~~~",
        "````md\n```\ncloses #1\n```\n````",
        "    closes #1",
        "`closes #1`",
        "``x ` closes #1``",
        "<!-- closes #1 -->",
        "closes # 1",
    ],
)
def test_a_pull_request_that_does_not(words: str) -> None:
    assert reason(issue(), open_pulls=[pull(body=words)]) == ""


def test_a_title_closes_too() -> None:
    assert reason(issue(), open_pulls=[pull(title="fix: it (closes #1)")])


@pytest.mark.parametrize(
    ("head", "repo", "pattern", "is_ours"),
    [
        ("feat/issue-1", "acme/widgets", "feat/issue-{number}", True),
        ("feat/issue-1-2", "Acme/Widgets", "feat/issue-{number}", True),
        ("feat/issue-12", "Acme/Widgets", "feat/issue-{number}", False),
        ("feat/issue-1x", "Acme/Widgets", "feat/issue-{number}", False),
        ("feat/issue-1", "fork/Widgets", "feat/issue-{number}", False),
        ("b.1/1", "Acme/Widgets", "b.{number}/{number}", True),
        ("b.1/2", "Acme/Widgets", "b.{number}/{number}", False),
        ("bx1", "Acme/Widgets", "b.{number}", False),
    ],
)
def test_ours_is_known_by_its_branch(head: str, repo: str, pattern: str, is_ours: bool) -> None:
    found = reason(issue(), open_pulls=[pull(head=head, head_repo=repo)], branch_pattern=pattern)
    assert bool(found) == is_ours


def test_hostile_bodies_take_no_time() -> None:
    for text in (
        "`" * 60_000,
        "<!--" * 20_000,
        "fix " * 25_000,
        "fixes http://" + "a" * 90_000,
        "\n" * 90_000,
    ):
        assert reason(issue(), open_pulls=[pull(body=text)]) == ""


def test_the_competing_pull_request_right_before_publishing() -> None:
    run = Run("r", "f", PUBLIC.name, 1, "t", 1, "h", 1, NOW, NOW, "local", branch="feat/issue-1")
    ours = pull(60, head="feat/issue-1-2", body="Closes #1", author="bot")
    assert competing_pull(run, issue(), [ours, pull(61, body="Refs #1")], PUBLIC.name, "bot") == ""
    theirs = pull(62, body="Closes #1")
    assert "#62" in competing_pull(run, issue(), [ours, theirs], PUBLIC.name, "bot")
    forked = replace(ours, number=63, head_repo="fork/Widgets")
    assert "#63" in competing_pull(run, issue(), [forked], PUBLIC.name, "bot")
    assert competing_pull(run, issue(), [replace(forked, head_repo="Bot/Widgets")], PUBLIC.name, "bot") == ""
    for colleagues in (replace(ours, author="ann"), replace(forked, head_repo="bot/x", author="ann")):
        assert competing_pull(run, issue(), [colleagues], PUBLIC.name, "bot") != ""
    assert competing_pull(run, issue(), [replace(theirs, is_open=False)], PUBLIC.name, "bot") == ""


def test_people_are_not_flooded() -> None:
    ours = [pull(60 + n, head=f"feat/issue-{n}", author="bot") for n in range(20, 25)]
    policy = PickConfig(max_open_prs=3)

    def run(reviewed: Callable[[PullRequest], bool], **changes: Any) -> tuple[Pick, list[int]]:
        asked: list[int] = []

        def ask(one: PullRequest) -> bool:
            asked.append(one.number)
            return reviewed(one)

        return pick(issue(), **({"open_pulls": ours, "policy": policy, "reviewed": ask} | changes)), asked

    result, asked = run(lambda _: False)
    assert "3 of our pull requests wait for a review (pick.max_open_prs: 3)" in result.why_none
    assert (len(asked), result.issue, result.passed_over) == (3, None, ())
    result, asked = run(lambda _: True)
    assert (result.issue is not None, len(asked)) == (True, 3), "the last two cannot change the answer"
    result, asked = run(lambda one: one.number % 2 == 1)
    assert (result.issue, len(asked)) == (None, 5)
    result, asked = run(never, open_pulls=ours[:2])
    assert result.issue is not None
    result, asked = run(never, open_pulls=[replace(one, author="ann") for one in ours])
    assert result.issue is not None, "a person's branch may look like ours"
    result, asked = run(never, only=1)
    assert result.issue is not None, "who asks for an issue wants it"


# --- claims ------------------------------------------------------------------------------------


def test_a_live_claim_holds_and_an_expired_one_does_not() -> None:
    live = claim(state="claimed", expires=NOW + timedelta(minutes=9), outcome="")
    assert reason(issue(), claims={1: live}) == "claimed by other-host until 2026-05-01 12:09 UTC (run r-1)"
    assert reason(issue(), claims={1: replace(live, expires=NOW)}) == ""


def test_backing_off() -> None:
    backing_off = claim(not_before=NOW + timedelta(hours=1))
    why = "backs off until 2026-05-01 13:00 UTC (attempt 1: checks_failed)"
    assert reason(issue(), claims={1: backing_off}, has_news=lambda *_: False) == why
    assert reason(issue(), claims={1: backing_off}, has_news=lambda *_: True) == ""
    assert reason(issue(), claims={1: replace(backing_off, not_before=NOW)}) == ""


def test_out_of_attempts() -> None:
    spent = claim(attempt=3, not_before=NOW - timedelta(hours=1))
    assert "out of attempts (3, the last: checks_failed)" in reason(
        issue(), claims={1: spent}, has_news=lambda *_: False
    )
    assert reason(issue(), claims={1: spent}, has_news=lambda *_: True) == ""
    assert reason(issue(), claims={1: replace(spent, attempt=2)}) == ""
    lost = replace(spent, state="claimed", outcome="")
    assert "out of attempts (3)" in reason(issue(), claims={1: lost}, has_news=lambda *_: False)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"outcome": "pr_opened", "pr": 9}, "its pull request was closed or merged (#9)"),
        ({"outcome": "limit", "pr": 9}, "its pull request was closed or merged (#9)"),
        ({"outcome": "already_fixed"}, "found to be fixed already"),
        ({"outcome": "needs_human"}, "a question to a person is open"),
    ],
)
def test_what_is_done_is_done_again_only_when_somebody_says_something(fields: Any, expected: str) -> None:
    done = claim(**fields)
    assert expected in reason(issue(), claims={1: done}, has_news=lambda *_: False)
    assert reason(issue(), claims={1: done}, has_news=lambda *_: True) == ""


@pytest.mark.parametrize("outcome", ["cancelled", "interrupted", "error", "no_change", "unheard-of"])
def test_other_outcomes_are_tried_again_at_their_time(outcome: str) -> None:
    assert reason(issue(), claims={1: claim(outcome=outcome)}) == ""


# --- authors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "may", "is_taken"),
    [
        ({"trusted": True}, None, True),
        ({"trusted": False}, True, False),
        ({"trusted": None}, True, True),
        ({"trusted": None}, False, False),
        ({"trusted": None}, None, False),
        ({"trusted": None, "labels": ("bug",)}, None, True),
        ({"trusted": None, "assignees": ("bot",)}, None, True),
        ({"trusted": None, "labels": ("bug",)}, False, False),
        ({"trusted": False, "labels": ("bug",)}, None, False),
        ({"trusted": None, "author": "ACME"}, None, True),
        ({"trusted": None, "author": "Bot"}, None, True),
        ({"trusted": None, "author": ""}, True, False),
    ],
)
def test_who_is_listened_to_on_a_public_repository(fields: Any, may: bool | None, is_taken: bool) -> None:
    one = issue(**fields)
    found = reason(one, repository=PUBLIC, can_write=lambda _: may)
    assert (found == "") == is_taken
    assert is_taken or "pick.authors: anyone" in found
    assert reason(one, repository=PRIVATE) == ""
    assert reason(one, repository=PUBLIC, policy=PickConfig(authors="anyone")) == ""


def test_an_author_is_asked_about_once() -> None:
    asked: list[str] = []

    def can_write(user: str) -> bool:
        asked.append(user)
        return False

    pick(*[issue(n, trusted=None) for n in range(1, 6)], repository=PUBLIC, can_write=can_write)
    assert asked == ["ann"]


# --- one issue by hand -------------------------------------------------------------------------


def test_only_one_issue() -> None:
    result = pick(issue(1), issue(2), only=2)
    assert (result.issue, result.passed_over) == (issue(2), ())
    assert pick(issue(1), only=7).why_none == "there is no open issue #7"
    epic = pick(issue(labels=("epic",)), only=1)
    assert epic.why_none == "#1: labelled epic; --force takes it all the same"


def test_force_counts_nothing_but_that_it_is_open() -> None:
    bad = issue(labels=("epic",), assignees=("carl",), locked=True, trusted=False)
    live = claim(state="claimed", expires=NOW + timedelta(minutes=9))
    result = pick(bad, only=1, force=True, claims={1: live}, repository=PUBLIC, blockers=never)
    assert result.issue == bad
    assert pick(replace(bad, is_open=False), only=1, force=True).why_none == "#1: it is closed"


def test_force_opens_no_second_pull_request_of_ours() -> None:
    ours = pull(7, head="feat/issue-1", author="sprint-bot")
    asked = pick(issue(1), only=1, open_pulls=[ours], me="sprint-bot")
    assert asked.why_none == "#1: pull request #7 is open for it; --pr 7 goes on with it, or close it first"
    assert pick(issue(1), only=1, force=True, open_pulls=[ours], me="sprint-bot").why_none == asked.why_none
    others = pull(7, head="topic", body="Fixes #1", author="ann")
    assert pick(issue(1), only=1, open_pulls=[others], me="sprint-bot").issue is None
    assert pick(issue(1), only=1, force=True, open_pulls=[others], me="sprint-bot").issue == issue(1)


def test_why_there_is_nothing() -> None:
    assert pick().why_none == "no open issues"
    assert (
        pick(issue(1, locked=True), issue(2, locked=True)).why_none
        == "none of the 2 open issues is fit to work on"
    )


# --- picking by choice -------------------------------------------------------------------------


def test_only_issues_with_one_of_the_labels() -> None:
    policy = PickConfig(labels=("sprint", "help wanted"))
    assert reason(issue(labels=("Sprint", "x")), policy=policy) == ""
    assert reason(issue(labels=("help wanted",)), policy=policy) == ""
    for labels in ((), ("sprint-1",), ("type/sprint",)):
        assert reason(issue(labels=labels), policy=policy) == (
            "it has none of the labels sprint, help wanted (pick.labels)"
        )


def test_a_second_pick_goes_on_below_the_first() -> None:
    issues = iter([issue(1, labels=("epic",)), issue(2), issue(3, locked=True), issue(4)])
    first = choose(issues, **settings_of())
    assert first.issue is not None
    assert first.issue.number == 2
    lost = PassedOver(2, "Issue 2", "another host claimed it first")
    second = choose(issues, **settings_of(), before=(*first.passed_over, lost))
    assert second.issue is not None
    assert second.issue.number == 4
    assert [passed.number for passed in second.passed_over] == [1, 2, 3]
    third = choose(issues, **settings_of(), before=second.passed_over)
    assert third.why_none == "none of the 3 open issues is fit to work on"


# --- the digest --------------------------------------------------------------------------------


def said(number: int = 1, **fields: Any) -> Comment:
    defaults: dict[str, Any] = {
        "author": "ann",
        "body": "words",
        "created_at": NOW,
        "updated_at": NOW,
        "trusted": True,
    }
    return Comment(id=number, **(defaults | fields))


def test_the_digest_changes_with_what_people_say() -> None:
    base = issue_digest(issue(), [said()])
    assert base == issue_digest(issue(labels=("x",), updated_at=NOW, comments=4), [said(updated_at=NOW)])
    changed = [
        issue_digest(issue(title="other"), [said()]),
        issue_digest(issue(body="other"), [said()]),
        issue_digest(issue(), []),
        issue_digest(issue(), [said(body="edited")]),
        issue_digest(issue(), [said(), said(2)]),
        issue_digest(issue(), [said(), said(2, trusted=None, author="bob")]),
        issue_digest(issue(author="zoe"), [said(), said(2, trusted=False, author="zoe")]),
    ]
    assert base not in changed
    assert len(set(changed)) == len(changed)
    assert issue_digest(issue(), [said(2), said()]) == issue_digest(issue(), [said(), said(2)])


@pytest.mark.parametrize(
    "noise",
    [
        {"author": "ann", "body": "<!-- sprint:issue-1 -->\nPull request: ..."},
        {"author": "stale[bot]"},
        {"author": "other-bot", "body": "<!-- sprint:issue-1 -->\nPull request: ..."},
        {"author": "stranger", "trusted": False},
    ],
)
def test_the_digest_does_not_change_with_noise(noise: Any) -> None:
    assert issue_digest(issue(), [said(), said(2, **noise)]) == issue_digest(issue(), [said()])


def test_a_field_cannot_stand_for_another() -> None:
    assert issue_digest(issue(title="a", body="b"), []) != issue_digest(issue(title="ab", body=""), [])
