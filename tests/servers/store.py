"""What a forge of the tests holds, beyond what the demo's does."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sprint.demo import git_server, store
from sprint.demo.git_server import Commit
from sprint.demo.store import StoredComment, now

_CLOSES = re.compile(r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?)\b:?\s+#(\d+)", re.IGNORECASE)
_RIGHTS = ("none", "read", "write", "admin")
_SETTINGS = """\
[receive]
    hideRefs = refs/pull
[gc]
    auto = 0
[core]
    fsync = none
"""


class Rejected(Exception):
    """The forge says no: why, in the store's words; each dialect has its own status and text for it."""


@dataclass
class StoredUser:
    id: int
    login: str
    kind: str = "User"  # User, Organization or Bot
    is_admin: bool = False


@dataclass
class StoredLine:
    """A comment at a line of the diff."""

    id: int
    author: str
    body: str
    path: str
    line: int
    created_at: datetime
    updated_at: datetime
    old_line: int = 0


@dataclass
class StoredReview:
    id: int
    author: str
    state: str
    body: str
    submitted_at: datetime
    lines: list[StoredLine] = field(default_factory=list)
    dismissed: bool = False


@dataclass
class StoredPull(store.StoredPull):
    """`head_repo` is OWNER/REPO."""

    head_repo: str = ""
    head_sha: str = ""
    base_sha: str = ""
    draft: bool = False
    merged_at: datetime | None = None
    merge_commit: str = ""
    is_branch_gone: bool = False
    reviews: list[StoredReview] = field(default_factory=list)
    pushers: list[str] = field(default_factory=list)  # whoever pushed since it was opened
    asked: list[str] = field(default_factory=list)  # whose review was asked for


@dataclass
class StoredIssue(store.StoredIssue):
    pull: StoredPull | None = None
    assignees: list[str] = field(default_factory=list)
    closed_at: datetime | None = None
    locked: bool = False
    blocked_by: list[int] = field(default_factory=list)
    original_author: str = ""  # of a migrated issue; `author` is who migrated it then


@dataclass
class StoredRepo(store.StoredRepo):
    """`rights` are those of the users who are not its owner; `labels` have ids."""

    private: bool = False
    archived: bool = False
    protected: list[str] = field(default_factory=list)  # branches that nobody may push to
    strict: list[str] = field(default_factory=list)  # into which only what is up to date is merged
    has_issues: bool = True
    has_pulls: bool = True
    has_dependencies: bool = True
    rights: dict[str, str] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    logs: dict[str, dict[str, str]] = field(default_factory=dict)  # of failed jobs, by commit and job
    held: list[str] = field(default_factory=list)  # commits whose CI waits for a person to let it run
    fork_of: str = ""  # OWNER/REPO
    unready: int = 0  # how many questions to its git find it empty yet

    @property
    def owner(self) -> str:
        return self.name.partition("/")[0]


class Store(store.Store):
    repo_class = StoredRepo
    issue_class = StoredIssue
    repos: dict[str, StoredRepo]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.users: dict[str, StoredUser] = {}
        self.renamed: dict[str, str] = {}
        self.drafts_supported = True
        self.labels_as_strings = False
        self.slow_forks = 0  # `unready` of those that are made
        self.numbered_pages: int | None = None  # how many pages may be asked for by number; None: all
        self.scopes: tuple[str, ...] | None = ("repo", "workflow")  # None: a token that does not tell them
        self.api_calls: dict[str, int] = {}

    # --- users and rights ---

    def user(self, login: str) -> StoredUser:
        """The user of that login, made where there is none yet."""
        if login not in self.users:
            self.users[login] = StoredUser(next(self._ids), login)
        return self.users[login]

    def add_token(self, login: str) -> str:
        return super().add_token(self.user(login).login)

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

    def add_repo(self, name: str, default_branch: str = "main", commits: Sequence[Commit] = ()) -> StoredRepo:
        repo = super().add_repo(name, default_branch, commits)
        with (repo.path / "config").open("a") as config:
            config.write(_SETTINGS)
        self.user(repo.owner)
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
        *args: Any,
        labels: Sequence[str] = (),
        assignees: Sequence[str] = (),
        **more: Any,
    ) -> StoredIssue:
        issue = super().add_issue(repo, *args, **more)
        issue.assignees = list(assignees)
        self.set_labels(repo, issue, labels)
        return issue

    def set_labels(self, repo: StoredRepo, issue: StoredIssue, labels: Sequence[str]) -> None:
        for label in labels:
            repo.labels.setdefault(label, next(self._ids))
        issue.labels = list(dict.fromkeys(labels))

    def comment(self, repo: StoredRepo, comment_id: int) -> StoredComment | None:
        every = itertools.chain.from_iterable(issue.comments for issue in repo.issues.values())
        return next((comment for comment in every if comment.id == comment_id), None)

    def add_review(self, issue: StoredIssue, author: str, state: str, body: str) -> StoredReview:
        assert issue.pull is not None
        review = StoredReview(next(self._ids), author, state, body, now())
        if state in ("APPROVED", "REQUEST_CHANGES"):  # what one says last is what counts of them
            for earlier in issue.pull.reviews:
                earlier.dismissed |= earlier.author == author and earlier.state == "REQUEST_CHANGES"
        issue.pull.reviews.append(review)
        issue.updated_at = now()
        return review

    def add_line(
        self,
        issue: StoredIssue,
        review: StoredReview,
        author: str,
        body: str,
        path: str,
        line: int,
        old: int = 0,
    ) -> StoredLine:
        made = StoredLine(next(self._ids), author, body, path, line, now(), now(), old)
        review.lines.append(made)
        issue.updated_at = now()
        return made

    def name_label(self, repo: StoredRepo, name: str) -> None:
        repo.labels.setdefault(name, next(self._ids))

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
        refs = git_server.refs(source.path)
        if f"refs/heads/{head}" not in refs:
            raise Rejected("head")
        base_sha = git_server.refs(repo.path).get(f"refs/heads/{base}")
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
        follow_head(repo, issue.number, source, pull)
        return issue

    def open_pulls(self, repo: StoredRepo) -> list[StoredIssue]:
        return [issue for issue in repo.issues.values() if issue.pull and issue.state == "open"]

    def follow_heads(self, repo: StoredRepo, pusher: str = "somebody") -> None:
        """Move open pull requests to where their branches are now; a branch that is gone closes its own."""
        with self.lock:
            known: dict[str, dict[str, str]] = {}
            for issue in [i for i in repo.issues.values() if i.pull and i.pull.head_repo in self.repos]:
                assert issue.pull is not None
                source = issue.pull.head_repo
                refs = known.setdefault(source, git_server.refs(self.repos[source].path))
                sha = refs.get(f"refs/heads/{issue.pull.head}", "")
                issue.pull.is_branch_gone = not sha
                if issue.state == "open" and not sha:
                    self.set_state(issue, "closed")
                if issue.state == "open" and sha and sha != issue.pull.head_sha:
                    issue.pull.head_sha = sha
                    issue.pull.pushers.append(pusher)
                    issue.updated_at = now()
                    follow_head(repo, issue.number, self.repos[source], issue.pull)

    def merge(self, repo: StoredRepo, issue: StoredIssue, author: str) -> None:
        """Merge, and close the issues that title and body say it closes. Raises Rejected on a conflict."""
        pull = issue.pull
        assert pull is not None
        self.follow_heads(repo)
        pull.merge_commit = _merge(
            repo, pull.base, pull.head_sha, f"Merge pull request #{issue.number}", author
        )
        pull.merged_at = now()
        self.set_state(issue, "closed")
        for number in _CLOSES.findall(f"{issue.title}\n{issue.body}"):
            closed = repo.issues.get(int(number))
            if closed is not None and closed.pull is None and closed.state == "open":
                self.set_state(closed, "closed")


def follow_head(repo: StoredRepo, number: int, source: StoredRepo, pull: StoredPull) -> None:
    """Have the repository itself hold what is proposed to it, also from a fork."""
    ref = f"refs/pull/{number}/head"
    if source is repo:
        update_ref(repo, ref, pull.head_sha)
        return
    wanted = f"+refs/heads/{pull.head}:{ref}"
    git_server.run_git(
        repo.path,
        *("fetch", "--quiet", "--no-auto-maintenance", str(source.path), wanted),
    )


def update_ref(repo: StoredRepo, ref: str, sha: str) -> None:
    """As git does: a new file in place of another."""
    path = repo.path / ref
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f"{path.name}.lock")
    lock.write_text(f"{sha}\n")
    lock.rename(path)


def _merge(repo: StoredRepo, base: str, head_sha: str, message: str, author: str) -> str:
    """Merge a commit into a branch; returns the merge commit's id. Raises Rejected on a conflict."""
    base_sha = git_server.refs(repo.path)[f"refs/heads/{base}"]
    try:
        tree = git_server.run_git(repo.path, "merge-tree", "--write-tree", base_sha, head_sha).split("\n")[0]
    except RuntimeError:
        raise Rejected("conflict") from None
    parents = ("-p", base_sha, "-p", head_sha)
    email = f"{author.lower().replace(' ', '.')}@example.org"
    who = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", author), ("EMAIL", email))
    }
    sha = git_server.run_git(repo.path, "commit-tree", tree, *parents, "-m", message, **who).strip()
    git_server.run_git(repo.path, "update-ref", f"refs/heads/{base}", sha, base_sha)
    return sha
