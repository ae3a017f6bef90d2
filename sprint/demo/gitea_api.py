"""The part of Gitea's REST API that `sprint demo` asks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar

from sprint.demo import git_server
from sprint.demo.loopback import Answer, Request, json_answer
from sprint.demo.store import Store, StoredComment, StoredIssue, StoredPull, StoredRepo

T = TypeVar("T")

REPO = "/repos/(?P<repo>[^/]+/[^/]+)"
ISSUE = f"{REPO}/issues/(?P<n>[0-9]+)"
PULL = f"{REPO}/pulls/(?P<n>[0-9]+)"
_ZONE = timezone(timedelta(hours=-4))  # Gitea answers in its own time zone, not in UTC


class ApiError(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass
class Call:
    """One API request under way: `login` is None for the anonymous; `args` are the route's groups."""

    store: Store
    request: Request
    url: str  # of the server, without a path
    login: str | None
    args: Mapping[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)  # of the answer
    _refs: dict[Path, dict[str, str]] = field(default_factory=dict)

    def refs(self, repo: StoredRepo) -> dict[str, str]:
        """A repository's references, read once for all that the answer tells of it."""
        if repo.path not in self._refs:
            self._refs[repo.path] = git_server.refs(repo.path)
        return self._refs[repo.path]

    @property
    def repo(self) -> StoredRepo:
        """The repository that the path names, where whoever asks may see it."""
        repo = self.store.find(self.args["repo"])
        if repo is None or not self.store.may(repo, self.login, "read"):
            raise ApiError(404, "not found")
        return repo

    @property
    def issue(self) -> StoredIssue:
        """The issue or pull request that the path names."""
        issue = self.repo.issues.get(int(self.args["n"]))
        if issue is None:
            raise ApiError(404, "not found")
        return issue

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.query


Handler = Callable[[Call], Any]
"""Returns the JSON to answer, or a pair of a status and the JSON, or an Answer."""


class GiteaApi:
    """The REST API below `prefix`: routes, the functions that answer, and the JSON that they answer with."""

    prefix = "/api/v1"
    realm = "Gitea (Basic Auth)"

    def __init__(self) -> None:
        self.routes: dict[str, Handler] = {
            "GET /user": lambda call: self.user_json(call, call.login or ""),
            "GET /user/repos": self.list_own,
            f"GET {REPO}": lambda call: self.repository_json(call, call.repo),
            f"GET {REPO}/issues": self.list_issues,
            f"GET {ISSUE}": lambda call: self.issue_json(call, call.issue),
            f"GET {ISSUE}/comments": self.list_comments,
            f"POST {ISSUE}/comments": self.create_comment,
            f"GET {ISSUE}/dependencies": lambda call: [],
            f"GET {REPO}/pulls": self.list_pulls,
            f"POST {REPO}/pulls": self.create_pull,
            f"GET {PULL}": lambda call: self.pull_json(call, call.issue),
            f"GET {PULL}/reviews": lambda call: [],
            # There is no CI here: no status is told of any commit.
            f"GET {REPO}/commits/(?P<sha>[^/]+)/status": lambda call: {"statuses": None},
        }

    def answer(self, call: Call, path: str) -> Answer:
        try:
            self.authenticate(call)
            missing = Answer(404, b"404 page not found\n", {"Content-Type": "text/plain; charset=utf-8"})
            return self.dispatch(call, path) or missing
        except ApiError as error:
            return self.refuse(call, error)

    def authenticate(self, call: Call) -> None:
        if call.login is None:
            raise ApiError(401, "invalid username, password or token")

    def dispatch(self, call: Call, path: str) -> Answer | None:
        """Answer by the first route that fits."""
        for pattern, handler in self.routes.items():
            if found := re.fullmatch(pattern, f"{call.request.method} {path}"):
                call.args = found.groupdict()
                made = handler(call)
                if isinstance(made, Answer):
                    return made
                status, value = made if isinstance(made, tuple) else (200, made)
                return json_answer(value, status, call.headers)
        return None

    def refuse(self, call: Call, error: ApiError) -> Answer:
        return json_answer({"message": error.message, "url": f"{call.url}/api/swagger"}, error.status)

    def list_own(self, call: Call) -> Any:
        return self.listed(call, list(call.store.repos.values()), self.repository_json)

    def list_issues(self, call: Call) -> Any:
        wanted = call.query.get("type", "")
        issues = [i for i in call.repo.issues.values() if wanted != ("issues" if i.pull else "pulls")]
        return self.listed(call, newest_first(issues), self.issue_json)  # any `sort` is ignored

    def list_comments(self, call: Call) -> Any:
        return [self.comment_json(call, comment) for comment in call.issue.comments]  # never paged

    def create_comment(self, call: Call) -> Any:
        body = call.request.json()["body"]
        return 201, self.comment_json(call, call.store.add_comment(call.issue, call.login or "", body))

    def list_pulls(self, call: Call) -> Any:
        pulls = [issue for issue in call.repo.issues.values() if issue.pull]  # `head` is ignored
        return self.listed(call, newest_first(pulls), self.pull_json)

    def create_pull(self, call: Call) -> Any:
        given = call.request.json()
        pull = StoredPull(given["head"], given["base"])
        made = call.store.add_issue(call.repo, given["title"], given["body"], call.login or "", pull=pull)
        return 201, self.pull_json(call, made)

    def listed(self, call: Call, items: Sequence[T], shape: Callable[[Call, T], Any]) -> list[Any]:
        """A page, of 50 at the most whatever is asked for. No list of the demo is longer than one."""
        size = min(int(call.query.get("limit", 30)), 50)
        start = (int(call.query.get("page", 1)) - 1) * size
        call.headers["X-Total-Count"] = str(len(items))
        return [shape(call, item) for item in items[start : start + size]]

    def user_json(self, call: Call, login: str) -> dict[str, Any]:
        return {"login": login, "username": login, "full_name": "", "html_url": f"{call.url}/{login}"}

    def repository_json(self, call: Call, repo: StoredRepo) -> dict[str, Any]:
        open_ones = [issue for issue in repo.issues.values() if issue.state == "open"]
        return {
            "full_name": repo.name,
            "empty": not any(ref.startswith("refs/heads/") for ref in call.refs(repo)),
            "private": True,
            "archived": False,
            "html_url": f"{call.url}/{repo.name}",
            "default_branch": repo.default_branch,
            "open_issues_count": sum(not issue.pull for issue in open_ones),
            "permissions": {
                name: call.store.may(repo, call.login, right)
                for name, right in (("admin", "admin"), ("push", "write"), ("pull", "read"))
            },
            "has_issues": True,
            "has_pull_requests": True,
        }

    def issue_json(self, call: Call, issue: StoredIssue) -> dict[str, Any]:
        place = "pulls" if issue.pull else "issues"
        return {
            "id": issue.id,
            "number": issue.number,
            "html_url": f"{call.url}/{call.repo.name}/{place}/{issue.number}",
            "user": self.user_json(call, issue.author),
            "title": issue.title,
            "body": issue.body,
            "labels": [{"name": label} for label in issue.labels],
            "assignees": None,
            "state": issue.state,
            "is_locked": False,
            "comments": len(issue.comments),
            "created_at": stamp(issue.created_at),
            "updated_at": stamp(issue.updated_at),
            "closed_at": None,
            "pull_request": {"merged": False, "draft": is_draft(issue)} if issue.pull else None,
        }

    def pull_json(self, call: Call, issue: StoredIssue) -> dict[str, Any]:
        assert issue.pull is not None
        repo = self.repository_json(call, call.repo)
        heads = call.refs(call.repo)
        sides = {
            side: {"label": name, "ref": name, "sha": heads.get(f"refs/heads/{name}", ""), "repo": repo}
            for side, name in (("head", issue.pull.head), ("base", issue.pull.base))
        }
        return {
            **self.issue_json(call, issue),
            **sides,
            "draft": is_draft(issue),
            "merged": False,
            "merged_at": None,
        }

    def comment_json(self, call: Call, comment: StoredComment) -> dict[str, Any]:
        return {
            "id": comment.id,
            "html_url": f"{call.url}/{call.repo.name}/issues/{comment.issue}#issuecomment-{comment.id}",
            "user": self.user_json(call, comment.author),
            "body": comment.body,
            "created_at": stamp(comment.created_at),
            "updated_at": stamp(comment.updated_at),
        }


def newest_first(issues: Sequence[StoredIssue]) -> list[StoredIssue]:
    return sorted(issues, key=lambda issue: (issue.created_at, issue.id), reverse=True)


def is_draft(issue: StoredIssue) -> bool:
    """A draft is one by its title."""
    return issue.title.upper().startswith(("WIP:", "[WIP]"))


def stamp(at: datetime | None) -> str | None:
    return at.astimezone(_ZONE).isoformat(timespec="seconds") if at else None
