"""Gitea's REST API beyond what `sprint demo` asks of it: rights, states, refusals, pages."""

from __future__ import annotations

import re
from typing import Any

from sprint.demo.gitea_api import ISSUE, PULL, REPO, ApiError, Call, newest_first
from sprint.demo.loopback import Answer, json_answer
from sprint.demo.store import now
from tests.servers import forks, git_data, talk
from tests.servers.gitea_json import GiteaJson, line_json, team_json
from tests.servers.rest import commented_since, may, select_issues
from tests.servers.store import Rejected, StoredIssue

VERSION = "1.25.4"
GONE = "not found"
_PLACE = re.compile(f"{REPO}(?P<rest>/.*)?")


class Gitea(GiteaJson):
    def __init__(self) -> None:
        super().__init__()
        self.routes |= {
            "GET /version": lambda call: {"version": VERSION},
            "GET /users/(?P<user>[^/]+)": self.get_user_by_name,
            "GET /user": self.get_user,
            f"GET {REPO}/collaborators/(?P<user>[^/]+)/permission": self.get_permission,
            f"GET {REPO}/collaborators/(?P<user>[^/]+)": self.is_collaborator,
            f"GET {REPO}/assignees": self.list_assignees,
            f"GET {REPO}/teams": self.list_teams,
            f"GET {REPO}/branch_protections": self.list_branch_protections,
            f"POST {REPO}/issues": self.create_issue,
            f"GET {REPO}/issues/comments": self.list_recent_comments,
            f"PATCH {REPO}/issues/comments/(?P<id>[0-9]+)": self.edit_comment,
            f"GET {ISSUE}": lambda call: self.issue_json(call, issue_of(call)),
            f"PATCH {ISSUE}": self.edit_issue,
            f"GET {ISSUE}/timeline": self.list_timeline,
            f"GET {ISSUE}/labels": self.list_issue_labels,
            f"POST {ISSUE}/labels": self.add_labels,
            f"GET {ISSUE}/dependencies": self.list_dependencies,
            f"GET {REPO}/labels": self.list_labels,
            f"GET {REPO}/forks": self.list_forks,
            f"POST {REPO}/forks": self.create_fork,
            f"GET {PULL}": lambda call: self.pull_json(call, pull_of(call)),
            f"PATCH {PULL}": self.edit_pull,
            f"POST {PULL}/merge": self.merge_pull,
            f"GET {PULL}/reviews": self.list_reviews,
            f"GET {PULL}/reviews/(?P<id>[0-9]+)/comments": self.list_lines,
            f"POST {PULL}/reviews": self.create_review,
            f"DELETE {ISSUE}/labels/(?P<id>[0-9]+)": self.remove_label,
            f"POST {PULL}/requested_reviewers": lambda call: (201, talk.ask_for_review(call, pull_of(call))),
            f"POST {REPO}/labels": lambda call: (201, self.label_json(call, talk.create_label(call))),
            **talk.logs(),
            **git_data.routes(self.listed, commit_id="id", no_status=""),
            f"GET {REPO}/pulls/(?P<base>[^/]+)/(?P<head>.+)": self.get_pull_by_branches,
        }

    def authenticate(self, call: Call) -> None:
        if call.request.headers.get("authorization"):
            super().authenticate(call)

    def dispatch(self, call: Call, path: str) -> Answer | None:
        if found := _PLACE.fullmatch(path):
            if moved := call.store.renamed.get(found["repo"]):
                target = call.request.target.replace(f"/{found['repo']}", f"/{moved}", 1)
                return Answer(301, b"", {"Location": target})
            call.args = found.groupdict()
            if call.request.method != "GET":
                _check_writable(call, found["rest"] or "")
            _ = call.repo  # a repository that may not be seen has no routes either
        return super().dispatch(call, path)

    def refuse(self, call: Call, error: ApiError) -> Answer:
        if error.status == 403 and not error.message:
            return Answer(403)
        body: dict[str, Any] = {"message": error.message, "url": f"{call.url}/api/swagger"}
        return json_answer({**body, "errors": None} if error.status == 404 else body, error.status)

    # --- users ---

    def get_user(self, call: Call) -> Any:
        return self.user_json(call, known_login(call))

    def get_user_by_name(self, call: Call) -> Any:
        if call.args["user"] not in call.store.users:
            raise ApiError(404, f"user redirect does not exist [name: {call.args['user']}]")
        return self.user_json(call, call.args["user"])

    def get_permission(self, call: Call) -> Any:
        user, store, repo = call.args["user"], call.store, call.repo
        if user != known_login(call) and not may(call, "admin"):
            raise ApiError(
                403,
                "Only admins can query all permissions, repo admins can query all repo permissions, "
                "collaborators can query only their own",
            )
        if user not in store.users:
            raise ApiError(404, f"user does not exist [uid: 0, name: {user}]")
        right = store.right(repo, user)
        if store.has_teams(repo) and right == "write":
            right = "read"  # Gitea does not count what a team's units give
        right = "owner" if user == repo.owner else right
        return {"permission": right, "role_name": right, "user": self.user_json(call, user)}

    def is_collaborator(self, call: Call) -> Any:
        known_login(call)
        if call.args["user"] not in call.repo.rights:
            raise ApiError(404, GONE)
        return Answer(204)

    def list_assignees(self, call: Call) -> Any:
        known_login(call)
        store, repo = call.store, call.repo
        # Those who can write, and the members of any team that can read pull requests.
        logins = [login for login in store.users if store.may(repo, login, "write") and login != repo.owner]
        owners = [] if store.has_teams(repo) else [repo.owner]
        members = [login for login in repo.rights if login not in logins] if store.has_teams(repo) else []
        return [self.user_json(call, login) for login in (*logins, *members, *owners)]

    def list_teams(self, call: Call) -> Any:
        known_login(call)
        if not call.store.has_teams(call.repo):
            raise ApiError(405, "repo is not owned by an organization")
        levels = ("owner", *dict.fromkeys(call.repo.rights.values()))
        return [team_json(number, level) for number, level in enumerate(levels, 1)]

    def list_branch_protections(self, call: Call) -> Any:
        if not may(call, "admin"):
            raise ApiError(403, "user should be an owner or a collaborator with admin write of a repository")
        repo = call.repo
        rules = {name: {"enable_push": False} for name in repo.protected}
        rules |= {name: {"enable_push": True, "block_on_outdated_branch": True} for name in repo.strict}
        return [{"branch_name": name, "rule_name": name, **rule} for name, rule in rules.items()]

    # --- forks ---

    def list_forks(self, call: Call) -> Any:
        name = call.repo.name
        found = [repo for repo in call.store.repos.values() if repo.fork_of == name]
        return self.listed(call, found, self.repository_json)

    def create_fork(self, call: Call) -> Any:
        store, repo, login = call.store, call.repo, call.login or ""
        name = call.request.json().get("name") or repo.name.partition("/")[2]
        if forks.fork_of(store, repo, login):
            raise ApiError(409, f"repository is already forked by user [uname: {login}]")
        if f"{login}/{name}" in store.repos:
            raise ApiError(409, f"The repository with the same name already exists: {login}/{name}")
        return 202, self.repository_json(call, forks.make(store, repo, login, name))

    # --- issues ---

    def list_issues(self, call: Call) -> Any:
        wanted = call.query.get("type", "")
        if wanted == "issues" and not call.repo.has_issues:
            raise ApiError(404, GONE)
        keep = {"issues": (False,), "pulls": (True,)}.get(wanted, (False, True))
        on = {False: call.repo.has_issues, True: call.repo.has_pulls}
        selected = select_issues(call, known_labels=call.repo.labels)
        issues = [i for i in selected if (pull := i.pull is not None) in keep and on[pull]]
        return self.listed(call, newest_first(issues), self.issue_json)  # any `sort` is ignored

    def create_issue(self, call: Call) -> Any:
        given = call.request.json()
        if not call.repo.has_issues:
            raise ApiError(
                403, "user should have specific read permission or be a repo admin or a site admin"
            )
        if not given.get("title"):
            raise ApiError(422, "[Title]: Required")
        made = call.store.add_issue(call.repo, given["title"], given.get("body") or "", call.login or "")
        return 201, self.issue_json(call, made)

    def edit_issue(self, call: Call) -> Any:
        issue = issue_of(call)
        _apply(call, issue)
        return 201, self.issue_json(call, issue)

    def list_comments(self, call: Call) -> Any:
        call.headers["X-Total-Count"] = str(len(_talked_about(call).comments))
        return super().list_comments(call)

    def list_recent_comments(self, call: Call) -> Any:
        """The comments of all issues and pull requests; cut into pages only where a page is asked for."""
        recent = sorted(commented_since(call), key=lambda comment: (comment.created_at, comment.id))
        paged = self.listed(call, recent, self.comment_json)
        call.headers.clear()
        call.headers["X-Total-Count"] = str(len(recent))
        return paged if call.query.get("page") else [self.comment_json(call, comment) for comment in recent]

    def create_comment(self, call: Call) -> Any:
        if not call.request.json().get("body"):
            raise ApiError(422, "[Body]: Required")
        if _talked_about(call).locked and not may(call, "write"):
            raise ApiError(403, "You cannot comment on a locked issue.")
        return super().create_comment(call)

    def edit_comment(self, call: Call) -> Any:
        comment = call.store.comment(call.repo, int(call.args["id"]))
        if comment is None:
            raise ApiError(404, GONE)
        if comment.author != call.login and not may(call, "admin"):
            raise ApiError(403, "")
        comment.body = call.request.json()["body"]
        comment.updated_at = now()
        return self.comment_json(call, comment)

    def list_lines(self, call: Call) -> Any:
        review = talk.review_of(call, pull_of(call))
        return [line_json(self.user_json(call, line.author), review, line) for line in reversed(review.lines)]

    def create_review(self, call: Call) -> Any:
        """What anybody may: a comment. As of 1.26, which has no replies in threads."""
        given, issue = call.request.json(), pull_of(call)
        if given.get("event") != "COMMENT":
            raise ApiError(422, "approve your own pull is not allowed")
        review = call.store.add_review(issue, call.login or "", "COMMENT", given.get("body") or "")
        for line in given.get("comments") or ():
            place = line["path"], line["new_position"], line["old_position"]
            call.store.add_line(issue, review, call.login or "", line["body"], *place)
        return self.review_json(call, review)

    def list_timeline(self, call: Call) -> Any:
        issue = _talked_about(call)
        events = [{**self.comment_json(call, comment), "type": "comment"} for comment in issue.comments]
        pushers = issue.pull.pushers if issue.pull else []
        events += [{"type": "pull_push", "user": self.user_json(call, login)} for login in pushers]
        call.headers["X-Total-Count"] = str(len(events))
        return events or None

    def list_labels(self, call: Call) -> Any:
        return self.listed(call, sorted(call.repo.labels), self.label_json)

    def list_issue_labels(self, call: Call) -> Any:
        return [self.label_json(call, name) for name in issue_of(call).labels]

    def add_labels(self, call: Call) -> Any:
        issue, repo = issue_of(call), call.repo
        if not may(call, "write"):
            raise ApiError(403, "write permission is required")
        by_id = {identity: name for name, identity in repo.labels.items()}
        given = call.request.json().get("labels") or []
        names = tuple(by_id.get(label, "") if isinstance(label, int) else label for label in given)
        known = tuple(name for name in names if name in repo.labels)
        call.store.set_labels(repo, issue, (*issue.labels, *known))
        return self.list_issue_labels(call)

    def remove_label(self, call: Call) -> Any:
        issue, by_id = issue_of(call), {identity: name for name, identity in call.repo.labels.items()}
        if not may(call, "write"):
            raise ApiError(403, "write permission is required")
        gone = by_id.get(int(call.args["id"]), "")
        call.store.set_labels(call.repo, issue, tuple(name for name in issue.labels if name != gone))
        return Answer(204)

    def list_dependencies(self, call: Call) -> Any:
        if not call.repo.has_dependencies:
            raise ApiError(404, GONE)
        blockers = [call.repo.issues[number] for number in issue_of(call).blocked_by]
        found = self.listed(call, blockers, self.issue_json)
        call.headers.clear()  # the one list that is cut into pages and does not tell
        return found

    # --- pull requests ---

    def list_pulls(self, call: Call) -> Any:
        if not call.repo.has_pulls:
            raise ApiError(404, GONE)
        call.store.follow_heads(call.repo)
        pulls = [issue for issue in select_issues(call) if issue.pull]  # `head` is ignored
        return self.listed(call, _sorted(call.query.get("sort", ""), pulls), self.pull_json)

    def get_pull_by_branches(self, call: Call) -> Any:
        call.store.follow_heads(call.repo)
        head_repo, _, head = call.args["head"].rpartition(":")
        for issue in newest_first(call.store.open_pulls(call.repo)):
            in_repo = not head_repo or issue.pull.head_repo.startswith(f"{head_repo}/")
            if issue.pull.base == call.args["base"] and issue.pull.head == head and in_repo:
                return self.pull_json(call, issue)
        raise ApiError(404, GONE)

    def create_pull(self, call: Call) -> Any:
        given = call.request.json()
        head, base = str(given.get("head") or ""), str(given.get("base") or "")
        if missing := [name for name in ("head", "base", "title") if not given.get(name)]:
            raise ApiError(422, f"[{missing[0].title()}]: Required")
        if not call.repo.has_pulls:
            raise ApiError(404, GONE)
        body = given.get("body") or ""
        try:
            owner, _, branch = head.rpartition(":")
            source = forks.fork_of(call.store, call.repo, owner) if owner else call.repo
            if source is None:
                raise Rejected("head")
            made = call.store.create_pull(
                *(call.repo, call.login or "", given["title"], body, branch, base), head_repo=source.name
            )
        except Rejected as rejected:
            raise _pull_refused(call, str(rejected), head, base) from None
        return 201, self.pull_json(call, made)

    def edit_pull(self, call: Call) -> Any:
        issue = pull_of(call)
        _apply(call, issue)
        return 201, self.pull_json(call, issue)

    def merge_pull(self, call: Call) -> Any:
        issue = pull_of(call)
        if not may(call, "write"):
            raise ApiError(405, "User not allowed to merge PR")
        if issue.state != "open":
            raise ApiError(405, "The PR is already merged" if issue.pull.merged_at else "")
        try:
            call.store.merge(call.repo, issue, call.login or "")
        except Rejected:
            raise ApiError(405, "Please try again later") from None
        return Answer(200, b"", call.headers)

    def list_reviews(self, call: Call) -> Any:
        reviews = pull_of(call).pull.reviews
        call.headers["X-Total-Count"] = str(len(reviews))
        return [self.review_json(call, review) for review in reviews]  # whole, unless a page is asked for


def known_login(call: Call) -> str:
    if call.login is None:
        raise ApiError(401, "token is required")
    return call.login


def issue_of(call: Call) -> StoredIssue:
    issue = call.issue
    if issue.pull is None and not call.repo.has_issues:
        raise ApiError(404, GONE)
    return issue


def pull_of(call: Call) -> StoredIssue:
    call.store.follow_heads(call.repo)
    if call.issue.pull is None or not call.repo.has_pulls:
        raise ApiError(404, GONE)
    return call.issue


def _check_writable(call: Call, rest: str) -> None:
    repo = call.repo
    known_login(call)
    # Titles, texts and states can still be changed in an archived repository; comments cannot.
    edits = call.request.method == "PATCH" and rest.rpartition("/")[0] in ("/issues", "/pulls")
    if repo.archived and not edits:
        raise ApiError(423, f"{repo.name} is archived")


def _talked_about(call: Call) -> StoredIssue:
    """The issue that comments belong to: where there is none, the real server fails instead of saying so."""
    if int(call.args["n"]) not in call.repo.issues:
        raise ApiError(500, "")
    return issue_of(call)


def _apply(call: Call, issue: StoredIssue) -> None:
    """Change what a PATCH may change of an issue or of a pull request."""
    given = call.request.json()
    if not may(call, "write") and issue.author != call.login:
        raise ApiError(403, "")
    if given.get("state") not in ("open", "closed", None, ""):
        raise ApiError(412, f"unknown state: {given['state']}")
    issue.title = given.get("title") or issue.title
    issue.body = given["body"] if given.get("body") is not None else issue.body
    if given.get("state") in ("open", "closed") and given["state"] != issue.state:
        call.store.set_state(issue, given["state"])
    issue.updated_at = now()


def _sorted(by: str, pulls: list[StoredIssue]) -> list[StoredIssue]:
    """Pull requests do take `sort`, which issues do not."""
    if by in ("recentupdate", "leastupdate"):
        return sorted(pulls, key=lambda issue: (issue.updated_at, issue.id), reverse=by == "recentupdate")
    return newest_first(pulls)[:: -1 if by == "oldest" else 1]


def _pull_refused(call: Call, reason: str, head: str, base: str) -> ApiError:
    if reason == "exists":
        where = f"head_repo_id: {call.repo.id}, base_repo_id: {call.repo.id}, head_branch: {head}"
        return ApiError(409, f"pull request already exists for these targets [{where}, base_branch: {base}]")
    if reason == "same":
        return ApiError(422, "Invalid PullRequest: There are no changes between the head and the base")
    return ApiError(404, GONE)
