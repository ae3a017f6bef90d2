"""The embedded forge in GitHub's dialect: what clients trip over is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from tests.servers.forge import DemoForge

REPO = "acme/widgets"
Ask = Callable[..., requests.Response]


@pytest.fixture
def ask(github: DemoForge) -> Ask:
    github.add_repo(REPO, {"README.md": "widgets\n"})

    def send(
        method: str,
        path: str = "",
        token: str | None = github.token,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> requests.Response:
        sent = {**({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
        url = f"{github.api_url}/repos/{REPO}{path}"
        return requests.request(method, url, headers=sent, timeout=10, allow_redirects=False, **more)

    return send


def numbers(answer: requests.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [item["number"] for item in answer.json()]


def feature(forge: DemoForge, branch: str = "feat") -> str:
    return forge.commit(REPO, branch, "Change", {f"{branch}.txt": "new\n"})


def test_sorts_on_the_server_and_mixes_pull_requests_in(github: DemoForge, ask: Ask) -> None:
    github.add_issue(REPO, "First")
    feature(github)
    github.add_pull(REPO, "feat")
    github.add_issue(REPO, "Third")
    assert numbers(ask("GET", "/issues?sort=created&direction=asc")) == [1, 2, 3]
    mixed = {item["number"]: "pull_request" in item for item in ask("GET", "/issues").json()}
    assert mixed == {3: False, 2: True, 1: False}


def test_pages_by_link(github: DemoForge, ask: Ask) -> None:
    github.bulk_issues(REPO, 250)
    first = ask("GET", "/issues?per_page=500&direction=asc")
    assert len(first.json()) == 100
    assert set(first.links) == {"next", "last"}
    second = requests.get(first.links["next"]["url"], timeout=5)
    assert numbers(second)[0] == 101
    assert set(second.links) == {"next", "last", "first", "prev"}


def test_deep_pages_are_refused_by_number_and_go_on_by_cursor(github: DemoForge, ask: Ask) -> None:
    github.bulk_issues(REPO, 90)
    github.store.numbered_pages = 2
    assert ask("GET", "/issues?page=3").status_code == 422
    second = ask("GET", "/issues?page=2")
    assert "after=" in second.links["next"]["url"]
    assert numbers(requests.get(second.links["next"]["url"], timeout=5))[-1] == 1


def test_associations_nulls_and_plain_labels(github: DemoForge, ask: Ask) -> None:
    github.add_user("ada")
    github.grant(REPO, "ada")
    for author in ("acme", "ada", "stranger", ""):
        github.add_issue(REPO, "An issue", author=author, labels=["bug"])
    issues = ask("GET", "/issues?direction=asc").json()
    assert [item["author_association"] for item in issues] == ["OWNER", "COLLABORATOR", "NONE", "NONE"]
    assert (issues[3]["user"], issues[0]["body"]) == (None, None)
    assert issues[0]["labels"][0]["name"] == "bug"
    github.store.labels_as_strings = True
    assert ask("GET", "/issues/1").json()["labels"] == ["bug"]


def test_opening_a_pull_request(github: DemoForge, ask: Ask) -> None:
    sha = feature(github)
    wanted = {"title": "T", "head": "feat", "base": "main", "draft": True}
    made = ask("POST", "/pulls", json=wanted)
    assert made.status_code == 201
    assert (made.json()["head"]["sha"], made.json()["draft"]) == (sha, True)
    again = ask("POST", "/pulls", json={**wanted, "head": "acme:feat"})
    assert again.status_code == 422
    assert again.json()["errors"][0]["message"] == "A pull request already exists for acme:feat."
    same = ask("POST", "/pulls", json={**wanted, "head": "main"})
    assert same.json()["errors"][0]["message"] == "No commits between main and main"
    absent = ask("POST", "/pulls", json={**wanted, "head": "absent"})
    assert absent.json()["errors"] == [{"resource": "PullRequest", "field": "head", "code": "invalid"}]
    github.store.drafts_supported = False
    assert "Draft" in ask("POST", "/pulls", json=wanted).json()["message"]


def test_finds_the_pull_requests_of_a_branch(github: DemoForge, ask: Ask) -> None:
    for branch in ("one", "two"):
        feature(github, branch)
        github.add_pull(REPO, branch)
    github.merge(REPO, 1)
    assert numbers(ask("GET", "/pulls?head=acme:two")) == [2]
    assert numbers(ask("GET", "/pulls?head=acme:one")) == []
    assert numbers(ask("GET", "/pulls?head=acme:one&state=all")) == [1]
    assert numbers(ask("GET", "/pulls?head=other:two")) == []


def test_the_newest_version_drops_fields(ask: Ask, github: DemoForge) -> None:
    github.add_issue(REPO, "An issue", assignees=["ada"])
    assert ask("GET", "/issues/1").json()["assignee"]["login"] == "ada"
    newest = ask("GET", "/issues/1", headers={"X-GitHub-Api-Version": "2026-03-10"}).json()
    assert "assignee" not in newest
    assert newest["assignees"][0]["login"] == "ada"
    assert ask("GET", "/issues/1", headers={"X-GitHub-Api-Version": "1999-01-01"}).status_code == 400


def test_an_unchanged_answer_costs_nothing(github: DemoForge, ask: Ask) -> None:
    first = ask("GET", "/issues")
    again = ask("GET", "/issues", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["X-RateLimit-Remaining"] == first.headers["X-RateLimit-Remaining"]
    assert first.headers["X-OAuth-Scopes"] == "repo, workflow"


def test_a_renamed_repository_redirects_to_its_id(github: DemoForge, ask: Ask) -> None:
    github.add_issue(REPO, "An issue")
    github.rename_repo(REPO, "acme/gadgets")
    moved = ask("GET", "/issues/1")
    assert moved.status_code == 301
    headers = {"Authorization": f"Bearer {github.token}"}
    assert requests.get(moved.headers["Location"], headers=headers, timeout=5).json()["title"] == "An issue"


def test_who_may_see_and_write(github: DemoForge, ask: Ask) -> None:
    github.add_issue(REPO, "A bug")
    github.add_user("ada")
    assert ask("GET", "/issues/1", token="wrong").json()["message"] == "Bad credentials"
    assert ask("POST", "/issues/1/comments", token=None, json={"body": "x"}).status_code == 401
    assert ask("GET", "/collaborators/ada/permission").json()["permission"] == "read"
    assert ask("GET", "/collaborators/nobody/permission").status_code == 404
    github.repo(REPO).private = True
    assert ask("GET", "/issues/1", token=None).status_code == 404
    github.repo(REPO).has_issues = False
    assert ask("GET", "/issues/1").status_code == 410
    github.repo(REPO).archived = True
    assert ask("POST", "/issues/1/comments", json={"body": "x"}).status_code == 403


def test_edits_comments_dependencies_reviews_and_merges(github: DemoForge, ask: Ask) -> None:
    github.add_issue(REPO, "Blocked")
    github.add_issue(REPO, "Blocker")
    github.add_dependency(REPO, 1, 2)
    assert numbers(ask("GET", "/issues/1/dependencies/blocked_by")) == [2]
    assert ask("GET", "/issues/1").json()["issue_dependencies_summary"]["blocked_by"] == 1
    comment = ask("POST", "/issues/1/comments", json={"body": "hello"}).json()
    assert ask("PATCH", f"/issues/comments/{comment['id']}", json={"body": "bye"}).json()["body"] == "bye"
    assert ask("PATCH", "/issues/1", json={"title": "Other"}).status_code == 200
    feature(github)
    number = github.add_pull(REPO, "feat", body="fixes #1")
    github.add_review(REPO, number, "ada", "REQUEST_CHANGES", "no")
    assert ask("GET", f"/pulls/{number}/reviews").json()[0]["state"] == "CHANGES_REQUESTED"
    assert ask("PUT", f"/pulls/{number}/merge", json={}).json()["merged"] is True
    assert ask("GET", "/issues/1").json()["state"] == "closed"


def test_a_merge_is_told_by_its_event_and_scopes_may_be_untold(github: DemoForge, ask: Ask) -> None:
    feature(github)
    commit = github.merge(REPO, github.add_pull(REPO, "feat"))
    assert ask("GET", "/issues/1/events").json() == [{"event": "merged", "commit_id": commit}]
    newest = ask("GET", "/pulls/1", headers={"X-GitHub-Api-Version": "2026-03-10"}).json()
    assert "merge_commit_sha" not in newest
    github.store.scopes = None
    assert "X-OAuth-Scopes" not in ask("GET").headers
