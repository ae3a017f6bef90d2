"""What both REST dialects share: who asks, which repository, routes, pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from sprint.demo.http_messages import Answer, Request, basic_credentials, json_answer
from sprint.demo.store import Store, StoredIssue, StoredRepo

T = TypeVar("T")


class ApiError(Exception):
    """An answer that is no success: `more` goes into the JSON body beside the message."""

    def __init__(
        self, status: int, message: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})
        self.more = more


class NoRoute(ApiError):
    """There is nothing at that path, whoever asks."""


@dataclass
class Call:
    """One API request under way: `login` is None for the anonymous; `args` are the route's groups."""

    store: Store
    request: Request
    url: str  # of the server, without a path
    login: str | None
    args: Mapping[str, str] = field(default_factory=dict)
    repo_or_none: StoredRepo | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def repo(self) -> StoredRepo:
        assert self.repo_or_none is not None
        return self.repo_or_none

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.query

    def number(self, name: str = "n") -> int:
        return int(self.args[name])

    def integer(self, name: str, default: int) -> int:
        """A number from the query; nonsense counts as the default, as it does on the real servers."""
        value = self.query.get(name, "")
        return int(value) if value.isdigit() else default

    def may(self, right: str) -> bool:
        return self.store.may(self.repo, self.login, right)

    def json(self) -> dict[str, Any]:
        value = self.request.json()
        if not isinstance(value, dict):
            raise ApiError(422, "a JSON object is expected")
        return value


Handler = Callable[[Call], Any]
"""Returns the JSON to answer, or a pair of a status and the JSON, or an Answer."""


@dataclass(frozen=True)
class Dialect:
    """How one kind of forge speaks: where its API is, its git realm, and what it answers below `prefix`.

    The last argument of `answer` is False where a wrong token came along.
    """

    prefix: str
    realm: str
    answer: Callable[[Call, str, bool], Answer]


@dataclass(frozen=True)
class Route:
    method: str
    pattern: re.Pattern[str]
    handler: Handler


def route(method: str, path: str, handler: Handler) -> Route:
    """A route: `{name}` stands for one path segment, `{name:path}` for the rest."""
    escaped = re.sub(r"\{(\w+):path\}", r"(?P<\1>.+)", path)
    escaped = re.sub(r"\{(n|id)\}", r"(?P<\1>[0-9]+)", escaped)
    escaped = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", escaped)
    return Route(method, re.compile(escaped), handler)


def dispatch(routes: Sequence[Route], call: Call, path: str) -> Answer:
    """Answer by the first route that fits. Raises NoRoute and ApiError 405."""
    fitting = [(r, found) for r in routes if (found := r.pattern.fullmatch(path))]
    if not fitting:
        raise NoRoute(404, "Not Found")
    for candidate, found in fitting:
        if candidate.method == call.request.method:
            call.args = {**call.args, **found.groupdict()}
            made = candidate.handler(call)
            if isinstance(made, Answer):
                return made
            status, value = made if isinstance(made, tuple) else (200, made)
            if status == 204:
                return Answer(204, b"", call.headers)
            return json_answer(value, status, call.headers)
    raise ApiError(405, "Method Not Allowed")


def credentials(request: Request, tokens: Mapping[str, str]) -> tuple[str | None, bool]:
    """Who asks, and whether that could be settled: a wrong token is (None, False), none is (None, True)."""
    authorization = request.headers.get("authorization", "")
    if not authorization:
        return None, True
    offered = {authorization.partition(" ")[2].strip(), *basic_credentials(authorization).split(":")}
    login = next((tokens[token] for token in offered if token in tokens), None)
    return login, login is not None


@dataclass(frozen=True)
class Paging:
    """How a dialect pages: the query's name for a page's size, its default, its cap, the Link separator."""

    size_name: str
    size: int
    cap: int
    separator: str


def page(call: Call, paging: Paging, items: Sequence[T], shaped: Callable[[Call, T], Any]) -> list[Any]:
    """One page of a list, with its Link header; the cap counts whatever the query asks for."""
    size = min(call.integer(paging.size_name, paging.size) or paging.size, paging.cap)
    numbered = call.store.numbered_pages
    number = max(call.integer("page", 1), 1)
    if numbered is not None and number > numbered:
        raise ApiError(422, "In order to keep the API fast for everyone, pagination is limited.")
    number = int(call.query["after"], 16) if call.query.get("after") else number
    last = max(-(-len(items) // size), 1)
    wanted = {"next": number + 1 if number < last else 0, "last": last if number < last else 0}
    wanted |= {"first": 1 if number > 1 else 0, "prev": number - 1}
    if numbered is not None:
        wanted["last"] = 0
    links = [f'<{_page_address(call, to)}>; rel="{name}"' for name, to in wanted.items() if to]
    if links:
        call.headers["Link"] = paging.separator.join(links)
    return [shaped(call, item) for item in items[(number - 1) * size : number * size]]


def _page_address(call: Call, number: int) -> str:
    kept = {name: value for name, value in call.query.items() if name not in ("page", "after")}
    numbered = call.store.numbered_pages
    which = {"page": str(number)} if numbered is None or number <= numbered else {"after": f"{number:x}"}
    return f"{call.url}{urlsplit(call.request.target).path}?{urlencode({**kept, **which})}"


def issue_or_404(call: Call, message: str, *, pull: bool | None = None) -> StoredIssue:
    """The issue (`pull` False), pull request (True) or either (None) that the path names."""
    issue = call.repo.issues.get(call.number())
    if issue is None or (pull is not None and pull != (issue.pull is not None)):
        raise ApiError(404, message)
    return issue


def select_issues(call: Call, *, default_state: str = "open") -> list[StoredIssue]:
    """Issues and pull requests by the filters that both dialects have: state and labels."""
    state = call.query.get("state") or default_state
    labels = {label for label in call.query.get("labels", "").split(",") if label}
    return [
        issue
        for issue in call.repo.issues.values()
        if (state == "all" or issue.state == state) and labels <= set(issue.labels)
    ]
