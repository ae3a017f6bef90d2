"""The embedded forge in Gitea's dialect: what clients trip over is there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from tests.servers.forge import DemoForge

REPO = "acme/widgets"
Ask = Callable[..., requests.Response]


@pytest.fixture
def ask(gitea: DemoForge) -> Ask:
    gitea.add_repo(REPO, {"README.md": "widgets\n"})

    def send(method: str, path: str = "", token: str | None = gitea.token, **more: Any) -> requests.Response:
        headers = {"Authorization": f"token {token}"} if token else {}
        url = f"{gitea.api_url}/repos/{REPO}{path}"
        return requests.request(method, url, headers=headers, timeout=10, allow_redirects=False, **more)

    return send


def numbers(answer: requests.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [item["number"] for item in answer.json()]


def feature(forge: DemoForge, branch: str = "feat") -> str:
    return forge.commit(REPO, branch, "Change", {f"{branch}.txt": "new\n"})


def test_issues_come_newest_first_whatever_sort_says(gitea: DemoForge, ask: Ask) -> None:
    for day in (2, 1, 3):
        gitea.add_issue(REPO, f"Day {day}", created_at=datetime(2026, 1, day, tzinfo=UTC))
    assert numbers(ask("GET", "/issues?sort=oldest")) == [3, 1, 2]


def test_pages_are_capped_and_counted(gitea: DemoForge, ask: Ask) -> None:
    gitea.bulk_issues(REPO, 120)
    first = ask("GET", "/issues?limit=100&type=issues")
    assert len(first.json()) == 50
    assert first.headers["X-Total-Count"] == "120"
    assert first.links["last"]["url"].endswith("limit=100&type=issues&page=3")
    last = requests.get(
        first.links["last"]["url"], headers={"Authorization": f"token {gitea.token}"}, timeout=5
    )
    assert numbers(last)[-1] == 1
    assert set(last.links) == {"first", "prev"}
    assert len(ask("GET", "/issues").json()) == 30
    assert ask("GET", "/issues?page=9").json() == []


def test_pull_requests_are_mixed_in_unless_asked_not_to(gitea: DemoForge, ask: Ask) -> None:
    gitea.add_issue(REPO, "An issue")
    feature(gitea)
    gitea.add_pull(REPO, "feat")
    assert numbers(ask("GET", "/issues")) == [2, 1]
    assert numbers(ask("GET", "/issues?type=issues")) == [1]
    assert ask("GET", "/issues/2").json()["pull_request"]["merged"] is False


def test_empty_things_are_null(gitea: DemoForge, ask: Ask) -> None:
    gitea.add_issue(REPO, "An issue", author="")
    issue = ask("GET", "/issues/1").json()
    assert issue["assignees"] is None
    assert issue["user"]["id"] == -1
    assert ask("GET", "/issues/1/timeline").json() is None
    assert ask("GET", f"/commits/{'0' * 40}/status").json()["state"] == ""


def test_opening_a_pull_request(gitea: DemoForge, ask: Ask) -> None:
    sha = feature(gitea)
    made = ask("POST", "/pulls", json={"title": "WIP: T", "head": "feat", "base": "main", "draft": False})
    assert made.status_code == 201
    assert (made.json()["head"]["sha"], made.json()["draft"]) == (sha, True)
    assert gitea.refs(REPO)["refs/pull/1/head"] == sha
    again = {"title": "T", "head": "feat", "base": "main"}
    assert ask("POST", "/pulls", json=again).status_code == 409
    assert ask("POST", "/pulls", json={**again, "head": "main"}).status_code == 422
    assert ask("POST", "/pulls", json={**again, "head": "absent"}).status_code == 404
    assert ask("POST", "/pulls", json={**again, "base": "absent"}).status_code == 404
    assert ask("PATCH", "/pulls/1", json={"title": "T"}).status_code == 201
    assert ask("GET", "/pulls/1").json()["draft"] is False


def test_a_draft_is_only_a_title_and_nothing_may_be_new(gitea: DemoForge, ask: Ask) -> None:
    feature(gitea, "same")
    gitea.merge(REPO, gitea.add_pull(REPO, "same"))
    made = ask("POST", "/pulls", json={"title": "T", "head": "same", "base": "main", "draft": True})
    assert (made.status_code, made.json()["draft"]) == (201, False)


def test_the_list_of_pulls_ignores_head(gitea: DemoForge, ask: Ask) -> None:
    for branch in ("one", "two"):
        feature(gitea, branch)
        gitea.add_pull(REPO, branch)
    assert numbers(ask("GET", "/pulls?head=one")) == [2, 1]
    assert numbers(ask("GET", "/pulls?sort=oldest")) == [1, 2]
    assert ask("GET", "/pulls/main/one").json()["number"] == 1
    assert ask("GET", "/pulls/main/three").status_code == 404


def test_a_push_moves_the_pull_request(gitea: DemoForge, ask: Ask) -> None:
    feature(gitea)
    gitea.add_pull(REPO, "feat")
    moved = gitea.commit(REPO, "feat", "More", {"more.txt": "x"})
    assert ask("GET", "/pulls/1").json()["head"]["sha"] == moved


def test_a_merge_closes_what_the_body_says(gitea: DemoForge, ask: Ask) -> None:
    gitea.add_issue(REPO, "A bug")
    gitea.add_issue(REPO, "Another")
    feature(gitea)
    gitea.add_pull(REPO, "feat", body="Closes #1\n\nRefs #2")
    assert ask("POST", "/pulls/3/merge", json={"Do": "merge"}).status_code == 200
    assert [ask("GET", f"/issues/{n}").json()["state"] for n in (1, 2, 3)] == ["closed", "open", "closed"]
    assert ask("GET", "/pulls/3").json()["merged"] is True
    assert gitea.file(REPO, "main", "feat.txt") == "new\n"


def test_comments_and_labels(gitea: DemoForge, ask: Ask) -> None:
    gitea.add_issue(REPO, "A bug", labels=["bug"])
    gitea.add_issue(REPO, "Other", labels=["late"])
    made = ask("POST", "/issues/1/comments", json={"body": "hello"})
    assert made.status_code == 201
    assert ask("PATCH", f"/issues/comments/{made.json()['id']}", json={"body": "bye"}).status_code == 200
    assert [comment.body for comment in gitea.comments(REPO, 1)] == ["bye"]
    label = next(item for item in ask("GET", "/labels").json() if item["name"] == "late")
    added = ask("POST", "/issues/1/labels", json={"labels": [label["id"]]})
    assert [item["name"] for item in added.json()] == ["bug", "late"]
    assert numbers(ask("GET", "/issues?labels=late")) == [2, 1]


def test_dependencies_and_their_absence(gitea: DemoForge, ask: Ask) -> None:
    gitea.add_issue(REPO, "Blocked")
    gitea.add_issue(REPO, "Blocker")
    gitea.add_dependency(REPO, 1, 2)
    assert numbers(ask("GET", "/issues/1/dependencies")) == [2]
    gitea.repo(REPO).has_dependencies = False
    assert ask("GET", "/issues/1/dependencies").status_code == 404


def test_rights_of_others_are_for_administrators(gitea: DemoForge, ask: Ask) -> None:
    gitea.add_user("ada")
    gitea.grant(REPO, "ada")
    assert ask("GET", "/collaborators/ada/permission").status_code == 403
    assert ask("GET", f"/collaborators/{gitea.login}/permission").json()["permission"] == "write"
    assert {user["login"] for user in ask("GET", "/assignees").json()} == {"acme", "ada", gitea.login}
    gitea.grant(REPO, gitea.login, "admin")
    assert ask("GET", "/collaborators/ada/permission").json()["permission"] == "write"


def test_the_assignable_of_an_organization_are_more_than_its_writers(gitea: DemoForge, ask: Ask) -> None:
    assert ask("GET", "/teams").status_code == 405
    gitea.store.user("acme").kind = "Organization"
    gitea.grant(REPO, "ada", "write")
    gitea.grant(REPO, "bob", "read")
    assert {user["login"] for user in ask("GET", "/assignees").json()} == {"ada", "bob", gitea.login}
    levels = {team["units_map"]["repo.code"] for team in ask("GET", "/teams").json()}
    assert levels == {"owner", "write", "read"}
    gitea.grant(REPO, gitea.login, "admin")
    assert ask("GET", "/collaborators/ada/permission").json()["permission"] == "read"


def test_who_may_see_and_write(gitea: DemoForge, ask: Ask) -> None:
    gitea.add_issue(REPO, "A bug")
    assert ask("GET", "/issues/1", token=None).status_code == 200
    assert ask("GET", "/issues/1", token="wrong").status_code == 401
    assert ask("POST", "/issues/1/comments", token=None, json={"body": "x"}).status_code == 401
    stranger = gitea.add_user("stranger")
    gitea.lock(REPO, 1)
    assert ask("POST", "/issues/1/comments", token=stranger, json={"body": "x"}).status_code == 403
    gitea.repo(REPO).private = True
    assert ask("GET", "/issues/1", token=None).status_code == 404
    assert ask("GET", "/issues/1", token=stranger).status_code == 404
    assert ask("GET").json()["permissions"] == {"admin": False, "push": True, "pull": True}


def test_repositories_that_cannot_be_worked_on(gitea: DemoForge, ask: Ask) -> None:
    gitea.add_issue(REPO, "A bug")
    gitea.repo(REPO).archived = True
    assert ask("POST", "/pulls", json={}).status_code == 423
    assert ask("PATCH", "/issues/1", json={"body": "changed"}).status_code == 201
    gitea.repo(REPO).archived = False
    gitea.repo(REPO).has_issues = False
    assert ask("GET", "/issues?type=issues").status_code == 404
    gitea.add_repo("acme/empty")
    assert requests.get(f"{gitea.api_url}/repos/acme/empty", timeout=5).json()["empty"] is True
    gitea.rename_repo(REPO, "acme/gadgets")
    moved = ask("GET", "/issues/1?x=1")
    assert (moved.status_code, moved.headers["Location"]) == (301, "/api/v1/repos/acme/gadgets/issues/1?x=1")


def test_ten_thousand_issues_are_no_burden(gitea: DemoForge, ask: Ask) -> None:
    gitea.bulk_issues(REPO, 10_000)
    assert numbers(ask("GET", "/issues?limit=50&type=issues&page=200"))[-1] == 1


def test_a_deleted_branch_leaves_its_name_in_the_label(gitea: DemoForge, ask: Ask) -> None:
    feature(gitea)
    gitea.merge(REPO, gitea.add_pull(REPO, "feat"))
    gitea.delete_branch(REPO, "feat")
    head = ask("GET", "/pulls/1").json()["head"]
    assert (head["ref"], head["label"]) == ("refs/pull/1/head", "feat")


def test_a_deleted_branch_closes_its_pull_request(gitea: DemoForge, ask: Ask) -> None:
    feature(gitea)
    gitea.add_pull(REPO, "feat")
    gitea.delete_branch(REPO, "feat")
    pull = ask("GET", "/pulls/1").json()
    assert (pull["state"], pull["head"]["ref"]) == ("closed", "refs/pull/1/head")
    feature(gitea)
    assert ask("GET", "/pulls/1").json()["state"] == "closed"
    assert ask("POST", "/pulls", json={"title": "Again", "head": "feat", "base": "main"}).status_code == 201


def test_answers_that_surprise(gitea: DemoForge, ask: Ask) -> None:
    """As seen on Gitea 1.25."""
    assert ask("GET", "/nonsense").text == "404 page not found\n"
    missing = ask("GET", "/issues/9")
    assert (missing.status_code, missing.json()["message"], missing.json()["errors"]) == (
        404,
        "not found",
        None,
    )
    for method, path in (("GET", "comments"), ("POST", "comments"), ("GET", "timeline")):
        failed = ask(method, f"/issues/9/{path}", json={"body": "x"} if method == "POST" else None)
        assert (failed.status_code, failed.json()["message"]) == (500, "")
    feature(gitea)
    gitea.add_pull(REPO, "feat", author="ann")
    stranger = gitea.add_user("stranger")
    refused = ask("PATCH", "/pulls/1", token=stranger, json={"title": "Mine"})
    assert (refused.status_code, refused.content) == (403, b"")
    untitled = ask("POST", "/pulls", json={"head": "feat", "base": "main"})
    assert (untitled.status_code, untitled.json()["message"]) == (422, "[Title]: Required")
    assert ask("PATCH", "/pulls/1", json={"state": "nonsense"}).status_code == 412
    in_capitals = requests.get(f"{gitea.api_url}/repos/{REPO.upper()}", timeout=5)
    assert in_capitals.json()["full_name"] == REPO
    gitea.repo(REPO).has_issues = False
    gitea.add_issue(REPO, "Hidden")
    assert numbers(ask("GET", "/issues")) == [1]


def test_a_locked_issue_can_be_edited_by_its_author_and_not_discussed(gitea: DemoForge, ask: Ask) -> None:
    ann = gitea.add_user("ann")
    gitea.add_issue(REPO, "Mine", author="ann")
    gitea.lock(REPO, 1)
    refused = ask("POST", "/issues/1/comments", token=ann, json={"body": "x"})
    assert (refused.status_code, refused.json()["message"]) == (403, "You cannot comment on a locked issue.")
    assert ask("PATCH", "/issues/1", token=ann, json={"body": "x"}).status_code == 201
    assert ask("POST", "/issues/1/comments", json={"body": "x"}).status_code == 201


def test_what_the_repository_holds(gitea: DemoForge, ask: Ask) -> None:
    sha = feature(gitea)
    gitea.add_pull(REPO, "feat")
    assert [item["name"] for item in ask("GET", "/branches").json()] == ["feat", "main"]
    assert ask("GET", "/branches/feat").json()["commit"]["id"] == sha
    assert ask("GET", "/branches/absent").status_code == 404
    commits = ask("GET", "/commits?sha=feat").json()
    assert [item["commit"]["message"].strip() for item in commits] == ["Change", "Start"]
    assert ask("GET", "/pulls/1/files").json() == [{"filename": "feat.txt", "status": "added"}]
    assert ask("GET", "/releases").json() == []
