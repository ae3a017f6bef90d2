"""What the embedded forge holds: users, repositories, issues, pull requests."""

from __future__ import annotations

import itertools
import re
import secrets
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sprint.demo import bare

_CLOSES = re.compile(r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?)\b:?\s+#(\d+)", re.IGNORECASE)
_RIGHTS = ("none", "read", "write", "admin")


class Rejected(Exception):
    """The forge says no: why, in the store's words; each dialect has its own status and text for it."""


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@dataclass
class StoredUser:
    id: int
    login: str
    kind: str = "User"  # User, Organization or Bot
    is_admin: bool = False


@dataclass
class StoredComment:
    id: int
    issue: int
    author: str
    body: str
    created_at: datetime
    updated_at: datetime


@dataclass
class StoredReview:
    id: int
    author: str
    state: str
    body: str
    submitted_at: datetime


@dataclass
class StoredPull:
    """`closed` issues are numbered by its body when it is merged. `head_repo` is OWNER/REPO."""

    head: str
    base: str
    head_repo: str
    head_sha: str = ""
    base_sha: str = ""
    draft: bool = False
    merged_at: datetime | None = None
    merge_commit: str = ""
    is_branch_gone: bool = False
    reviews: list[StoredReview] = field(default_factory=list)


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
    assignees: list[str] = field(default_factory=list)
    state: str = "open"
    closed_at: datetime | None = None
    locked: bool = False
    comments: list[StoredComment] = field(default_factory=list)
    blocked_by: list[int] = field(default_factory=list)
    pull: StoredPull | None = None
    original_author: str = ""  # of a migrated issue; `author` is who migrated it then


@dataclass
class StoredRepo:
    """A repository; `rights` are those of the users who are not its owner."""

    id: int
    name: str
    path: Path
    default_branch: str
    private: bool = False
    archived: bool = False
    has_issues: bool = True
    has_pulls: bool = True
    has_dependencies: bool = True
    rights: dict[str, str] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    issues: dict[int, StoredIssue] = field(default_factory=dict)
    statuses: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        return self.name.partition("/")[0]


class Store:
    """The state of one forge. `lock` is held by whoever reads or changes it through the REST API."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = threading.RLock()
        self.users: dict[str, StoredUser] = {}
        self.repos: dict[str, StoredRepo] = {}
        self.renamed: dict[str, str] = {}
        self.tokens: dict[str, str] = {}
        self.drafts_supported = True
        self.labels_as_strings = False
        self.numbered_pages: int | None = None  # how many pages may be asked for by number; None: all
        self.scopes: tuple[str, ...] | None = ("repo", "workflow")  # None: a token that does not tell them
        self.api_calls: dict[str, int] = {}
        self._ids = itertools.count(1001)

    # --- users and rights ---

    def user(self, login: str) -> StoredUser:
        """The user of that login, made where there is none yet."""
        if login not in self.users:
            self.users[login] = StoredUser(next(self._ids), login)
        return self.users[login]

    def add_token(self, login: str) -> str:
        token = secrets.token_hex(20)
        self.tokens[token] = self.user(login).login
        return token

    def right(self, repo: StoredRepo, login: str | None) -> str:
        """none, read, write or admin."""
        if login and (login == repo.owner or self.user(login).is_admin):
            return "admin"
        return repo.rights.get(login or "", "none" if repo.private else "read")

    def has_teams(self, repo: StoredRepo) -> bool:
        """True for an organization's repository: rights are given to teams there, not to people."""
        return self.user(repo.owner).kind == "Organization"

    def may(self, repo: StoredRepo, login: str | None, right: str) -> bool:
        return _RIGHTS.index(self.right(repo, login)) >= _RIGHTS.index(right)

    # --- repositories ---

    def add_repo(self, name: str, default_branch: str) -> StoredRepo:
        path = self.root / f"{name}.git"
        bare.create(path, default_branch)
        self.user(name.partition("/")[0])
        repo = StoredRepo(next(self._ids), name, path, default_branch)
        self.repos[name] = repo
        return repo

    def find(self, name: str) -> StoredRepo | None:
        """The repository of that name, in whatever case."""
        known = {full.lower(): repo for full, repo in self.repos.items()}
        return self.repos.get(name) or known.get(name.lower())

    def rename(self, name: str, new_name: str) -> None:
        repo = self.repos.pop(name)
        path = self.root / f"{new_name}.git"
        path.parent.mkdir(parents=True, exist_ok=True)
        repo.path = repo.path.rename(path)
        repo.name = new_name
        self.repos[new_name] = repo
        self.renamed[name] = new_name

    # --- issues ---

    def add_issue(
        self,
        repo: StoredRepo,
        title: str,
        body: str,
        author: str,
        *,
        created_at: datetime | None = None,
        labels: tuple[str, ...] = (),
        assignees: tuple[str, ...] = (),
        pull: StoredPull | None = None,
    ) -> StoredIssue:
        created = created_at or now()
        number = len(repo.issues) + 1
        issue = StoredIssue(next(self._ids), number, title, body, author, created, created)
        issue.assignees = list(assignees)
        issue.pull = pull
        self.set_labels(repo, issue, labels)
        repo.issues[number] = issue
        return issue

    def set_labels(self, repo: StoredRepo, issue: StoredIssue, labels: tuple[str, ...]) -> None:
        for label in labels:
            repo.labels.setdefault(label, next(self._ids))
        issue.labels = list(dict.fromkeys(labels))

    def add_comment(
        self, issue: StoredIssue, author: str, body: str, created_at: datetime | None = None
    ) -> StoredComment:
        at = created_at or now()
        comment = StoredComment(next(self._ids), issue.number, author, body, at, at)
        issue.comments.append(comment)
        issue.updated_at = max(issue.updated_at, at)
        return comment

    def comment(self, repo: StoredRepo, comment_id: int) -> StoredComment | None:
        every = itertools.chain.from_iterable(issue.comments for issue in repo.issues.values())
        return next((comment for comment in every if comment.id == comment_id), None)

    def add_review(self, issue: StoredIssue, author: str, state: str, body: str) -> StoredReview:
        assert issue.pull is not None
        review = StoredReview(next(self._ids), author, state, body, now())
        issue.pull.reviews.append(review)
        issue.updated_at = now()
        return review

    def set_state(self, issue: StoredIssue, state: str) -> None:
        issue.state = state
        issue.updated_at = now()
        issue.closed_at = now() if state == "closed" else None

    # --- pull requests ---

    def create_pull(
        self,
        repo: StoredRepo,
        author: str,
        title: str,
        body: str,
        head: str,
        base: str,
        *,
        draft: bool = False,
        head_repo: str = "",
    ) -> StoredIssue:
        """Raises Rejected with "head" or "base" where there is no such branch, "same" and "exists"."""
        source = self.repos[head_repo] if head_repo else repo
        refs = bare.refs(source.path)
        if f"refs/heads/{head}" not in refs:
            raise Rejected("head")
        base_sha = bare.refs(repo.path).get(f"refs/heads/{base}")
        if base_sha is None:
            raise Rejected("base")
        if head == base and source is repo:
            raise Rejected("same")
        if any(
            issue.pull
            and (issue.pull.head, issue.pull.base, issue.pull.head_repo) == (head, base, source.name)
            for issue in self.open_pulls(repo)
        ):
            raise Rejected("exists")
        pull = StoredPull(head, base, source.name, refs[f"refs/heads/{head}"], base_sha, draft)
        issue = self.add_issue(repo, title, body, author, pull=pull)
        if source is repo:
            bare.update_ref(repo.path, f"refs/pull/{issue.number}/head", pull.head_sha)
        return issue

    def open_pulls(self, repo: StoredRepo) -> list[StoredIssue]:
        return [issue for issue in repo.issues.values() if issue.pull and issue.state == "open"]

    def follow_heads(self, repo: StoredRepo) -> None:
        """Move open pull requests to where their branches are now; a branch that is gone closes its own."""
        with self.lock:
            own = [i for i in repo.issues.values() if i.pull and i.pull.head_repo == repo.name]
            refs = bare.refs(repo.path) if own else {}
            for issue in own:
                assert issue.pull is not None
                sha = refs.get(f"refs/heads/{issue.pull.head}", "")
                issue.pull.is_branch_gone = not sha
                if issue.state == "open" and not sha:
                    self.set_state(issue, "closed")
                if issue.state == "open" and sha and sha != issue.pull.head_sha:
                    issue.pull.head_sha = sha
                    issue.updated_at = now()
                    bare.update_ref(repo.path, f"refs/pull/{issue.number}/head", sha)

    def merge(self, repo: StoredRepo, issue: StoredIssue, author: str) -> None:
        """Merge, and close the issues that title and body say it closes. Raises Rejected on a conflict."""
        pull = issue.pull
        assert pull is not None
        self.follow_heads(repo)
        commit = bare.merge(
            repo.path, pull.base, pull.head_sha, f"Merge pull request #{issue.number}", author
        )
        if not commit:
            raise Rejected("conflict")
        pull.merge_commit = commit
        pull.merged_at = now()
        self.set_state(issue, "closed")
        for number in _CLOSES.findall(f"{issue.title}\n{issue.body}"):
            closed = repo.issues.get(int(number))
            if closed is not None and closed.pull is None and closed.state == "open":
                self.set_state(closed, "closed")
