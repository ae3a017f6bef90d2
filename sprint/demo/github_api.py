"""GitHub's REST dialect (as an Enterprise server has it), as far as an issue burner meets it."""

from __future__ import annotations

import hashlib
import time
from typing import Any

from sprint.demo import git_data
from sprint.demo import github_json as shape
from sprint.demo import github_pulls as pulls
from sprint.demo.api import ApiError, Call, Dialect, dispatch, issue_or_404, route, select_issues
from sprint.demo.github_pulls import apply, invalid, listed, ordered
from sprint.demo.http_messages import Answer, json_answer
from sprint.demo.store import StoredIssue, now

_VERSIONS = ("2022-11-28", "2026-03-10")
_HOURLY_LIMIT = 5000


def answer(call: Call, path: str, settled: bool) -> Answer:
    """Answer a path below the API's own; `settled` False means that a wrong token came along."""
    try:
        if not settled:
            raise ApiError(401, "Bad credentials")
        version = call.request.headers.get("x-github-api-version", _VERSIONS[0])
        if version not in _VERSIONS:
            raise ApiError(400, f"{version} is not a supported version of the GitHub API.")
        inside = path.startswith(("/repos/", "/repositories/"))
        made = _in_repository(call, path) if inside else dispatch(_ROUTES, call, path)
    except ApiError as error:
        body = {
            "message": error.message,
            **error.more,
            "documentation_url": "https://docs.github.com/rest",
            "status": str(error.status),
        }
        made = json_answer(body, error.status, error.headers)
    return _with_standing_headers(call, made)


def _with_standing_headers(call: Call, made: Answer) -> Answer:
    """Scopes, limits and ETags, which every answer has; a 304 does not count against the limit."""
    if call.request.method == "GET" and made.status == 200 and isinstance(made.body, bytes):
        etag = f'W/"{hashlib.sha256(made.body).hexdigest()}"'
        made.headers["ETag"] = etag
        if call.request.headers.get("if-none-match") == etag:
            made = Answer(304, b"", {"ETag": etag})
    used = call.store.api_calls
    if made.status != 304:
        used[call.login or ""] = used.get(call.login or "", 0) + 1
    spent = used.get(call.login or "", 0)
    made.headers |= {
        "X-RateLimit-Limit": str(_HOURLY_LIMIT),
        "X-RateLimit-Remaining": str(max(_HOURLY_LIMIT - spent, 0)),
        "X-RateLimit-Used": str(spent),
        "X-RateLimit-Reset": str(int(time.time()) + 3600),
        "X-RateLimit-Resource": "core",
        "X-GitHub-Request-Id": "DEMO:1",
    }
    if call.login and call.store.scopes is not None:
        made.headers |= {"X-OAuth-Scopes": ", ".join(call.store.scopes), "X-Accepted-OAuth-Scopes": "repo"}
    return made


def _in_repository(call: Call, path: str) -> Answer:
    if path.startswith("/repositories/"):
        identity, _, rest = path.removeprefix("/repositories/").partition("/")
        found = next((r for r in call.store.repos.values() if str(r.id) == identity), None)
    else:
        owner, name, rest = [*path.removeprefix("/repos/").split("/", 2), "", ""][:3]
        full = f"{owner}/{name}"
        if full in call.store.renamed:
            return _moved(call, full, rest)
        found = call.store.repos.get(full)
    call.repo_or_none = found
    if found is None or not call.may("read"):
        raise ApiError(404, "Not Found")
    if call.request.method != "GET":
        _check_writable(call)
    return dispatch(_REPO_ROUTES, call, f"/{rest}" if rest else "")


def _moved(call: Call, old: str, rest: str) -> Answer:
    repo = call.store.repos[call.store.renamed[old]]
    query = f"?{call.request.query_string}" if call.request.query_string else ""
    target = f"{call.url}/api/v3/repositories/{repo.id}{'/' if rest else ''}{rest}{query}"
    status = 301 if call.request.method == "GET" else 307
    return json_answer({"message": "Moved Permanently", "url": target}, status, {"Location": target})


def _check_writable(call: Call) -> None:
    if call.login is None:
        raise ApiError(401, "Requires authentication")
    if call.repo.archived:
        raise ApiError(403, "Repository was archived so is read-only.")


# --- users ---


def _user(call: Call) -> Any:
    if call.login is None:
        raise ApiError(401, "Requires authentication")
    return shape.user(call, call.login)


def _user_by_name(call: Call) -> Any:
    if call.args["user"] not in call.store.users:
        raise ApiError(404, "Not Found")
    return shape.user(call, call.args["user"])


def _permission(call: Call) -> Any:
    user = call.args["user"]
    if not call.may("write"):
        raise ApiError(403, "Must have push access to view collaborator permission.")
    if user not in call.store.users:
        raise ApiError(404, f"{user} is not a user")
    right = call.store.right(call.repo, user)
    return {"permission": right, "role_name": right, "user": shape.user(call, user)}


# --- issues ---


def _list_issues(call: Call) -> Any:
    issues = select_issues(call)
    if not call.repo.has_issues:
        issues = [issue for issue in issues if issue.pull]
    return listed(call, ordered(call, issues), shape.issue)


def _issue(call: Call) -> StoredIssue:
    issue = issue_or_404(call, "Not Found")
    if issue.pull is None and not call.repo.has_issues:
        raise ApiError(410, "Issues are disabled for this repo")
    return issue


def _get_issue(call: Call) -> Any:
    return shape.issue(call, _issue(call))


def _create_issue(call: Call) -> Any:
    given = call.json()
    if not call.repo.has_issues:
        raise ApiError(410, "Issues are disabled for this repo")
    if not given.get("title"):
        raise invalid({"resource": "Issue", "code": "missing_field", "field": "title"})
    made = call.store.add_issue(call.repo, given["title"], given.get("body") or "", call.login or "")
    return 201, shape.issue(call, made)


def _edit_issue(call: Call) -> Any:
    issue = _issue(call)
    if not call.may("write") and issue.author != call.login:
        raise ApiError(403, "Must have admin rights to Repository.")
    apply(call, issue, call.json())
    return shape.issue(call, issue)


def _list_comments(call: Call) -> Any:
    return listed(call, _issue(call).comments, shape.comment)


def _create_comment(call: Call) -> Any:
    issue = _issue(call)
    if issue.locked and not call.may("write"):
        raise ApiError(403, "Unable to create comment because issue is locked.")
    body = call.json().get("body")
    if not body:
        raise invalid({"resource": "IssueComment", "code": "missing_field", "field": "body"})
    return 201, shape.comment(call, call.store.add_comment(issue, call.login or "", body))


def _edit_comment(call: Call) -> Any:
    comment = call.store.comment(call.repo, call.number("id"))
    if comment is None:
        raise ApiError(404, "Not Found")
    if comment.author != call.login and not call.may("write"):
        raise ApiError(403, "Must have admin rights to Repository.")
    comment.body = call.json()["body"]
    comment.updated_at = now()
    return shape.comment(call, comment)


def _issue_labels(call: Call) -> Any:
    return [shape.label(call, call.repo, name) for name in _issue(call).labels]


def _add_labels(call: Call) -> Any:
    issue = _issue(call)
    if not call.may("write"):
        raise ApiError(403, "Must have admin rights to Repository.")
    call.store.set_labels(call.repo, issue, (*issue.labels, *call.json().get("labels", [])))
    return _issue_labels(call)


def _events(call: Call) -> Any:
    pull = _issue(call).pull
    merged = [{"event": "merged", "commit_id": pull.merge_commit}] if pull and pull.merged_at else []
    return listed(call, merged, lambda _call, event: event)


def _blocked_by(call: Call) -> Any:
    if not call.repo.has_dependencies:
        raise ApiError(404, "Not Found")
    blockers = [call.repo.issues[number] for number in _issue(call).blocked_by]
    return listed(call, blockers, shape.issue)


def _list_labels(call: Call) -> Any:
    return listed(call, sorted(call.repo.labels), lambda c, name: shape.label(c, c.repo, name))


_ROUTES = [
    route(
        "GET",
        "/meta",
        lambda _call: {"verifiable_password_authentication": False, "installed_version": "3.19.1"},
    ),
    route("GET", "/user", _user),
    route("GET", "/users/{user}", _user_by_name),
]

_REPO_ROUTES = [
    route("GET", "", lambda call: shape.repository(call, call.repo)),
    route("GET", "/collaborators/{user}/permission", _permission),
    route("GET", "/issues", _list_issues),
    route("POST", "/issues", _create_issue),
    route("PATCH", "/issues/comments/{id}", _edit_comment),
    route("GET", "/issues/{n}", _get_issue),
    route("PATCH", "/issues/{n}", _edit_issue),
    route("GET", "/issues/{n}/comments", _list_comments),
    route("POST", "/issues/{n}/comments", _create_comment),
    route("GET", "/issues/{n}/labels", _issue_labels),
    route("POST", "/issues/{n}/labels", _add_labels),
    route("GET", "/issues/{n}/events", _events),
    route("GET", "/issues/{n}/dependencies/blocked_by", _blocked_by),
    route("GET", "/labels", _list_labels),
    route("GET", "/pulls", pulls.list_all),
    route("POST", "/pulls", pulls.create),
    route("GET", "/pulls/{n}", pulls.get),
    route("PATCH", "/pulls/{n}", pulls.edit),
    route("PUT", "/pulls/{n}/merge", pulls.merge),
    route("GET", "/pulls/{n}/reviews", pulls.reviews),
    route("GET", "/pulls/{n}/comments", pulls.review_comments),
    *git_data.routes(listed, commit_id="sha", no_status="pending"),
]

DIALECT = Dialect("/api/v3", "GitHub", answer)
