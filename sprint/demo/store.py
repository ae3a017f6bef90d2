"""What the demo's forge holds: repositories, issues, pull requests."""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sprint.demo import git_server
from sprint.demo.git_server import Commit


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@dataclass
class StoredComment:
    id: int
    issue: int
    author: str
    body: str
    created_at: datetime
    updated_at: datetime


@dataclass
class StoredPull:
    """From branch `head` into branch `base`."""

    head: str
    base: str


@dataclass
class StoredIssue:
    """An issue, or a pull request where `pull` is there; both share one sequence of numbers."""

    id: int
    number: int
    title: str
    body: str
    author: str
    created_at: datetime
    updated_at: datetime
    labels: list[str] = field(default_factory=list)
    state: str = "open"
    comments: list[StoredComment] = field(default_factory=list)
    pull: StoredPull | None = None


@dataclass
class StoredRepo:
    """`name` is OWNER/REPO, `path` the bare repository."""

    id: int
    name: str
    path: Path
    default_branch: str
    issues: dict[int, StoredIssue] = field(default_factory=dict)


class Store:
    """The state of one forge. `lock` is held by whoever reads or changes it through the REST API."""

    repo_class: type[StoredRepo] = StoredRepo
    issue_class: type[StoredIssue] = StoredIssue

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = threading.RLock()
        self.tokens: dict[str, str] = {}
        self.repos: dict[str, StoredRepo] = {}
        self._ids = itertools.count(1001)

    def add_token(self, login: str) -> str:
        token = secrets.token_hex(20)
        self.tokens[token] = login
        return token

    def may(self, repo: StoredRepo, login: str | None, right: str) -> bool:
        """Whether somebody has a right: read, write or admin. Here everybody with a token may write."""
        return login is not None and right != "admin"

    def add_repo(self, name: str, default_branch: str = "main", commits: Sequence[Commit] = ()) -> StoredRepo:
        path = self.root / f"{name}.git"
        git_server.create(path, default_branch)
        if commits:
            git_server.commit(path, default_branch, commits)
        self.repos[name] = self.repo_class(next(self._ids), name, path, default_branch)
        return self.repos[name]

    def find(self, name: str) -> StoredRepo | None:
        return self.repos.get(name)

    def add_issue(
        self,
        repo: StoredRepo,
        title: str,
        body: str,
        author: str,
        *,
        created_at: datetime | None = None,
        labels: Sequence[str] = (),
        pull: StoredPull | None = None,
    ) -> StoredIssue:
        at = created_at or now()
        number = len(repo.issues) + 1
        issue = self.issue_class(
            next(self._ids), number, title, body, author, at, at, list(labels), pull=pull
        )
        repo.issues[number] = issue
        return issue

    def add_comment(
        self, issue: StoredIssue, author: str, body: str, created_at: datetime | None = None
    ) -> StoredComment:
        at = created_at or now()
        comment = StoredComment(next(self._ids), issue.number, author, body, at, at)
        issue.comments.append(comment)
        issue.updated_at = max(issue.updated_at, at)
        return comment
