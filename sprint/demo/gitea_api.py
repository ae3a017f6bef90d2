"""Gitea's REST dialect, as far as an issue burner meets it."""

from __future__ import annotations

from typing import Any

from sprint.demo import git_data
from sprint.demo import gitea_json as shape
from sprint.demo import gitea_pulls as pulls
from sprint.demo.api import ApiError, Call, Dialect, NoRoute, dispatch, issue_or_404, route, select_issues
from sprint.demo.gitea_pulls import apply, listed, newest_first
from sprint.demo.http_messages import Answer, json_answer
from sprint.demo.store import StoredIssue, now

VERSION = "1.25.4"


def answer(call: Call, path: str, settled: bool) -> Answer:
    """Answer a path below the API's own; `settled` False means that a wrong token came along."""
    try:
        if not settled:
            raise ApiError(401, "invalid username, password or token")
        if path.startswith("/repos/"):
            return _in_repository(call, path)
        return dispatch(_ROUTES, call, path)
    except NoRoute:
        return Answer(404, b"404 page not found\n", {"Content-Type": "text/plain; charset=utf-8"})
    except ApiError as error:
        if error.status == 403 and not error.message:
            return Answer(403, b"", error.headers)
        body = {"message": error.message, "url": f"{call.url}/api/swagger", **error.more}
        if error.status == 404:
            body.setdefault("errors", None)
        return json_answer(body, error.status, error.headers)


def _in_repository(call: Call, path: str) -> Answer:
    owner, name, rest = [*path.removeprefix("/repos/").split("/", 2), "", ""][:3]
    full = f"{owner}/{name}"
    if full in call.store.renamed:
        target = call.request.target.replace(f"/{full}", f"/{call.store.renamed[full]}", 1)
        return Answer(301, b"", {"Location": target})
    call.repo_or_none = call.store.find(full)
    if call.repo_or_none is None or not call.may("read"):
        raise ApiError(404, shape.GONE)
    if call.request.method != "GET":
        _check_writable(call, rest)
    return dispatch(_REPO_ROUTES, call, f"/{rest}" if rest else "")


def _check_writable(call: Call, rest: str) -> None:
    if call.login is None:
        raise ApiError(401, "token is required")
    # Titles, texts and states can still be changed in an archived repository; comments cannot.
    edits = call.request.method == "PATCH" and rest.rpartition("/")[0] in ("issues", "pulls")
    if call.repo.archived and not edits:
        raise ApiError(423, f"{call.repo.name} is archived")


# --- the server and its users ---


def _user(call: Call) -> Any:
    if call.login is None:
        raise ApiError(401, "token is required")
    return shape.user(call, call.login)


def _user_by_name(call: Call) -> Any:
    if call.args["user"] not in call.store.users:
        raise ApiError(404, f"user redirect does not exist [name: {call.args['user']}]")
    return shape.user(call, call.args["user"])


def _permission(call: Call) -> Any:
    user = call.args["user"]
    if call.login is None:
        raise ApiError(401, "token is required")
    if user != call.login and not call.may("admin"):
        raise ApiError(
            403,
            "Only admins can query all permissions, repo admins can query all repo permissions, "
            "collaborators can query only their own",
        )
    if user not in call.store.users:
        raise ApiError(404, f"user does not exist [uid: 0, name: {user}]")
    right = call.store.right(call.repo, user)
    if call.store.has_teams(call.repo) and right == "write":
        right = "read"  # Gitea does not count what a team's units give
    right = "owner" if user == call.repo.owner else right
    return {"permission": right, "role_name": right, "user": shape.user(call, user)}


def _is_collaborator(call: Call) -> Any:
    if call.login is None:
        raise ApiError(401, "token is required")
    if call.args["user"] not in call.repo.rights:
        raise ApiError(404, shape.GONE)
    return 204, None


def _assignees(call: Call) -> Any:
    if call.login is None:
        raise ApiError(401, "token is required")
    store, repo = call.store, call.repo
    # Those who can write, and the members of any team that can read pull requests.
    logins = [login for login in store.users if store.may(repo, login, "write") and login != repo.owner]
    owners = [] if store.has_teams(repo) else [repo.owner]
    members = [login for login in repo.rights if login not in logins] if store.has_teams(repo) else []
    return [shape.user(call, login) for login in (*logins, *members, *owners)]


def _teams(call: Call) -> Any:
    if call.login is None:
        raise ApiError(401, "token is required")
    if not call.store.has_teams(call.repo):
        raise ApiError(405, "repo is not owned by an organization")
    levels = ("owner", *dict.fromkeys(call.repo.rights.values()))
    return [shape.team(number, level) for number, level in enumerate(levels, 1)]


# --- issues ---


def _list_issues(call: Call) -> Any:
    wanted = call.query.get("type", "")
    if wanted == "issues" and not call.repo.has_issues:
        raise ApiError(404, shape.GONE)
    keep = {"issues": (False,), "pulls": (True,)}.get(wanted, (False, True))
    on = {False: call.repo.has_issues, True: call.repo.has_pulls}
    issues = [issue for issue in select_issues(call) if (pull := issue.pull is not None) in keep and on[pull]]
    return listed(call, newest_first(issues), shape.issue)  # any `sort` is ignored


def _issue(call: Call) -> StoredIssue:
    issue = issue_or_404(call, shape.GONE)
    if issue.pull is None and not call.repo.has_issues:
        raise ApiError(404, shape.GONE)
    return issue


def _get_issue(call: Call) -> Any:
    return shape.issue(call, _issue(call))


def _create_issue(call: Call) -> Any:
    given = call.json()
    if not call.repo.has_issues:
        raise ApiError(403, "user should have specific read permission or be a repo admin or a site admin")
    if not given.get("title"):
        raise ApiError(422, "[Title]: Required")
    made = call.store.add_issue(call.repo, given["title"], given.get("body") or "", call.login or "")
    return 201, shape.issue(call, made)


def _edit_issue(call: Call) -> Any:
    issue = _issue(call)
    if not call.may("write") and issue.author != call.login:
        raise ApiError(403, "")
    apply(call, issue, call.json())
    return 201, shape.issue(call, issue)


def _talked_about(call: Call) -> StoredIssue:
    """The issue that comments belong to: where there is none, the real server fails instead of saying so."""
    if call.number() not in call.repo.issues:
        raise ApiError(500, "")
    return _issue(call)


def _list_comments(call: Call) -> Any:
    comments = _talked_about(call).comments
    call.headers["X-Total-Count"] = str(len(comments))
    return [shape.comment(call, comment) for comment in comments]  # never paged


def _create_comment(call: Call) -> Any:
    body = call.json().get("body")
    if not body:
        raise ApiError(422, "[Body]: Required")
    issue = _talked_about(call)
    if issue.locked and not call.may("write"):
        raise ApiError(403, "You cannot comment on a locked issue.")
    return 201, shape.comment(call, call.store.add_comment(issue, call.login or "", body))


def _edit_comment(call: Call) -> Any:
    comment = call.store.comment(call.repo, call.number("id"))
    if comment is None:
        raise ApiError(404, shape.GONE)
    if comment.author != call.login and not call.may("admin"):
        raise ApiError(403, "")
    comment.body = call.json()["body"]
    comment.updated_at = now()
    return shape.comment(call, comment)


def _timeline(call: Call) -> Any:
    events = [{**shape.comment(call, comment), "type": "comment"} for comment in _talked_about(call).comments]
    call.headers["X-Total-Count"] = str(len(events))
    return events or None


def _list_labels(call: Call) -> Any:
    return listed(call, sorted(call.repo.labels), lambda c, name: shape.label(c, c.repo, name))


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
        raise ApiError(404, shape.GONE)
    blockers = [call.repo.issues[number] for number in _issue(call).blocked_by]
    found = listed(call, blockers, shape.issue)
    call.headers.clear()  # the one list that is cut into pages and does not tell
    return found


_ROUTES = [
    route("GET", "/version", lambda call: {"version": VERSION}),
    route("GET", "/user", _user),
    route("GET", "/users/{user}", _user_by_name),
]

_REPO_ROUTES = [
    route("GET", "", lambda call: shape.repository(call, call.repo)),
    route("GET", "/collaborators/{user}/permission", _permission),
    route("GET", "/collaborators/{user}", _is_collaborator),
    route("GET", "/assignees", _assignees),
    route("GET", "/teams", _teams),
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
    route("GET", "/pulls", pulls.list_all),
    route("POST", "/pulls", pulls.create),
    route("GET", "/pulls/{n}", pulls.get),
    route("PATCH", "/pulls/{n}", pulls.edit),
    route("POST", "/pulls/{n}/merge", pulls.merge),
    route("GET", "/pulls/{n}/reviews", pulls.reviews),
    *git_data.routes(listed, commit_id="id", no_status=""),
    route("GET", "/pulls/{base}/{head:path}", pulls.by_branches),
]

DIALECT = Dialect("/api/v1", "Gitea (Basic Auth)", answer)
