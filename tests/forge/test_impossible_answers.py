"""What no sound forge says is refused where it comes in: it would name refs, branches and links."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import responses

from sprint.config import ForgeConfig
from sprint.domain import Repository, Secret
from sprint.errors import ForgeError
from sprint.forge import Forge, connect
from tests.forge.gitea_answers import issue, pull

SITE = "https://git.example.org"
REPO = "octo/widgets"
BASES = {"gitea": f"{SITE}/api/v1/repos/{REPO}", "github": f"{SITE}/api/v3/repos/{REPO}"}


@pytest.fixture
def server() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture(params=["gitea", "github"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def forge(kind: Any) -> Forge:
    return connect(ForgeConfig(kind=kind, url=SITE), Secret("t0ken"))


@pytest.mark.parametrize("number", [-1, 0, 10**18, 7.5, "7", None])
def test_a_number_that_no_issue_has(
    server: responses.RequestsMock, kind: str, forge: Forge, number: Any
) -> None:
    server.get(f"{BASES[kind]}/issues", json=[issue(number)], headers={"X-Total-Count": "1"})
    with pytest.raises(ForgeError, match="not what this API promises"):
        list(forge.oldest_issues(REPO))


def test_another_issue_than_was_asked_for(server: responses.RequestsMock, kind: str, forge: Forge) -> None:
    server.get(f"{BASES[kind]}/issues/7", json=issue(8))
    with pytest.raises(ForgeError, match="asked for #7, the forge answers with #8"):
        forge.issue(REPO, 7)
    server.get(f"{BASES[kind]}/pulls/7", json=pull(8))
    with pytest.raises(ForgeError, match="asked for #7, the forge answers with #8"):
        forge.pull(REPO, 7)


@pytest.mark.parametrize("name", ["evil/widgets", "octo/other", "../../x", "octo/widgets/..", "", "octo"])
def test_another_repositorys_name(server: responses.RequestsMock, kind: str, forge: Forge, name: str) -> None:
    server.get(BASES[kind], json={"full_name": name, "size": 1, "default_branch": "main"})
    with pytest.raises(ForgeError, match=r"another repository|impossible name"):
        forge.repository(REPO)


def test_the_same_name_in_other_letters_is_its_name(
    server: responses.RequestsMock, kind: str, forge: Forge
) -> None:
    server.get(BASES[kind], json={"full_name": "Octo/Widgets", "size": 1, "default_branch": "main"})
    assert forge.repository(REPO).name == "Octo/Widgets"


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example/x",
        "ftp://git.example.org/x",
        'https://git.example.org/"><script>',
        "https://git.example.org/a b",
        "https://git.example.org/\x1b[2J",
        " https://git.example.org/x",
    ],
)
def test_an_address_that_is_no_link(
    server: responses.RequestsMock, kind: str, forge: Forge, url: str
) -> None:
    server.get(f"{BASES[kind]}/issues/7", json=issue(7, html_url=url))
    with pytest.raises(ForgeError, match="not what this API promises"):
        forge.issue(REPO, 7)
    server.get(f"{BASES[kind]}/pulls/7", json=pull(7, html_url=url))
    with pytest.raises(ForgeError, match="not what this API promises"):
        forge.pull(REPO, 7)


def test_a_comment_without_a_possible_id(server: responses.RequestsMock, kind: str, forge: Forge) -> None:
    server.get(f"{BASES[kind]}/issues/7/comments", json=[issue(1, id=-1, body="x")])
    with pytest.raises(ForgeError, match="not what this API promises"):
        forge.comments(REPO, 7)


@pytest.mark.parametrize(
    "answer",
    [
        {"full_name": "evil/widgets", "fork": True, "parent": {"full_name": REPO}},
        {"full_name": "bot/../evil", "fork": True, "parent": {"full_name": REPO}},
        {"full_name": "bot/widgets", "fork": True, "parent": {"full_name": "evil/widgets"}},
        {"full_name": "bot/widgets", "fork": False},
        {"full_name": REPO, "fork": False},
    ],
)
def test_a_fork_that_is_not_ours(
    server: responses.RequestsMock, kind: str, forge: Forge, answer: dict[str, Any]
) -> None:
    """Work would be pushed there."""
    site = BASES[kind].removesuffix(f"/repos/{REPO}")
    server.get(f"{site}/user", json={"login": "bot"})
    for name in ("bot/widgets", "bot/octo-widgets"):
        server.get(f"{site}/repos/{name}", status=404)
    server.post(f"{BASES[kind]}/forks", json=answer, status=202)
    with pytest.raises(ForgeError, match="asked for bot's fork of it, the forge answers with"):
        forge.fork(Repository(REPO, "main", f"{SITE}/{REPO}.git", f"{SITE}/{REPO}"))
