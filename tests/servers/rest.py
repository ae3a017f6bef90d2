"""What both REST dialects share: which items a list has, and one page of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from sprint.demo.gitea_api import ApiError, Call, T
from sprint.demo.store import StoredComment
from tests.servers.store import StoredIssue


@dataclass(frozen=True)
class Paging:
    """How a dialect pages: the query's name for a page's size, its default, its cap, the Link separator."""

    size_name: str
    size: int
    cap: int
    separator: str


def page(call: Call, paging: Paging, items: Sequence[T], shaped: Callable[[Call, T], Any]) -> list[Any]:
    """One page of a list, with its Link header; the cap counts whatever the query asks for."""
    size = min(_integer(call, paging.size_name, paging.size) or paging.size, paging.cap)
    numbered = call.store.numbered_pages
    number = max(_integer(call, "page", 1), 1)
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


def _integer(call: Call, name: str, default: int) -> int:
    """A number from the query; nonsense counts as the default, as it does on the real servers."""
    value = call.query.get(name, "")
    return int(value) if value.isdigit() else default


def _page_address(call: Call, number: int) -> str:
    kept = {name: value for name, value in call.query.items() if name not in ("page", "after")}
    numbered = call.store.numbered_pages
    which = {"page": str(number)} if numbered is None or number <= numbered else {"after": f"{number:x}"}
    return f"{call.url}{urlsplit(call.request.target).path}?{urlencode({**kept, **which})}"


def select_issues(call: Call, *, known_labels: Collection[str] | None = None) -> list[StoredIssue]:
    """Issues and pull requests by the filters that both dialects have: state and labels.

    Labels that are none of `known_labels` filter nothing.
    """
    state = call.query.get("state") or "open"
    labels = {label for label in call.query.get("labels", "").split(",") if label}
    labels = labels if known_labels is None else labels.intersection(known_labels)
    wanted = {label.casefold() for label in labels}
    return [
        issue
        for issue in call.repo.issues.values()
        if (state == "all" or issue.state == state) and wanted <= {label.casefold() for label in issue.labels}
    ]


def commented_since(call: Call) -> list[StoredComment]:
    """The comments on all issues and pull requests that were made or edited since the query's moment."""
    since = datetime.fromisoformat(call.query.get("since", "1970-01-01T00:00:00Z"))
    every = (comment for issue in call.repo.issues.values() for comment in issue.comments)
    return [comment for comment in every if comment.updated_at >= since]


def may(call: Call, right: str) -> bool:
    return call.store.may(call.repo, call.login, right)
