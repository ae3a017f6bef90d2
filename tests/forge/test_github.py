"""GitHub's own corners, as its servers answer them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import responses
from responses import matchers

from sprint.config import ForgeConfig
from sprint.domain import Secret
from sprint.errors import ForgeError
from sprint.forge import Forge, connect
from tests.servers.forge import DemoForge

API = "https://api.github.com"
REPO = "octo/widgets"
AT = "2026-01-02T03:04:05Z"


@pytest.fixture
def server() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def forge() -> Forge:
    return connect(ForgeConfig(kind="github"), Secret("t0ken"))


def issue(number: int, **more: Any) -> dict[str, Any]:
    return {
        "number": number,
        "title": f"Issue {number}",
        "created_at": AT,
        "updated_at": AT,
        "html_url": f"https://github.com/{REPO}/issues/{number}",
        **more,
    }


def pull(number: int, **more: Any) -> dict[str, Any]:
    branches = {
        "head": {"ref": "feature", "label": "octo:feature", "sha": "abc", "repo": {"full_name": REPO}},
        "base": {"ref": "main", "label": "octo:main", "sha": "def", "repo": {"full_name": REPO}},
    }
    return {"number": number, "title": "t", "created_at": AT, "state": "open", **branches, **more}


@pytest.mark.parametrize(
    ("url", "site", "api"),
    [
        ("", "https://github.com", API),
        ("https://github.com/", "https://github.com", API),
        ("https://api.github.com", "https://github.com", API),
        ("https://acme.ghe.com", "https://acme.ghe.com", "https://api.acme.ghe.com"),
        ("https://api.acme.ghe.com", "https://acme.ghe.com", "https://api.acme.ghe.com"),
        ("https://git.acme.org", "https://git.acme.org", "https://git.acme.org/api/v3"),
        ("https://git.acme.org/api/v3/", "https://git.acme.org", "https://git.acme.org/api/v3"),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000", "http://127.0.0.1:3000/api/v3"),
    ],
)
def test_addresses(server: responses.RequestsMock, url: str, site: str, api: str) -> None:
    forge = connect(ForgeConfig(kind="github", url=url), Secret("t0ken"))
    assert forge.url == site
    server.get(f"{api}/repos/{REPO}", json={"full_name": REPO, "size": 1})
    assert forge.repository(REPO).clone_url == f"{site}/{REPO}.git"


def test_headers(server: responses.RequestsMock, forge: Forge) -> None:
    wanted = {
        "Authorization": "Bearer t0ken",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2026-03-10",
    }
    server.get(f"{API}/user", json={"login": "bot"}, match=[matchers.header_matcher(wanted)])
    assert forge.whoami() == "bot"
    assert server.calls[0].request.headers["User-Agent"].startswith("sprint-backlog-burner/")


def test_an_apps_token_knows_its_name_too(server: responses.RequestsMock, forge: Forge) -> None:
    server.get(f"{API}/user", status=403, json={"message": "Resource not accessible by integration"})
    server.post(f"{API}/graphql", json={"data": {"viewer": {"login": "github-actions[bot]"}}})
    assert [forge.whoami(), forge.whoami()] == ["github-actions[bot]"] * 2
    assert len(server.calls) == 2


def test_an_enterprise_servers_refusal_is_told(server: responses.RequestsMock) -> None:
    forge = connect(ForgeConfig(kind="github", url="https://git.acme.org"), Secret("t0ken"))
    server.get("https://git.acme.org/api/v3/user", status=403, json={"message": "no"})
    with pytest.raises(ForgeError, match=r"GET user: refused \(403\): no"):
        forge.whoami()


def test_a_first_page_of_pull_requests_only_goes_on(server: responses.RequestsMock, forge: Forge) -> None:
    where = f"{API}/repos/{REPO}/issues"
    first = {"state": "open", "sort": "created", "direction": "asc", "per_page": "100"}
    server.get(
        where,
        json=[issue(n, pull_request={"url": "x"}) for n in range(1, 101)],
        headers={"Link": f'<{API}/repositories/1/issues?after=abc>; rel="next"', "ETag": '"1"'},
        match=[matchers.query_param_matcher(first)],
    )
    server.get(
        f"{API}/repositories/1/issues",
        json=[issue(101), issue(102)],
        match=[matchers.query_param_matcher({"after": "abc"})],
    )
    issues = forge.oldest_issues(REPO)
    assert next(issues).number == 101
    assert len(server.calls) <= 4
    assert [found.number for found in issues] == [102]


def test_what_slid_over_the_edge_of_a_page_is_found(server: responses.RequestsMock, forge: Forge) -> None:
    where = f"{API}/repos/{REPO}/issues"
    link = {"Link": f'<{where}?page=2>; rel="next"', "ETag": '"1"'}

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        if request.params.get("page") == "2":
            return 200, {}, json.dumps([issue(4)])
        was_here = "If-None-Match" in request.headers
        return 200, link, json.dumps([issue(2), issue(3)] if was_here else [issue(1), issue(2)])

    server.add_callback("GET", where, answer)
    assert [found.number for found in forge.oldest_issues(REPO)] == [1, 2, 3, 4]


def test_nulls_plain_labels_and_trust(server: responses.RequestsMock, forge: Forge) -> None:
    trust = {
        "OWNER": True,
        "MEMBER": True,
        "COLLABORATOR": True,
        "CONTRIBUTOR": False,
        "NONE": False,
        "": False,
    }
    listed = [
        issue(
            n,
            author_association=association,
            user=None,
            body=None,
            assignees=None,
            labels=["plain"],
            locked=True,
        )
        for n, association in enumerate(trust, 1)
    ]
    server.get(f"{API}/repos/{REPO}/issues", json=listed)
    found = list(forge.oldest_issues(REPO))
    assert [one.trusted for one in found] == list(trust.values())
    assert {(one.author, one.body, one.labels, one.locked) for one in found} == {
        ("ghost", "", ("plain",), True)
    }


def test_an_issue_that_moved_to_another_repository_is_not_there(
    server: responses.RequestsMock, forge: Forge
) -> None:
    moved = f"{API}/repositories/2/issues/7"
    server.get(f"{API}/repos/{REPO}/issues/7", status=301, headers={"Location": moved})
    server.get(moved, json=issue(7, html_url="https://github.com/other/place/issues/7"))
    server.get(f"{API}/repos/{REPO}", json={"full_name": REPO, "size": 1})
    with pytest.raises(ForgeError, match="#7 was moved to another repository") as caught:
        forge.issue(REPO, 7)
    assert caught.value.status == 404


def test_an_empty_repository(server: responses.RequestsMock, forge: Forge) -> None:
    repo = {"full_name": REPO, "default_branch": "main", "size": 0}
    server.get(f"{API}/repos/{REPO}", json=repo)
    server.get(f"{API}/repos/{REPO}/branches/main", status=404, json={"message": "Branch not found"})
    assert forge.repository(REPO).empty
    server.upsert("GET", f"{API}/repos/{REPO}/branches/main", json={"name": "main"})
    assert not forge.repository(REPO).empty


def test_a_disabled_repository_counts_as_archived(server: responses.RequestsMock, forge: Forge) -> None:
    repo = {"full_name": REPO, "size": 1, "disabled": True, "permissions": {"push": True}}
    server.get(f"{API}/repos/{REPO}", json=repo)
    found = forge.repository(REPO)
    assert (found.archived, found.can_push) == (True, False)


def test_an_apps_token_is_not_told_its_rights(server: responses.RequestsMock, forge: Forge) -> None:
    repo = {"full_name": REPO, "size": 1, "permissions": {"admin": False, "push": False, "pull": False}}
    server.get(f"{API}/repos/{REPO}", json=repo)
    assert forge.repository(REPO).can_push is None
    server.upsert("GET", f"{API}/repos/{REPO}", json={**repo, "archived": True})
    assert forge.repository(REPO).can_push is False


ARGUMENTS = {"title": "fix", "body": "b", "head": "feature", "base": "main"}


def test_a_pull_request_that_exists_is_found_by_its_branches(
    server: responses.RequestsMock, forge: Forge
) -> None:
    exists = {
        "message": "Validation Failed",
        "errors": [{"message": "A pull request already exists for octo:feature."}],
    }
    server.post(f"{API}/repos/{REPO}/pulls", status=422, json=exists)
    query = {"head": "octo:feature", "base": "main", "state": "open", "per_page": "100"}
    server.get(f"{API}/repos/{REPO}/pulls", json=[pull(9)], match=[matchers.query_param_matcher(query)])
    assert forge.create_pull(REPO, draft=False, **ARGUMENTS).number == 9


def test_a_pull_request_without_commits_is_refused_in_githubs_words(
    server: responses.RequestsMock, forge: Forge
) -> None:
    empty = {"message": "Validation Failed", "errors": [{"message": "No commits between main and feature"}]}
    server.post(f"{API}/repos/{REPO}/pulls", status=422, json=empty)
    server.get(f"{API}/repos/{REPO}/pulls", json=[])
    with pytest.raises(ForgeError, match="Validation Failed: No commits between main and feature") as caught:
        forge.create_pull(REPO, draft=False, **ARGUMENTS)
    assert caught.value.status == 422


def test_where_there_are_no_drafts_an_ordinary_one_is_made(
    server: responses.RequestsMock, forge: Forge
) -> None:
    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        if json.loads(request.body)["draft"]:
            message = "Draft pull requests are not supported in this repository."
            return 422, {}, json.dumps({"message": message})
        return 201, {}, json.dumps(pull(9, draft=False))

    server.add_callback("POST", f"{API}/repos/{REPO}/pulls", answer)
    server.get(f"{API}/repos/{REPO}/pulls", json=[])
    made = forge.create_pull(REPO, draft=True, **ARGUMENTS)
    assert (made.number, made.draft) == (9, False)


def test_the_merge_commit_comes_from_the_event(server: responses.RequestsMock, forge: Forge) -> None:
    server.get(f"{API}/repos/{REPO}/pulls/9", json=pull(9, state="closed", merged_at=AT, closed_at=AT))
    events = [
        {"event": "labeled"},
        {"event": "merged", "commit_id": "f00"},
        {"event": "closed", "commit_id": None},
    ]
    server.get(f"{API}/repos/{REPO}/issues/9/events", json=events)
    found = forge.pull(REPO, 9)
    assert (found.merge_commit, found.is_open) == ("f00", False)
    assert found.merged_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_fork_that_is_gone(server: responses.RequestsMock, forge: Forge) -> None:
    gone = {"ref": "feature", "label": "stranger:feature", "sha": "abc", "repo": None}
    server.get(f"{API}/repos/{REPO}/pulls", json=[pull(9, head=gone, user=None)])
    (found,) = forge.open_pulls(REPO)
    assert (found.head_repo, found.author, found.head) == ("", "ghost", "feature")


@pytest.mark.parametrize("status", [404, 410])
def test_no_dependencies_on_this_server(server: responses.RequestsMock, forge: Forge, status: int) -> None:
    server.get(f"{API}/repos/{REPO}/issues/7", json=issue(7))
    server.get(f"{API}/repos/{REPO}/issues/7/dependencies/blocked_by", status=status)
    assert forge.open_blockers(REPO, forge.issue(REPO, 7)) == []


def test_who_can_write_where_we_may_not_ask(server: responses.RequestsMock, forge: Forge) -> None:
    server.get(f"{API}/user", json={"login": "bot"})
    server.get(
        f"{API}/repos/{REPO}/collaborators/ann/permission",
        status=403,
        json={"message": "Must have push access to view collaborator permission."},
    )
    assert [forge.can_write(REPO, who) for who in ("ann", "ann", "bob")] == [None] * 3
    assert len(server.calls) == 2


@pytest.mark.parametrize(
    "fault", [{"status": 500}, {"status": 503}, {"body": requests.exceptions.ReadTimeout()}]
)
def test_who_can_write_is_not_known_while_the_server_does_not_say(
    server: responses.RequestsMock, forge: Forge, slept: list[float], fault: dict[str, Any]
) -> None:
    """It is asked for advice only: it ends no tick, and the next author costs no second wait."""
    server.get(f"{API}/user", json={"login": "bot"})
    server.get(f"{API}/repos/{REPO}/collaborators/ann/permission", **fault)
    assert [forge.can_write(REPO, who) for who in ("ann", "ann", "bob")] == [None] * 3


@pytest.mark.parametrize(
    ("headers", "private", "expected"),
    [
        ({"X-OAuth-Scopes": "repo, workflow"}, True, (True, True)),
        ({"X-OAuth-Scopes": "repo"}, True, (True, True)),
        ({"X-OAuth-Scopes": "public_repo"}, False, (True, True)),
        ({"X-OAuth-Scopes": "public_repo"}, True, (False, False)),
        ({"X-OAuth-Scopes": "gist"}, False, (False, False)),
        ({"X-OAuth-Scopes": ""}, False, (None, None)),
        ({}, True, (None, None)),
    ],
)
def test_rights_by_the_tokens_scopes(
    server: responses.RequestsMock,
    forge: Forge,
    headers: dict[str, str],
    private: bool,
    expected: tuple[Any, ...],
) -> None:
    server.get(f"{API}/user", json={"login": "bot"})
    repo = {"full_name": REPO, "size": 1, "private": private, "permissions": {"push": True}}
    server.get(f"{API}/repos/{REPO}", json=repo, headers=headers)
    rights = forge.rights(REPO)
    assert (rights.login, rights.can_push, rights.can_comment) == ("bot", *expected)


def test_who_may_only_read_where_there_are_no_issues(server: responses.RequestsMock, forge: Forge) -> None:
    server.get(f"{API}/user", json={"login": "bot"})
    repo = {"full_name": REPO, "size": 1, "has_issues": False, "permissions": {"push": False}}
    server.get(f"{API}/repos/{REPO}", json=repo)
    rights = forge.rights(REPO)
    assert (rights.can_push, rights.can_comment) == (False, False)


def test_logs_on_another_host_are_not_for_the_model(server: responses.RequestsMock, forge: Forge) -> None:
    elsewhere = "https://storage.example/logs?sig=x"
    server.get(f"{API}/repos/{REPO}/commits/abc/status", status=302, headers={"Location": elsewhere})
    with pytest.raises(
        ForgeError, match=r"sends us on to https://storage\.example:443, where the token must not go"
    ):
        forge.read(REPO, "commits/abc/status", {})
    assert len(server.calls) == 1


def test_issues_that_are_off_on_the_embedded_forge(github: DemoForge) -> None:
    github.add_repo(REPO, {"a": "b"})
    number = github.add_issue(REPO, "Before")
    github.repo(REPO).has_issues = False
    forge = connect(ForgeConfig(kind="github", url=github.url), Secret(github.token))
    assert forge.repository(REPO).has_issues is False
    with pytest.raises(ForgeError, match="Issues are disabled for this repo") as caught:
        forge.issue(REPO, number)
    assert caught.value.status == 410
