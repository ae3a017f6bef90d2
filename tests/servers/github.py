"""GitHub's REST dialect (as an Enterprise server has it), as far as an issue burner meets it."""

from __future__ import annotations

import hashlib
import re
import time
from typing import Any

from sprint.demo.gitea_api import ISSUE, PULL, REPO, ApiError, Call, GiteaApi
from sprint.demo.loopback import Answer, json_answer
from sprint.demo.store import now
from tests.servers import forks, git_data, talk
from tests.servers import github_json as shape
from tests.servers import github_pulls as pulls
from tests.servers.github_pulls import Invalid, apply, listed, ordered
from tests.servers.rest import commented_since, may, select_issues
from tests.servers.store import StoredIssue

_VERSIONS = ("2022-11-28", "2026-03-10")
_HOURLY_LIMIT = 5000
_META = {"verifiable_password_authentication": False, "installed_version": "3.19.1"}
_PLACE = re.compile(f"{REPO}(?P<rest>/.*)?")
_BY_ID = re.compile("/repositories/(?P<id>[0-9]+)(?P<rest>/.*)?")


class GitHub(GiteaApi):
    """GitHub's manner of REST, which Gitea's routes were made after; what it says is its own."""

    prefix = "/api/v3"
    realm = "GitHub"

    def __init__(self) -> None:
        self.routes = {
            "GET /meta": lambda _call: _META,
            "GET /user": _user,
            "GET /user/repos": lambda call: [
                shape.repository(call, one) for one in call.store.repos.values()
            ],
            "GET /users/(?P<user>[^/]+)": _user_by_name,
            f"GET {REPO}": lambda call: shape.repository(call, call.repo),
            f"GET {REPO}/collaborators/(?P<user>[^/]+)/permission": _permission,
            f"GET {REPO}/issues": _list_issues,
            f"GET {REPO}/rules/branches/(?P<branch>.+)": _branch_rules,
            f"POST {REPO}/issues": _create_issue,
            f"GET {REPO}/issues/comments": _recent_comments,
            f"PATCH {REPO}/issues/comments/(?P<id>[0-9]+)": _edit_comment,
            f"GET {ISSUE}": lambda call: shape.issue(call, _issue(call)),
            f"PATCH {ISSUE}": _edit_issue,
            f"GET {ISSUE}/comments": _list_comments,
            f"POST {ISSUE}/comments": _create_comment,
            f"GET {ISSUE}/labels": _issue_labels,
            f"POST {ISSUE}/labels": _add_labels,
            f"DELETE {ISSUE}/labels/(?P<name>[^/]+)": _remove_label,
            f"GET {ISSUE}/events": _events,
            f"GET {ISSUE}/dependencies/blocked_by": _blocked_by,
            f"GET {REPO}/labels": _list_labels,
            f"POST {REPO}/forks": _create_fork,
            f"GET {REPO}/pulls": pulls.list_all,
            f"POST {REPO}/pulls": pulls.create,
            f"GET {PULL}": pulls.get,
            f"PATCH {PULL}": pulls.edit,
            f"PUT {PULL}/merge": pulls.merge,
            f"GET {PULL}/reviews": pulls.reviews,
            f"GET {PULL}/comments": pulls.review_comments,
            f"POST {PULL}/comments/(?P<id>[0-9]+)/replies": pulls.reply,
            f"POST {PULL}/requested_reviewers": pulls.ask_for_review,
            f"POST {REPO}/labels": _create_label,
            f"GET {REPO}/activity": pulls.activity,
            f"GET {REPO}/commits/(?P<sha>[^/]+)/check-runs": _check_runs,
            **talk.logs(),
            **git_data.routes(listed, commit_id="sha", no_status="pending"),
        }

    def answer(self, call: Call, path: str) -> Answer:
        return _with_standing_headers(call, super().answer(call, path))

    def authenticate(self, call: Call) -> None:
        if call.login is None and call.request.headers.get("authorization"):
            raise ApiError(401, "Bad credentials")
        version = call.request.headers.get("x-github-api-version", _VERSIONS[0])
        if version not in _VERSIONS:
            raise ApiError(400, f"{version} is not a supported version of the GitHub API.")

    def dispatch(self, call: Call, path: str) -> Answer:
        if by_id := _BY_ID.fullmatch(path):
            names = [repo.name for repo in call.store.repos.values() if str(repo.id) == by_id["id"]]
            path = f"/repos/{names[0] if names else 'no/such'}{by_id['rest'] or ''}"
        if found := _PLACE.fullmatch(path):
            if found["repo"] in call.store.renamed:
                return _moved(call, found["repo"], found["rest"] or "")
            call.args = found.groupdict()
            _ = call.repo  # a repository that may not be seen has no routes either
            if call.request.method != "GET":
                _check_writable(call)
        made = super().dispatch(call, path)
        if made is None:
            raise ApiError(404, "Not Found")
        return made

    def refuse(self, call: Call, error: ApiError) -> Answer:
        body: dict[str, Any] = {"message": "Not Found" if error.message == "not found" else error.message}
        if isinstance(error, Invalid):
            body["errors"] = error.errors
        rest = {"documentation_url": "https://docs.github.com/rest", "status": str(error.status)}
        return json_answer({**body, **rest}, error.status)


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


def _moved(call: Call, old: str, rest: str) -> Answer:
    repo = call.store.repos[call.store.renamed[old]]
    query = f"?{call.request.query_string}" if call.request.query_string else ""
    target = f"{call.url}/api/v3/repositories/{repo.id}{rest}{query}"
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
    if not may(call, "write"):
        raise ApiError(403, "Must have push access to view collaborator permission.")
    if user not in call.store.users:
        raise ApiError(404, f"{user} is not a user")
    right = call.store.right(call.repo, user)
    return {"permission": right, "role_name": right, "user": shape.user(call, user)}


def _branch_rules(call: Call) -> Any:
    is_protected = call.args["branch"] in call.repo.protected
    return [{"type": "update", "ruleset_source": call.repo.name}] if is_protected else []


def _create_fork(call: Call) -> Any:
    """Answered at once, made later; asked for again, it is the one that is there."""
    store, repo, login = call.store, call.repo, call.login or ""
    name = repo.name.partition("/")[2]
    if login == repo.owner:
        raise ApiError(403, "You cannot fork your own repository.")
    if (fork := forks.fork_of(store, repo, login)) is None:
        name = f"{name}-1" if f"{login}/{name}" in store.repos else name
        fork = forks.make(store, repo, login, name)
    return 202, shape.repository(call, fork)


# --- issues ---


def _list_issues(call: Call) -> Any:
    issues = select_issues(call)
    if not call.repo.has_issues:
        issues = [issue for issue in issues if issue.pull]
    return listed(call, ordered(call, issues), shape.issue)


def _issue(call: Call) -> StoredIssue:
    issue = call.issue
    if issue.pull is None and not call.repo.has_issues:
        raise ApiError(410, "Issues are disabled for this repo")
    return issue


def _create_issue(call: Call) -> Any:
    given = call.request.json()
    if not call.repo.has_issues:
        raise ApiError(410, "Issues are disabled for this repo")
    if not given.get("title"):
        raise Invalid({"resource": "Issue", "code": "missing_field", "field": "title"})
    made = call.store.add_issue(call.repo, given["title"], given.get("body") or "", call.login or "")
    return 201, shape.issue(call, made)


def _edit_issue(call: Call) -> Any:
    issue = _issue(call)
    if not may(call, "write") and issue.author != call.login:
        raise ApiError(403, "Must have admin rights to Repository.")
    apply(call, issue, call.request.json())
    return shape.issue(call, issue)


def _list_comments(call: Call) -> Any:
    return listed(call, _issue(call).comments, shape.comment)


def _recent_comments(call: Call) -> Any:
    recent = commented_since(call)
    by = "updated_at" if call.query.get("sort") == "updated" else "created_at"
    is_newest_first = call.query.get("direction", "asc") == "desc"
    return listed(
        call, sorted(recent, key=lambda c: (getattr(c, by), c.id), reverse=is_newest_first), shape.comment
    )


def _create_comment(call: Call) -> Any:
    issue = _issue(call)
    if issue.locked and not may(call, "write"):
        raise ApiError(403, "Unable to create comment because issue is locked.")
    body = call.request.json().get("body")
    if not body:
        raise Invalid({"resource": "IssueComment", "code": "missing_field", "field": "body"})
    return 201, shape.comment(call, call.store.add_comment(issue, call.login or "", body))


def _edit_comment(call: Call) -> Any:
    comment = call.store.comment(call.repo, int(call.args["id"]))
    if comment is None:
        raise ApiError(404, "Not Found")
    if comment.author != call.login and not may(call, "write"):
        raise ApiError(403, "Must have admin rights to Repository.")
    comment.body = call.request.json()["body"]
    comment.updated_at = now()
    return shape.comment(call, comment)


def _issue_labels(call: Call) -> Any:
    return [shape.label(call, call.repo, name) for name in _issue(call).labels]


def _add_labels(call: Call) -> Any:
    issue = _issue(call)
    if not may(call, "write"):
        raise ApiError(403, "Must have admin rights to Repository.")
    call.store.set_labels(call.repo, issue, (*issue.labels, *call.request.json().get("labels", [])))
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


def _create_label(call: Call) -> Any:
    return 201, shape.label(call, call.repo, talk.create_label(call))


def _check_runs(call: Call) -> Any:
    return {"total_count": 0, "check_runs": []}


def _remove_label(call: Call) -> Any:
    issue = _issue(call)
    if call.args["name"] not in issue.labels:
        raise ApiError(404, "Label does not exist")
    call.store.set_labels(call.repo, issue, tuple(name for name in issue.labels if name != call.args["name"]))
    return _issue_labels(call)


def _list_labels(call: Call) -> Any:
    return listed(call, sorted(call.repo.labels), lambda c, name: shape.label(c, c.repo, name))
