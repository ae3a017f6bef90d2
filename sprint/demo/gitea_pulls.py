"""Pull requests in Gitea's REST dialect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sprint.demo import gitea_json as shape
from sprint.demo.api import ApiError, Call, Paging, T, issue_or_404, page, select_issues
from sprint.demo.http_messages import Answer
from sprint.demo.store import Rejected, StoredIssue, now

_PAGING = Paging("limit", 30, 50, ",")


def listed(call: Call, items: Sequence[T], shaped: Callable[[Call, T], Any]) -> list[Any]:
    """A page as every paged list of Gitea answers it."""
    call.headers["X-Total-Count"] = str(len(items))
    call.headers["Access-Control-Expose-Headers"] = "Link, X-Total-Count"
    return page(call, _PAGING, items, shaped)


def newest_first(issues: list[StoredIssue]) -> list[StoredIssue]:
    return sorted(issues, key=lambda issue: (issue.created_at, issue.id), reverse=True)


def apply(call: Call, issue: StoredIssue, given: dict[str, Any]) -> None:
    if given.get("state") not in ("open", "closed", None, ""):
        raise ApiError(412, f"unknown state: {given['state']}")
    issue.title = given.get("title") or issue.title
    issue.body = given["body"] if given.get("body") is not None else issue.body
    if given.get("state") in ("open", "closed") and given["state"] != issue.state:
        call.store.set_state(issue, given["state"])
    issue.updated_at = now()


def find(call: Call) -> StoredIssue:
    if not call.repo.has_pulls:
        raise ApiError(404, shape.GONE)
    call.store.follow_heads(call.repo)
    return issue_or_404(call, shape.GONE, pull=True)


def get(call: Call) -> Any:
    return shape.pull(call, find(call))


def list_all(call: Call) -> Any:
    if not call.repo.has_pulls:
        raise ApiError(404, shape.GONE)
    call.store.follow_heads(call.repo)
    pulls = [issue for issue in select_issues(call) if issue.pull]  # `head` is ignored
    return listed(call, _sorted(call.query.get("sort", ""), pulls), shape.pull)


def _sorted(by: str, pulls: list[StoredIssue]) -> list[StoredIssue]:
    """Pull requests do take `sort`, which issues do not."""
    if by in ("recentupdate", "leastupdate"):
        return sorted(pulls, key=lambda issue: (issue.updated_at, issue.id), reverse=by == "recentupdate")
    return newest_first(pulls)[:: -1 if by == "oldest" else 1]


def by_branches(call: Call) -> Any:
    call.store.follow_heads(call.repo)
    head_repo, _, head = call.args["head"].rpartition(":")
    for issue in newest_first(call.store.open_pulls(call.repo)):
        assert issue.pull is not None
        in_repo = not head_repo or issue.pull.head_repo.startswith(f"{head_repo}/")
        if issue.pull.base == call.args["base"] and issue.pull.head == head and in_repo:
            return shape.pull(call, issue)
    raise ApiError(404, shape.GONE)


def create(call: Call) -> Any:
    given = call.json()
    head, base = str(given.get("head") or ""), str(given.get("base") or "")
    if missing := [name for name in ("head", "base", "title") if not given.get(name)]:
        raise ApiError(422, f"[{missing[0].title()}]: Required")
    if not call.repo.has_pulls:
        raise ApiError(404, shape.GONE)
    try:
        made = call.store.create_pull(
            call.repo, call.login or "", given.get("title") or "", given.get("body") or "", head, base
        )
    except Rejected as rejected:
        raise _pull_refused(call, str(rejected), head, base) from None
    return 201, shape.pull(call, made)


def _pull_refused(call: Call, reason: str, head: str, base: str) -> ApiError:
    if reason == "exists":
        where = f"head_repo_id: {call.repo.id}, base_repo_id: {call.repo.id}, head_branch: {head}"
        return ApiError(409, f"pull request already exists for these targets [{where}, base_branch: {base}]")
    if reason == "same":
        return ApiError(422, "Invalid PullRequest: There are no changes between the head and the base")
    return ApiError(404, shape.GONE)


def edit(call: Call) -> Any:
    issue = find(call)
    if not call.may("write") and issue.author != call.login:
        raise ApiError(403, "")
    apply(call, issue, call.json())
    return 201, shape.pull(call, issue)


def merge(call: Call) -> Any:
    issue = find(call)
    if not call.may("write"):
        raise ApiError(405, "User not allowed to merge PR")
    if issue.state != "open":
        raise ApiError(405, "The PR is already merged" if issue.pull and issue.pull.merged_at else "")
    try:
        call.store.merge(call.repo, issue, call.login or "")
    except Rejected:
        raise ApiError(405, "Please try again later") from None
    return Answer(200, b"", call.headers)


def reviews(call: Call) -> Any:
    data = find(call).pull
    assert data is not None
    call.headers["X-Total-Count"] = str(len(data.reviews))
    return [shape.review(call, review) for review in data.reviews]  # whole, unless a page is asked for
