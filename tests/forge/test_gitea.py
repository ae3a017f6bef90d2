"""Gitea's own corners, as its servers answer them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import responses
from responses import matchers

from sprint.config import ForgeConfig
from sprint.domain import Issue, Secret
from sprint.errors import ForgeError
from sprint.forge import Forge, connect
from tests.forge.gitea_answers import REPO, issue, pull
from tests.servers.forge import DemoForge

SITE = "https://git.example.org"
API = f"{SITE}/api/v1"


@pytest.fixture
def server() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def forge() -> Forge:
    return connect(ForgeConfig(kind="gitea", url=SITE), Secret("t0ken"))


def backlog(
    count: int, cap: int, **headers: Callable[[int], str]
) -> Callable[[Any], tuple[int, dict[str, str], str]]:
    """Answers of a list of issues; `headers` are made from the last page's number."""

    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        assert request.params["type"] == "issues"
        page, size = int(request.params["page"]), min(int(request.params["limit"]), cap)
        numbers = range(count, 0, -1)[(page - 1) * size : page * size]
        last = -(-count // size)
        made = {name.replace("_", "-"): make(last) for name, make in headers.items()}
        return 200, made, json.dumps([issue(number) for number in numbers])

    return answer


def test_nulls_and_odd_shapes(server: responses.RequestsMock, forge: Forge) -> None:
    odd = issue(7, body=None, user=None, assignees=None, labels=["plain", {"name": "object"}, {"name": None}])
    server.get(f"{API}/repos/{REPO}/issues/7", json={**odd, "is_locked": True, "unheard_of": {"a": 1}})
    found = forge.issue(REPO, 7)
    assert (found.body, found.author, found.assignees, found.labels) == ("", "ghost", (), ("plain", "object"))
    assert found.locked
    assert found.created_at.isoformat() == "2026-01-02T01:04:05+00:00"


def test_gos_zero_time_is_no_crash(server: responses.RequestsMock, forge: Forge) -> None:
    server.get(f"{API}/repos/{REPO}/issues/7", json={**issue(7), "updated_at": "0001-01-01T00:00:00+02:00"})
    assert forge.issue(REPO, 7).updated_at.year == 1


def test_null_instead_of_a_list(server: responses.RequestsMock, forge: Forge) -> None:
    server.get(f"{API}/repos/{REPO}/issues/7/comments", json=None)
    assert forge.comments(REPO, 7) == []


@pytest.mark.parametrize("answer", [{"message": "hello"}, [{"number": "7"}], [1], "text"])
def test_an_answer_of_another_shape_is_an_error_with_the_place(
    server: responses.RequestsMock, forge: Forge, answer: Any
) -> None:
    server.get(f"{API}/repos/{REPO}/pulls", json=answer)
    with pytest.raises(
        ForgeError, match=r"git\.example\.org: repos/octo/widgets/pulls: the answer is not what"
    ):
        forge.open_pulls(REPO)


def test_the_owner_is_trusted_others_are_unknown_and_the_migrated_are_not(
    server: responses.RequestsMock, forge: Forge
) -> None:
    def author(number: int, login: str, **more: Any) -> dict[str, Any]:
        return issue(number, user={"login": login}, **more)

    listed = [author(1, "Octo"), author(2, "ann"), author(3, "octo", original_author="stranger")]
    server.get(f"{API}/repos/{REPO}/issues", json=listed[::-1], headers={"X-Total-Count": "3"})
    found = list(forge.oldest_issues(REPO))
    assert [(i.author, i.trusted) for i in found] == [("Octo", True), ("ann", None), ("stranger", False)]


@pytest.mark.parametrize("cap", [50, 30])
def test_the_servers_page_size_rules(server: responses.RequestsMock, forge: Forge, cap: int) -> None:
    server.add_callback(
        "GET", f"{API}/repos/{REPO}/issues", backlog(10_000, cap, X_Total_Count=lambda _: "10000")
    )
    issues = forge.oldest_issues(REPO)
    assert [next(issues).number for _ in range(10)] == list(range(1, 11))
    assert len(server.calls) == 2


def test_without_a_count_the_last_link_tells(server: responses.RequestsMock, forge: Forge) -> None:
    def link(last: int) -> str:
        return f'<https://elsewhere.example/api/v1/x?page={last}&limit=50>; rel="last"' if last > 1 else ""

    server.add_callback("GET", f"{API}/repos/{REPO}/issues", backlog(9_990, 50, Link=link))
    issues = forge.oldest_issues(REPO)
    assert next(issues).number == 1
    assert len(server.calls) <= 4


def test_without_any_hint_all_pages_are_read(server: responses.RequestsMock, forge: Forge) -> None:
    server.add_callback("GET", f"{API}/repos/{REPO}/issues", backlog(120, 50))
    assert [found.number for found in forge.oldest_issues(REPO)] == list(range(1, 121))


def test_a_server_that_mixes_pull_requests_in(server: responses.RequestsMock, forge: Forge) -> None:
    mixed = [issue(3), issue(2, pull_request={"merged": False}), issue(1)]
    server.get(f"{API}/repos/{REPO}/issues", json=mixed, headers={"X-Total-Count": "3"})
    assert [found.number for found in forge.oldest_issues(REPO)] == [1, 3]


def test_a_draft_is_one_by_its_title(server: responses.RequestsMock, forge: Forge) -> None:
    def answer(request: Any) -> tuple[int, dict[str, str], str]:
        sent = json.loads(request.body)
        assert "draft" not in sent
        return 201, {}, json.dumps(pull(9, title=sent["title"]))

    server.add_callback("POST", f"{API}/repos/{REPO}/pulls", answer)
    arguments = {"body": "", "head": "feature", "base": "main"}
    made = forge.create_pull(REPO, title="fix", draft=True, **arguments)
    assert (made.title, made.draft) == ("WIP: fix", True)
    again = forge.create_pull(REPO, title="[WIP] fix", draft=True, **arguments)
    assert (again.title, again.draft) == ("[WIP] fix", True)
    # The server takes no space before it.
    assert forge.create_pull(REPO, title=" WIP: fix", draft=True, **arguments).title == "WIP:  WIP: fix"
    assert not forge.create_pull(REPO, title="WIPe the disk", draft=False, **arguments).draft


def test_an_update_does_not_announce_a_draft_as_ready(server: responses.RequestsMock, forge: Forge) -> None:
    where = f"{API}/repos/{REPO}/pulls/9"
    server.get(where, json=pull(9, title="WIP: fix", draft=True))
    wanted = matchers.json_params_matcher({"title": "WIP: better", "body": "b"})
    server.patch(where, status=201, json=pull(9), match=[wanted])
    forge.update_pull(REPO, 9, title="better", body="b")


def test_a_deleted_branch_is_named_by_its_label_and_a_deleted_fork_not_at_all(
    server: responses.RequestsMock, forge: Forge
) -> None:
    gone = {"ref": "refs/pull/9/head", "label": "feature", "sha": "abc", "repo": {"full_name": REPO}}
    server.get(f"{API}/repos/{REPO}/pulls/9", json=pull(9, head=gone))
    assert forge.pull(REPO, 9).head == "feature"
    server.get(f"{API}/repos/{REPO}/pulls/8", json=pull(8, head={**gone, "repo": None}))
    assert forge.pull(REPO, 8).head_repo == ""


def test_only_the_recent_pull_requests_are_looked_through_and_all_open_ones(
    server: responses.RequestsMock, forge: Forge
) -> None:
    for page in range(1, 5):
        link = f'<{API}/repos/{REPO}/pulls?state=all&sort=recentupdate&page={page + 1}&limit=50>; rel="next"'
        query = {"state": "all", "sort": "recentupdate", "limit": "50"}
        wanted = matchers.query_param_matcher(query if page == 1 else {**query, "page": str(page)})
        server.get(
            f"{API}/repos/{REPO}/pulls",
            json=[pull(100 + page, state="closed")],
            headers={"Link": link},
            match=[wanted],
        )
    wanted = matchers.query_param_matcher({"state": "open", "limit": "50"})
    server.get(f"{API}/repos/{REPO}/pulls", json=[pull(3)], match=[wanted])
    assert [found.number for found in forge.pulls_of_branch(REPO, "feature")] == [104, 103, 102, 101, 3]


def test_reviews_that_were_asked_for_or_begun_are_none(server: responses.RequestsMock, forge: Forge) -> None:
    server.get(f"{API}/user", json={"login": "bot"})
    where = f"{API}/repos/{REPO}/pulls/9"
    server.get(where, json=pull(9))
    found = forge.pull(REPO, 9)
    states = [
        {"user": {"login": "ann"}, "state": "REQUEST_REVIEW"},
        {"user": {"login": "ann"}, "state": "PENDING"},
        {"user": None, "state": "REQUEST_REVIEW", "team": {"name": "t"}},
        {"user": {"login": "Bot"}, "state": "COMMENT"},
        {"user": {"login": "gitea-actions"}, "state": "COMMENT"},
        {"user": {"login": "Ghost"}, "state": "APPROVED"},
    ]
    server.get(f"{where}/reviews", json=states)
    server.get(f"{API}/repos/{REPO}/issues/9/comments", json=[])
    assert not forge.is_reviewed(REPO, found)
    server.upsert("GET", f"{where}/reviews", json=[*states, {"user": {"login": "ann"}, "state": "COMMENT"}])
    assert forge.is_reviewed(REPO, found)


def test_who_can_write_where_permissions_may_not_be_asked(
    server: responses.RequestsMock, forge: Forge
) -> None:
    server.get(f"{API}/user", json={"login": "bot"})
    asked = server.get(f"{API}/repos/{REPO}/collaborators/ann/permission", status=403, body="")
    server.get(f"{API}/repos/{REPO}/assignees", json=[{"login": "Ann"}])
    server.get(f"{API}/repos/{REPO}/teams", status=405, body="")
    assert [forge.can_write(REPO, who) for who in ("ann", "bob", "carl")] == [True, False, False]
    assert asked.call_count == 1


READERS = {"permission": "none", "units_map": {"repo.code": "read", "repo.pulls": "read"}}
WRITERS = {"permission": "none", "units_map": {"repo.code": "write", "repo.pulls": "write"}}
OWNERS = {"permission": "owner", "units_map": {"repo.code": "owner"}}


@pytest.mark.parametrize(
    ("teams", "member_can_write"),
    [
        ([OWNERS, WRITERS], True),
        ([OWNERS, WRITERS, READERS], None),
        ([{"permission": "none", "units_map": {"repo.issues": "write"}}], None),
        ([{"permission": "write", "units_map": None}], True),
        ([{"permission": "read"}], None),
    ],
)
def test_a_member_of_a_team_that_may_only_read_is_no_writer(
    server: responses.RequestsMock, forge: Forge, teams: list[Any], member_can_write: bool | None
) -> None:
    server.get(f"{API}/user", json={"login": "bot"})
    server.get(f"{API}/repos/{REPO}/collaborators/ann/permission", status=403, body="")
    server.get(f"{API}/repos/{REPO}/assignees", json=[{"login": "ann"}])
    server.get(f"{API}/repos/{REPO}/teams", json=teams)
    assert [forge.can_write(REPO, who) for who in ("ann", "bob")] == [member_can_write, False]


@pytest.mark.parametrize(("teams", "member_can_write"), [([WRITERS], True), ([WRITERS, READERS], False)])
def test_an_administrator_is_told_read_of_those_who_write_by_their_team(
    server: responses.RequestsMock, forge: Forge, teams: list[Any], member_can_write: bool
) -> None:
    server.get(f"{API}/user", json={"login": "bot"})
    for who in ("ann", "bob"):
        server.get(f"{API}/repos/{REPO}/collaborators/{who}/permission", json={"permission": "read"})
    server.get(f"{API}/repos/{REPO}/assignees", json=[{"login": "ann"}])
    server.get(f"{API}/repos/{REPO}/teams", json=teams)
    assert [forge.can_write(REPO, who) for who in ("ann", "bob")] == [member_can_write, False]


@pytest.mark.parametrize("silent", ["collaborators/ann/permission", "assignees", "teams"])
def test_who_can_write_is_not_known_while_the_server_does_not_say(
    server: responses.RequestsMock, forge: Forge, slept: list[float], silent: str
) -> None:
    server.assert_all_requests_are_fired = False
    server.get(f"{API}/user", json={"login": "bot"})
    server.get(f"{API}/repos/{REPO}/collaborators/ann/permission", status=403, body="")
    server.get(f"{API}/repos/{REPO}/assignees", json=[{"login": "ann"}])
    server.get(f"{API}/repos/{REPO}/teams", json=[READERS])
    server.replace("GET", f"{API}/repos/{REPO}/{silent}", status=502, body="<html>nginx</html>")
    assert forge.can_write(REPO, "ann") is None


def test_what_is_never_paged_is_asked_for_without_a_page_size(
    server: responses.RequestsMock, forge: Forge
) -> None:
    server.get(f"{API}/user", json={"login": "bot"})
    server.get(f"{API}/repos/{REPO}/collaborators/ann/permission", status=403, body="")
    server.get(f"{API}/repos/{REPO}/assignees", json=[{"login": "ann"}])
    server.get(f"{API}/repos/{REPO}/teams", json=[WRITERS])
    server.get(f"{API}/repos/{REPO}/issues/7/comments", json=[])
    server.get(f"{API}/repos/{REPO}/pulls/9", json=pull(9))
    server.get(f"{API}/repos/{REPO}/pulls/9/reviews", json=[])
    server.get(f"{API}/repos/{REPO}/issues/9/comments", json=[])
    assert forge.can_write(REPO, "ann") is True
    assert forge.comments(REPO, 7) == []
    assert not forge.is_reviewed(REPO, forge.pull(REPO, 9))
    asked = [str(call.request.url) for call in server.calls]
    assert [url for url in asked if "limit=" in url] == [f"{API}/repos/{REPO}/pulls/9/reviews?limit=50"]


def test_without_a_token_nobody_is_asked_who_can_write() -> None:
    with responses.RequestsMock():
        assert connect(ForgeConfig(kind="gitea", url=SITE), None).can_write(REPO, "ann") is None


def test_who_can_write_where_nothing_may_be_asked(server: responses.RequestsMock, forge: Forge) -> None:
    server.get(f"{API}/user", json={"login": "bot"})
    server.get(f"{API}/repos/{REPO}/collaborators/ann/permission", status=403, body="")
    server.get(f"{API}/repos/{REPO}/assignees", status=403, body="")
    assert [forge.can_write(REPO, who) for who in ("ann", "bob")] == [None, None]
    assert len(server.calls) == 3


def test_a_users_name_stays_one_segment(server: responses.RequestsMock, forge: Forge) -> None:
    server.get(f"{API}/user", json={"login": "bot"})
    server.get(f"{API}/repos/{REPO}/collaborators/..%2F..%2Fx/permission", json={"permission": "admin"})
    assert forge.can_write(REPO, "../../x") is True
    assert "..%2F..%2Fx" in str(server.calls[-1].request.url)


def test_another_address_than_the_one_configured_gets_no_token(
    server: responses.RequestsMock, forge: Forge
) -> None:
    repo = {
        "full_name": REPO,
        "default_branch": "main",
        "clone_url": "https://elsewhere.example/octo/widgets.git",
        "html_url": "https://elsewhere.example/octo/widgets",
    }
    server.get(f"{API}/repos/{REPO}", json=repo)
    assert forge.repository(REPO).clone_url == f"{SITE}/{REPO}.git"
    server.upsert("GET", f"{API}/repos/{REPO}", json={**repo, "full_name": "../../etc"})
    with pytest.raises(ForgeError, match="impossible name"):
        forge.repository(REPO)


@pytest.mark.parametrize("kind", ["gitea", "forgejo"])
def test_rights(server: responses.RequestsMock, kind: Any) -> None:
    forge = connect(ForgeConfig(kind=kind, url=SITE), Secret("t0ken"))
    assert forge.kind == kind
    server.get(f"{API}/user", json={"login": "bot"})
    repo = {"full_name": REPO, "permissions": {"push": True}, "has_issues": True}
    server.get(f"{API}/repos/{REPO}", json=repo)
    for what in ("pulls", "issues"):
        nothing = [matchers.json_params_matcher({})]
        server.post(
            f"{API}/repos/{REPO}/{what}", status=422, json={"message": "[Title]: Required"}, match=nothing
        )
    rights = forge.rights(REPO)
    assert (rights.login, rights.can_push, rights.can_comment) == ("bot", True, True)
    for change in ({"archived": True}, {"mirror": True}, {"permissions": {"push": False}}):
        server.upsert("GET", f"{API}/repos/{REPO}", json={**repo, **change})
        assert forge.rights(REPO).can_push is False


@pytest.mark.parametrize(
    ("pulls", "issues", "expected"),
    [
        (403, 422, (False, True)),
        (422, 403, (True, False)),
        (403, 403, (False, False)),
        (404, 404, (True, None)),
    ],
)
def test_a_token_may_do_less_than_its_account(
    server: responses.RequestsMock, forge: Forge, pulls: int, issues: int, expected: tuple[Any, Any]
) -> None:
    server.get(f"{API}/user", json={"login": "bot"})
    server.get(f"{API}/repos/{REPO}", json={"full_name": REPO, "permissions": {"push": True}})
    server.post(f"{API}/repos/{REPO}/pulls", status=pulls, json={"message": "required=[write:repository]"})
    server.post(f"{API}/repos/{REPO}/issues", status=issues, json={"message": "required=[write:issue]"})
    rights = forge.rights(REPO)
    assert (rights.can_push, rights.can_comment) == expected


def test_asking_for_rights_makes_nothing(gitea: DemoForge) -> None:
    gitea.add_repo(REPO, {"a": "b"})
    forge = connect(ForgeConfig(kind="gitea", url=gitea.url), Secret(gitea.token))
    rights = forge.rights(REPO)
    assert (rights.can_push, rights.can_comment) == (True, True)
    assert not gitea.issues(REPO)
    assert not gitea.pulls(REPO)


def test_the_scope_that_is_missing_is_named(server: responses.RequestsMock, forge: Forge) -> None:
    message = (
        "token does not have at least one of required scope(s), required=[read:user], token scope=read:issue"
    )
    server.get(f"{API}/user", status=403, json={"message": message})
    with pytest.raises(ForgeError, match=r"required=\[read:user\], token scope=read:issue"):
        forge.whoami()


def test_issues_that_are_off_on_the_embedded_forge(gitea: DemoForge) -> None:
    gitea.add_repo(REPO, {"a": "b"}, has_issues=False)
    forge = connect(ForgeConfig(kind="gitea", url=gitea.url), Secret(gitea.token))
    assert forge.repository(REPO).has_issues is False
    with pytest.raises(ForgeError) as caught:
        list(forge.oldest_issues(REPO))
    assert caught.value.status == 404


def test_issues_opened_while_walking_hide_no_older_one(gitea: DemoForge) -> None:
    gitea.add_repo(REPO, {"a": "b"})
    gitea.bulk_issues(REPO, 160)
    forge = connect(ForgeConfig(kind="gitea", url=gitea.url), Secret(gitea.token))
    seen: list[Issue] = []
    for found in forge.oldest_issues(REPO):
        seen.append(found)
        if found.number % 20 == 0 and found.number < 160:
            gitea.add_issue(REPO, "New")
            gitea.add_issue(REPO, "New")
    numbers = [found.number for found in seen]
    assert numbers == sorted(set(numbers))
    assert set(range(1, 161)) <= set(numbers)
