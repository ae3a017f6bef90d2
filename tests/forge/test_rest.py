"""What Gitea and GitHub must do alike, over HTTP against the embedded forge in both dialects."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from sprint.domain import replace
from sprint.errors import ForgeError
from sprint.forge import Forge
from sprint.forge.rest import RECENT_PAGES
from tests.forge.conftest import REPO, client
from tests.servers.forge import DemoForge, Fault

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_who_we_are_is_asked_once(server: DemoForge, forge: Forge) -> None:
    assert [forge.whoami(), forge.whoami()] == [server.login] * 2
    assert len(server.requests) == 1
    assert client(server, "").whoami() == ""
    assert len(server.requests) == 1


def test_the_address_with_and_without_the_api_path(server: DemoForge) -> None:
    suffix = server.api_url.removeprefix(server.url)
    for spelling in ("", "/", suffix, suffix + "/"):
        forge = client(server, suffix=spelling)
        assert forge.url == server.url
        assert forge.repository(REPO).clone_url == f"{server.url}/{REPO}.git"


def test_a_repository_as_it_is_now(server: DemoForge, forge: Forge) -> None:
    found = forge.repository(REPO)
    assert (found.name, found.default_branch, found.can_push) == (REPO, "trunk", True)
    assert (found.empty, found.archived, found.private) == (False, False, False)
    assert found.has_issues
    server.add_repo("octo/bare")
    assert forge.repository("octo/bare").empty
    server.add_repo("octo/old", {"a": "b"}, archived=True, private=True, has_issues=False)
    old = forge.repository("octo/old")
    assert (old.archived, old.private, old.has_issues, old.can_push) == (True, True, False, False)
    server.add_repo("octo/theirs", {"a": "b"}, right="read")
    assert forge.repository("octo/theirs").can_push is False


def test_a_renamed_repository_tells_its_new_name(server: DemoForge, forge: Forge) -> None:
    number = server.add_issue(REPO, "Old name")
    server.rename_repo(REPO, "octo/gadgets")
    assert forge.repository(REPO).name == "octo/gadgets"
    assert forge.repository(REPO).clone_url == f"{server.url}/octo/gadgets.git"
    assert [issue.title for issue in forge.oldest_issues(REPO)] == ["Old name"]
    assert forge.issue(REPO, number).title == "Old name"
    forge.add_comment(REPO, number, "still here")
    assert server.comments("octo/gadgets", number)[0].body == "still here"


def test_what_cannot_be_seen_and_what_is_no_name(server: DemoForge, forge: Forge) -> None:
    with pytest.raises(
        ForgeError, match="GET repos/octo/none: not there, or the token cannot see it"
    ) as caught:
        forge.repository("octo/none")
    assert caught.value.status == 404
    for name in ("octo", "octo/../x", "octo/x/y", "octo/x?y", "../user"):
        with pytest.raises(ForgeError, match="is no repository name"):
            forge.repository(name)
    with pytest.raises(ForgeError, match=r"not signed in \(401\)"):
        client(server, "wrong").repository(REPO)


def test_the_oldest_of_10000_issues_in_few_requests(server: DemoForge, forge: Forge) -> None:
    server.bulk_issues(REPO, 10_000)
    before = len(server.requests)
    issues = forge.oldest_issues(REPO)
    assert [next(issues).number for _ in range(20)] == list(range(1, 21))
    assert len(server.requests) - before <= 2


def test_oldest_first_without_pull_requests_by_age_and_not_by_number(server: DemoForge, forge: Forge) -> None:
    for index in range(7):
        server.commit(REPO, f"feature-{index}", "change", {"a": str(index)})
        server.add_pull(REPO, f"feature-{index}")
    newer = server.add_issue(REPO, "Newer", created_at=START + timedelta(days=1))
    older = server.add_issue(REPO, "Older", created_at=START)
    closed = server.add_issue(REPO, "Closed", created_at=START)
    server.close_issue(REPO, closed)
    assert [issue.number for issue in forge.oldest_issues(REPO)] == [older, newer]


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 100, 101, 237])
def test_every_issue_once(server: DemoForge, forge: Forge, count: int) -> None:
    server.bulk_issues(REPO, count)
    assert [issue.number for issue in forge.oldest_issues(REPO)] == list(range(1, count + 1))


def test_issues_closed_between_pages_make_no_other_be_skipped(server: DemoForge, forge: Forge) -> None:
    server.bulk_issues(REPO, 260)
    seen = []
    closed = {3, 5, 90, 120}
    for issue in forge.oldest_issues(REPO):
        seen.append(issue.number)
        if issue.number == 20:
            for number in closed:
                server.close_issue(REPO, number)
    expected = [number for number in range(1, 261) if number not in closed - set(seen)]
    assert sorted(seen) == expected
    assert len(seen) == len(set(seen))


def test_an_issue_in_full(server: DemoForge, forge: Forge) -> None:
    number = server.add_issue(
        REPO,
        "Title",
        "Body",
        labels=["epic", "p1"],
        author="ann",
        assignees=["bob"],
        locked=True,
        created_at=START,
    )
    issue = forge.issue(REPO, number)
    assert (issue.title, issue.body, issue.author) == ("Title", "Body", "ann")
    assert (set(issue.labels), issue.assignees, issue.locked) == ({"epic", "p1"}, ("bob",), True)
    assert issue.created_at == START
    assert issue.created_at.utcoffset() == timedelta(0)
    assert issue.is_open
    assert issue == next(forge.oldest_issues(REPO))
    server.close_issue(REPO, number)
    assert not forge.issue(REPO, number).is_open


def test_a_pull_request_is_no_issue(server: DemoForge, forge: Forge) -> None:
    server.commit(REPO, "feature", "change", {"a": "b"})
    number = server.add_pull(REPO, "feature")
    for missing in (number, 4711):
        with pytest.raises(ForgeError) as caught:
            forge.issue(REPO, missing)
        assert caught.value.status == 404
        assert ("; name the issue that it is for" in str(caught.value)) == (missing == number)


def test_comments_are_made_edited_and_read(server: DemoForge, forge: Forge) -> None:
    number = server.add_issue(REPO, "Talk", comments=[("ann", "first")])
    made = forge.add_comment(REPO, number, "second")
    assert (made.author, made.body) == (server.login, "second")
    forge.edit_comment(REPO, made.id, "changed")
    assert [(c.author, c.body) for c in forge.comments(REPO, number)] == [
        ("ann", "first"),
        (server.login, "changed"),
    ]


def test_more_comments_than_a_page_holds(server: DemoForge, forge: Forge) -> None:
    number = server.add_issue(REPO, "Talk", comments=[("ann", str(n)) for n in range(130)])
    assert [comment.body for comment in forge.comments(REPO, number)] == [str(n) for n in range(130)]


@pytest.mark.parametrize("fault", [{"drop": True}, {"status": 502}])
@pytest.mark.parametrize("after", [True, False])
def test_a_comment_in_doubt_is_made_once(
    server: DemoForge, forge: Forge, slept: list[float], fault: dict[str, int], after: bool
) -> None:
    number = server.add_issue(REPO, "Talk", comments=[("ann", "report")])
    server.faults.append(Fault(method="POST", path="/comments", after=after, **fault))
    assert forge.add_comment(REPO, number, "report").author == server.login
    assert [c.author for c in server.comments(REPO, number)] == ["ann", server.login]


@pytest.mark.parametrize("draft", [True, False])
def test_a_pull_request_is_made_updated_and_read(server: DemoForge, forge: Forge, draft: bool) -> None:
    server.commit(REPO, "feat/issue-1", "change", {"a": "b"})
    made = forge.create_pull(
        REPO, title="fix: it", body="why", head="feat/issue-1", base="trunk", draft=draft
    )
    assert (made.head, made.base, made.head_repo, made.author) == (
        "feat/issue-1",
        "trunk",
        REPO,
        server.login,
    )
    assert (made.is_open, made.draft, made.body) == (True, draft, "why")
    assert made.head_sha == server.refs(REPO)["refs/heads/feat/issue-1"]
    forge.update_pull(REPO, made.number, title="fix: that", body="because")
    found = forge.pull(REPO, made.number)
    assert found.title.endswith("fix: that")
    assert (found.body, found.draft) == ("because", draft)
    (listed,) = forge.open_pulls(REPO)
    assert replace(listed, mergeable=None) == replace(found, mergeable=None)  # GitHub's list leaves it out


def test_a_pull_request_that_is_there_already_is_returned(server: DemoForge, forge: Forge) -> None:
    server.commit(REPO, "feat/issue-1", "change", {"a": "b"})
    arguments = {"title": "t", "body": "b", "head": "feat/issue-1", "base": "trunk", "draft": False}
    first = forge.create_pull(REPO, **arguments)
    assert forge.create_pull(REPO, **arguments).number == first.number
    assert len(server.pulls(REPO)) == 1


@pytest.mark.parametrize("fault", [{"drop": True}, {"status": 504}, {"truncate": True}])
@pytest.mark.parametrize("after", [True, False])
def test_a_pull_request_in_doubt_is_made_once(
    server: DemoForge, forge: Forge, slept: list[float], fault: dict[str, int], after: bool
) -> None:
    server.commit(REPO, "feat/issue-1", "change", {"a": "b"})
    server.faults.append(Fault(method="POST", path="/pulls", after=after, **fault))
    made = forge.create_pull(REPO, title="t", body="b", head="feat/issue-1", base="trunk", draft=False)
    assert [pull.number for pull in server.pulls(REPO)] == [made.number]


def test_a_pull_request_that_cannot_be_made_is_an_error(server: DemoForge, forge: Forge) -> None:
    for head in ("trunk", "nowhere"):
        with pytest.raises(ForgeError):
            forge.create_pull(REPO, title="t", body="b", head=head, base="trunk", draft=False)


def test_the_pull_requests_of_a_branch_in_any_state(server: DemoForge, forge: Forge) -> None:
    for branch in ("feat/issue-1", "feat/issue-11"):
        server.commit(REPO, branch, "change", {branch: "b"})
        server.add_pull(REPO, branch)
    server.close_issue(REPO, 1)
    server.add_repo("stranger/widgets", {"a": "b"})
    server.commit("stranger/widgets", "feat/issue-1", "change", {"c": "d"})
    server.add_pull(REPO, "feat/issue-1", head_repo="stranger/widgets")
    server.add_pull(REPO, "feat/issue-1")
    found = forge.pulls_of_branch(REPO, "feat/issue-1")
    assert [(pull.number, pull.is_open) for pull in found] == [(4, True), (1, False)]
    merged = server.merge(REPO, 4)
    (newest, _) = forge.pulls_of_branch(REPO, "feat/issue-1")
    assert newest.merge_commit == (merged if server.kind == "gitea" else None)
    assert newest.merged_at is not None
    assert forge.pulls_of_branch(REPO, "feat/issue-2") == []


def test_reviewed_means_by_a_person(server: DemoForge, forge: Forge) -> None:
    server.commit(REPO, "feature", "change", {"a": "b"})
    pull = forge.create_pull(REPO, title="t", body="b", head="feature", base="trunk", draft=False)
    assert not forge.is_reviewed(REPO, pull)
    server.add_user("helper[bot]", kind="Bot")
    server.add_comment(REPO, pull.number, server.login, "mine")
    server.add_comment(REPO, pull.number, "helper[bot]", "beep")
    server.add_review(REPO, pull.number, "helper[bot]", "APPROVED")
    server.add_review(REPO, pull.number, server.login, "COMMENT")
    assert not forge.is_reviewed(REPO, pull)
    server.add_comment(REPO, pull.number, "ann", "hm")
    assert forge.is_reviewed(REPO, pull)


def test_a_review_alone_counts_too(server: DemoForge, forge: Forge) -> None:
    server.commit(REPO, "feature", "change", {"a": "b"})
    pull = forge.create_pull(REPO, title="t", body="b", head="feature", base="trunk", draft=False)
    server.add_review(REPO, pull.number, "ann", "REQUEST_CHANGES")
    assert forge.is_reviewed(REPO, pull)


def test_open_blockers(server: DemoForge, forge: Forge) -> None:
    first, second, third = (server.add_issue(REPO, name) for name in "abc")
    server.add_dependency(REPO, third, first)
    server.add_dependency(REPO, third, second)
    issue = forge.issue(REPO, third)
    assert sorted(forge.open_blockers(REPO, issue)) == [first, second]
    server.close_issue(REPO, first)
    assert forge.open_blockers(REPO, issue) == [second]
    server.repo(REPO).has_dependencies = False
    assert forge.open_blockers(REPO, issue) == []


def test_who_can_write_is_asked_once_each(server: DemoForge, forge: Forge) -> None:
    for login in ("ann", "bob"):
        server.add_user(login)
    server.grant(REPO, "ann", "write")
    server.grant(REPO, "bob", "read")
    answers = [forge.can_write(REPO, who) for who in ("ann", "bob", "nobody", server.login)]
    assert answers == [True, False, False, True]
    before = len(server.requests)
    assert answers == [forge.can_write(REPO, who) for who in ("ann", "bob", "nobody", server.login)]
    assert len(server.requests) - before == 0


LEAVING = [
    "",
    "/",
    "/user",
    "//evil.example/x",
    "../other",
    "issues/../../other/issues",
    "issues/..",
    "issues/./1",
    "issues//1",
    "%2e%2e/other",
    "issues/%2e%2e/%2e%2e",
    "issues/%2F..",
    "issues\\..\\..",
    "issues?state=all",
    "issues#x",
    "issues/1\n",
    "issues/\x00",
    "issues/\ud800",
    "https://evil.example/",
    "issues/https://evil.example",
    "\u2025/user",
]


@pytest.mark.parametrize("path", LEAVING, ids=ascii)
def test_reading_for_the_model_stays_in_the_repository(server: DemoForge, forge: Forge, path: str) -> None:
    with pytest.raises(ForgeError, match=r"is no path below the repository|cannot be read here"):
        forge.read(REPO, path, {})
    assert server.requests == []


@pytest.mark.parametrize("path", ["hooks", "keys", "actions/secrets", "contents/a", "collaborators", "raw/a"])
def test_reading_for_the_model_shows_no_secrets(server: DemoForge, forge: Forge, path: str) -> None:
    with pytest.raises(ForgeError, match="cannot be read here: only branches, comments"):
        forge.read(REPO, path, {})
    assert server.requests == []


@pytest.mark.parametrize("path", ["pulls/1.diff", "pulls/1.patch"])
def test_reading_for_the_model_has_a_word_on_what_is_no_json(
    server: DemoForge, forge: Forge, path: str
) -> None:
    with pytest.raises(ForgeError, match="read pulls/N/files"):
        forge.read(REPO, path, {})
    assert server.requests == []


def test_reading_for_the_model(server: DemoForge, forge: Forge) -> None:
    number = server.add_issue(REPO, "Read me", labels=["p1"])
    assert forge.read(REPO, f"issues/{number}", {})["title"] == "Read me"
    assert [item["title"] for item in forge.read(REPO, "issues", {"state": "open"})] == ["Read me"]
    assert forge.read(REPO, "branches/trunk", {})["name"] == "trunk"
    for name in ("sudo", "Sudo", "token", "access_token"):
        with pytest.raises(ForgeError, match="is not allowed"):
            forge.read(REPO, "issues", {name: "root"})
    with pytest.raises(ForgeError, match="not there"):
        forge.read(REPO, "issues/4711", {})
    forge.read(REPO, "issues", {"q": "lone \ud800 surrogate"})


def test_reading_for_the_model_follows_no_redirect(server: DemoForge, forge: Forge) -> None:
    server.add_issue(REPO, "Here")
    server.rename_repo(REPO, "octo/gadgets")
    with pytest.raises(ForgeError, match="which is not followed here"):
        forge.read(REPO, "issues", {})
    assert forge.read("octo/gadgets", "issues", {})


def test_the_token_is_in_no_error(server: DemoForge, make_forge: Callable[..., DemoForge]) -> None:
    forge = client(server)
    other = make_forge(server.kind)
    server.faults[:] = [
        Fault(status=400, body=f'{{"message": "you sent {server.token}"}}'),
        Fault(status=302, headers={"Location": f"{other.url}/x?token={server.token}"}),
        Fault(status=302, headers={"Location": f"/login?token={server.token}"}),
    ]
    for _ in range(3):
        with pytest.raises(ForgeError) as caught:
            forge.repository(REPO)
        assert server.token not in str(caught.value)
    assert other.requests == []


def test_an_issue_that_is_watched_is_sent_again_only_where_it_changed(
    server: DemoForge, forge: Forge
) -> None:
    number = server.add_issue(REPO, "Watched", "As written.")
    look = forge.watch_issue(REPO, number)
    assert look() == look() == look() == forge.issue(REPO, number)
    server.edit_issue(REPO, number, body="Edited.")
    assert look().body == "Edited."
    server.close_issue(REPO, number)
    assert [look().is_open, look().is_open] == [False, False]
    statuses = [seen.status for seen in server.requests if seen.path.endswith(f"/issues/{number}")]
    unchanged = 304 if server.kind == "github" else 200  # Gitea marks no answers
    assert statuses == [200, unchanged, unchanged, 200, 200, 200, unchanged]


def test_an_issue_that_goes_while_it_is_watched(server: DemoForge, forge: Forge) -> None:
    number = server.add_issue(REPO, "Watched")
    look = forge.watch_issue(REPO, number)
    look()
    server.faults.append(Fault(f"/issues/{number}$", status=410))
    with pytest.raises(ForgeError) as caught:
        look()
    assert caught.value.status == 410
    assert look().number == number


def test_what_was_commented_on_since_then(server: DemoForge, forge: Forge) -> None:
    """Made, edited, and what is on a pull request, by the forge's own clock."""
    issues = [server.add_issue(REPO, f"Issue {n}") for n in range(3)]
    old = server.add_comment(REPO, issues[0], "ann", "Long ago.")
    for comment in server.comments(REPO, issues[0]):
        comment.created_at = comment.updated_at = START
    assert forge.commented_since(REPO, START + timedelta(seconds=1)) == set()
    assert forge.commented_since(REPO, START) == {issues[0]}
    server.add_comment(REPO, issues[1], "ann", "Now.")
    forge.edit_comment(REPO, server.add_comment(REPO, issues[2], server.login, "Then."), "Now.")
    assert forge.commented_since(REPO, START + timedelta(seconds=1)) == {issues[1], issues[2]}
    stored = server.store.comment(server.repo(REPO), old)
    assert stored is not None
    stored.updated_at = datetime.now(UTC)
    assert forge.commented_since(REPO, START + timedelta(seconds=1)) == set(issues)


def test_more_comments_than_fit_a_page_are_counted_and_far_more_are_not(
    server: DemoForge, forge: Forge
) -> None:
    size = {"gitea": 50, "github": 100}[server.kind]
    numbers = [server.add_issue(REPO, f"Issue {n}") for n in range(3)]
    for n in range(3 * size):
        server.add_comment(REPO, numbers[n // size], "ann", str(n))
    before = len(server.requests)
    assert forge.commented_since(REPO, START) == set(numbers)
    assert len(server.requests) - before == 3
    for n in range(8 * size):
        server.add_comment(REPO, numbers[0], "ann", str(n))
    assert forge.commented_since(REPO, START) is None
    assert len(server.requests) - before <= 3 + RECENT_PAGES


def test_a_forge_that_does_not_tell_who_commented(server: DemoForge, forge: Forge) -> None:
    server.faults.append(Fault(r"/issues/comments\?", status=404))
    assert forge.commented_since(REPO, START) is None


def test_the_forges_clock_is_its_own(server: DemoForge, forge: Forge) -> None:
    assert abs((forge.clock() - datetime.now(UTC)).total_seconds()) < 5
    told = {"Date": "Thu, 01 Jan 2026 00:00:00 GMT", "Content-Type": "application/json"}
    server.faults.append(Fault("/user$", status=200, headers=told, body='{"login": "bot"}'))
    forge.whoami()
    assert abs((forge.clock() - START).total_seconds()) < 60


def test_only_the_issues_with_a_label_oldest_first(server: DemoForge, forge: Forge) -> None:
    for n in range(60):
        server.add_issue(REPO, f"Issue {n}", labels=["Sprint"] if n % 20 == 0 else ["p1"])
    before = len(server.requests)
    assert [issue.number for issue in forge.oldest_issues(REPO, "Sprint")] == [1, 21, 41]
    assert len(server.requests) - before == 1
    for label in ("sprint", "no such label", "a,b"):
        expected = [1, 21, 41] if label == "sprint" else []
        assert [issue.number for issue in forge.oldest_issues(REPO, label)] == expected, label
