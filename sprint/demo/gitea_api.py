"""Gitea's REST dialect, as far as an issue burner meets it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sprint.demo import bare
from sprint.demo import gitea_json as shape
from sprint.demo.api import (
    ApiError,
    Call,
    Dialect,
    dispatch,
    issue_or_404,
    page_links,
    route,
    select_issues,
)
from sprint.demo.loopback import Answer, json_answer
from sprint.demo.store import Rejected, StoredIssue, now

VERSION = "1.26.3"
PAGE_CAP = 50
_PAGE = 30
_GONE = "The target couldn't be found."
_T = TypeVar("_T")


def answer(call: Call, path: str, settled: bool) -> Answer:
    """Answer a path below the API's own; `settled` False means that a wrong token came along."""
    try:
        if not settled:
            raise ApiError(401, "invalid username, password or token")
        if path.startswith("/repos/"):
            return _in_repository(call, path)
        return dispatch(_ROUTES, call, path)
    except ApiError as error:
        body = {"message": error.message, "url": f"{call.url}/api/swagger", **error.more}
        return json_answer(body, error.status, error.headers)


def _in_repository(call: Call, path: str) -> Answer:
    owner, name, rest = [*path.removeprefix("/repos/").split("/", 2), "", ""][:3]
    full = f"{owner}/{name}"
    if full in call.store.renamed:
        target = call.request.target.replace(f"/{full}", f"/{call.store.renamed[full]}", 1)
        return Answer(307, b"", {"Location": target})
    call.repo_or_none = call.store.repos.get(full)
    if call.repo_or_none is None or not call.may("read"):
        raise ApiError(404, _GONE, errors=[])
    if call.request.method != "GET":
        _check_writable(call, rest)
    return dispatch(_REPO_ROUTES, call, f"/{rest}" if rest else "")


def _check_writable(call: Call, rest: str) -> None:
    if call.login is None:
        raise ApiError(401, "token is required")
    if call.repo.archived:
        raise ApiError(423, f"{call.repo.name} is archived")
    number = rest.split("/")[1] if rest.startswith("issues/") else ""
    issue = call.repo.issues.get(int(number)) if number.isdigit() else None
    if issue is not None and issue.locked and not call.may("write"):
        raise ApiError(403, "")


def _page(call: Call, items: list[_T], shaped: Callable[[Call, _T], Any]) -> list[Any]:
    """One page of a list: the server's cap counts whatever `limit` asks for."""
    size = min(call.integer("limit", _PAGE) or _PAGE, PAGE_CAP)
    page = max(call.integer("page", 1), 1)
    last = max(-(-len(items) // size), 1)
    call.headers["X-Total-Count"] = str(len(items))
    call.headers["Access-Control-Expose-Headers"] = "Link, X-Total-Count"
    page_links(call, page, last)
    return [shaped(call, item) for item in items[(page - 1) * size : page * size]]


# --- the server and its users ---


def _user(call: Call) -> Any:
    if call.login is None:
        raise ApiError(401, "token is required")
    return shape.user(call, call.login)


def _user_by_name(call: Call) -> Any:
    if call.args["user"] not in call.store.users:
        raise ApiError(404, f"user does not exist [uid: 0, name: {call.args['user']}]")
    return shape.user(call, call.args["user"])


def _permission(call: Call) -> Any:
    user = call.args["user"]
    if user != call.login and not call.may("admin"):
        raise ApiError(
            403,
            "Only admins can query all permissions, repo admins can query all repo permissions, "
            "collaborators can query only their own",
        )
    right = call.store.right(call.repo, user)
    owner = user == call.repo.owner
    return {"permission": "owner" if owner else right, "role_name": "", "user": shape.user(call, user)}


def _is_collaborator(call: Call) -> Any:
    if call.login is None:
        raise ApiError(401, "token is required")
    if call.args["user"] not in call.repo.rights:
        raise ApiError(404, _GONE)
    return 204, None


def _writers(call: Call) -> Any:
    if call.login is None:
        raise ApiError(401, "token is required")
    writers = [login for login in call.store.users if call.store.may(call.repo, login, "write")]
    return [shape.user(call, login) for login in writers]


# --- issues ---


def _newest_first(issues: list[StoredIssue]) -> list[StoredIssue]:
    return sorted(issues, key=lambda issue: (issue.created_at, issue.id), reverse=True)


def _list_issues(call: Call) -> Any:
    wanted = call.query.get("type", "")
    if wanted == "issues" and not call.repo.has_issues:
        raise ApiError(404, _GONE)
    keep = {"issues": (False,), "pulls": (True,)}.get(wanted, (False, True))
    issues = [issue for issue in select_issues(call) if (issue.pull is not None) in keep]
    return _page(call, _newest_first(issues), shape.issue)  # any `sort` is ignored


def _issue(call: Call) -> StoredIssue:
    issue = issue_or_404(call, _GONE)
    if issue.pull is None and not call.repo.has_issues:
        raise ApiError(404, _GONE)
    return issue


def _get_issue(call: Call) -> Any:
    return shape.issue(call, _issue(call))


def _create_issue(call: Call) -> Any:
    given = call.json()
    if not given.get("title"):
        raise ApiError(422, "[]: required")
    made = call.store.add_issue(call.repo, given["title"], given.get("body") or "", call.login or "")
    return 201, shape.issue(call, made)


def _edit_issue(call: Call) -> Any:
    issue = _issue(call)
    if not call.may("write") and issue.author != call.login:
        raise ApiError(403, "")
    _apply(call, issue, call.json())
    return 201, shape.issue(call, issue)


def _apply(call: Call, issue: StoredIssue, given: dict[str, Any]) -> None:
    issue.title = given.get("title") or issue.title
    issue.body = given["body"] if given.get("body") is not None else issue.body
    if given.get("state") in ("open", "closed") and given["state"] != issue.state:
        call.store.set_state(issue, given["state"])
    issue.updated_at = now()


def _list_comments(call: Call) -> Any:
    return [shape.comment(call, comment) for comment in _issue(call).comments]  # never paged


def _create_comment(call: Call) -> Any:
    body = call.json().get("body")
    if not body:
        raise ApiError(422, "[Body]: Required")
    return 201, shape.comment(call, call.store.add_comment(_issue(call), call.login or "", body))


def _edit_comment(call: Call) -> Any:
    comment = call.store.comment(call.repo, call.number("id"))
    if comment is None:
        raise ApiError(404, _GONE)
    if comment.author != call.login and not call.may("admin"):
        raise ApiError(403, "")
    comment.body = call.json()["body"]
    comment.updated_at = now()
    return shape.comment(call, comment)


def _timeline(call: Call) -> Any:
    events = [{**shape.comment(call, comment), "type": "comment"} for comment in _issue(call).comments]
    return events or None


def _list_labels(call: Call) -> Any:
    return _page(call, sorted(call.repo.labels), lambda c, name: shape.label(c, c.repo, name))


def _issue_labels(call: Call) -> Any:
    return [shape.label(call, call.repo, name) for name in _issue(call).labels]


def _add_labels(call: Call) -> Any:
    issue = _issue(call)
    if not call.may("write"):
        raise ApiError(403, "write permission is required")
    by_id = {identity: name for name, identity in call.repo.labels.items()}
    given = call.json().get("labels") or []
    names = tuple(by_id.get(label, "") if isinstance(label, int) else label for label in given)
    known = tuple(name for name in names if name in call.repo.labels)
    call.store.set_labels(call.repo, issue, (*issue.labels, *known))
    return _issue_labels(call)


def _dependencies(call: Call) -> Any:
    if not call.repo.has_dependencies:
        raise ApiError(404, _GONE)
    blockers = [call.repo.issues[number] for number in _issue(call).blocked_by]
    return _page(call, blockers, shape.issue)


# --- pull requests ---


def _pull(call: Call) -> StoredIssue:
    if not call.repo.has_pulls:
        raise ApiError(404, _GONE)
    call.store.follow_heads(call.repo)
    return issue_or_404(call, _GONE, pull=True)


def _list_pulls(call: Call) -> Any:
    if not call.repo.has_pulls:
        raise ApiError(404, _GONE)
    call.store.follow_heads(call.repo)
    pulls = [issue for issue in select_issues(call) if issue.pull]  # `head` is ignored
    ordered = _newest_first(pulls)
    return _page(call, ordered[::-1] if call.query.get("sort") == "oldest" else ordered, shape.pull)


def _pull_by_branches(call: Call) -> Any:
    call.store.follow_heads(call.repo)
    head_repo, _, head = call.args["head"].rpartition(":")
    for issue in _newest_first(call.store.open_pulls(call.repo)):
        assert issue.pull is not None
        in_repo = not head_repo or issue.pull.head_repo.startswith(f"{head_repo}/")
        if issue.pull.base == call.args["base"] and issue.pull.head == head and in_repo:
            return shape.pull(call, issue)
    raise ApiError(404, _GONE)


def _create_pull(call: Call) -> Any:
    given = call.json()
    head, base = str(given.get("head") or ""), str(given.get("base") or "")
    if not call.repo.has_pulls:
        raise ApiError(404, _GONE)
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
    return ApiError(404, _GONE, errors=[])


def _edit_pull(call: Call) -> Any:
    issue = _pull(call)
    _apply(call, issue, call.json())
    return 201, shape.pull(call, issue)


def _merge_pull(call: Call) -> Any:
    issue = _pull(call)
    if not call.may("write"):
        raise ApiError(405, "User not allowed to merge PR")
    if issue.state != "open":
        raise ApiError(405, "")
    try:
        call.store.merge(call.repo, issue, call.login or "")
    except Rejected:
        raise ApiError(405, "Please try again later") from None
    return Answer(200, b"", call.headers)


def _list_reviews(call: Call) -> Any:
    data = _pull(call).pull
    assert data is not None
    return _page(call, data.reviews, shape.review)


# --- git data ---


def _branch(call: Call) -> Any:
    sha = bare.refs(call.repo.path).get(f"refs/heads/{call.args['branch']}")
    if sha is None:
        raise ApiError(404, _GONE)
    return {
        "name": call.args["branch"],
        "commit": {"id": sha},
        "protected": False,
        "user_can_push": call.may("write"),
    }


def _status(call: Call) -> Any:
    statuses = call.repo.statuses.get(call.args["sha"]) or []
    state = statuses[-1]["status"] if statuses else ""
    return {
        "state": state,
        "sha": call.args["sha"],
        "total_count": len(statuses),
        "statuses": statuses or None,
    }


_ROUTES = [
    route("GET", "/version", lambda call: {"version": VERSION}),
    route("GET", "/user", _user),
    route("GET", "/users/{user}", _user_by_name),
]

_REPO_ROUTES = [
    route("GET", "", lambda call: shape.repository(call, call.repo)),
    route("GET", "/collaborators/{user}/permission", _permission),
    route("GET", "/collaborators/{user}", _is_collaborator),
    route("GET", "/assignees", _writers),
    route("GET", "/issues", _list_issues),
    route("POST", "/issues", _create_issue),
    route("PATCH", "/issues/comments/{id}", _edit_comment),
    route("GET", "/issues/{n}", _get_issue),
    route("PATCH", "/issues/{n}", _edit_issue),
    route("GET", "/issues/{n}/comments", _list_comments),
    route("POST", "/issues/{n}/comments", _create_comment),
    route("GET", "/issues/{n}/timeline", _timeline),
    route("GET", "/issues/{n}/labels", _issue_labels),
    route("POST", "/issues/{n}/labels", _add_labels),
    route("GET", "/issues/{n}/dependencies", _dependencies),
    route("GET", "/labels", _list_labels),
    route("GET", "/pulls", _list_pulls),
    route("POST", "/pulls", _create_pull),
    route("GET", "/pulls/{n}", lambda call: shape.pull(call, _pull(call))),
    route("PATCH", "/pulls/{n}", _edit_pull),
    route("POST", "/pulls/{n}/merge", _merge_pull),
    route("GET", "/pulls/{n}/reviews", _list_reviews),
    route("GET", "/pulls/{base}/{head:path}", _pull_by_branches),
    route("GET", "/branches/{branch:path}", _branch),
    route("GET", "/commits/{sha}/status", _status),
]

DIALECT = Dialect("/api/v1", "Gitea", answer)
