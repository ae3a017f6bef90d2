"""The forges of the tests: Gitea's or GitHub's REST API and git over HTTP, on loopback."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from sprint.demo import git_server
from sprint.demo.demo_gitea import DemoGitea
from sprint.demo.git_server import Commit
from sprint.demo.loopback import Answer, Request
from sprint.demo.store import StoredComment, now
from tests.servers import forks, refusals
from tests.servers.gitea import Gitea
from tests.servers.github import GitHub
from tests.servers.loopback import Fault, FaultyServer
from tests.servers.store import Store, StoredIssue, StoredRepo, update_ref

Kind = Literal["gitea", "github"]
_APIS = {"gitea": Gitea, "github": GitHub}
__all__ = ["Commit", "DemoForge", "Fault"]


class DemoForge(FaultyServer, DemoGitea):
    """A forge with one account for the runner, `login`, whose token is `token`.

    `url` is what a configuration holds: the API is at `url`/api/v1 for gitea, at `url`/api/v3 for github.
    Serves from entering the context to leaving it; repositories live below `root`.
    """

    def __init__(self, kind: Kind = "gitea", root: Path = Path(), *, login: str = "sprint-bot") -> None:
        super().__init__(root, login)
        self.kind = kind
        self.store = Store(root)
        self.token = self.store.add_token(login)
        self.api = _APIS[kind]()

    def secrets(self) -> list[str]:
        return list(self.store.tokens)

    @property
    def api_url(self) -> str:
        return self.url + self.api.prefix

    def serve_git(self, request: Request, name: str, path_info: str, login: str | None) -> Answer:
        if name in self.store.renamed:
            query = f"?{request.query_string}" if request.query_string else ""
            return Answer(301, b"", {"Location": f"/{self.store.renamed[name]}{path_info}{query}"})
        if login is None and request.headers.get("authorization"):
            return Answer(401, b"Failed to authenticate user\n", self.challenge().headers)
        pushes = "git-receive-pack" in f"{path_info}?{request.query_string}"
        if pushes and login is None:
            return self.challenge()
        repo = self.store.find(name)
        if repo is not None and request.query_string:
            forks.asked_for(self.store, repo)
        if pushes and repo is not None and self.store.may(repo, login, "read"):
            may_write = self.store.may(repo, login, "write")
            if repo.archived or (not may_write and self.kind == "github"):
                denied = f"Permission to {repo.name}.git denied to {login}."
                reason = refusals.ARCHIVED[self.kind] if repo.archived else denied
                return Answer(403, f"{reason}\n".encode(), {"Content-Type": "text/plain"})
            if not may_write:
                refusals.install(repo.path)
                return git_server.serve(request, repo.path, path_info, f"reader:{login}")
        made = super().serve_git(request, name, path_info, login)
        if pushes and repo is not None:
            self.store.follow_heads(self.store.repos.get(repo.fork_of, repo), login or "somebody")
        return made

    # --- making things ---

    def add_user(self, login: str, *, kind: str = "User", admin: bool = False) -> str:
        """A user; returns a token of theirs."""
        user = self.store.user(login)
        user.kind, user.is_admin = kind, admin
        return self.store.add_token(login)

    def add_repo(
        self,
        name: str,
        files: Mapping[str, str | bytes] | None = None,
        default_branch: str = "main",
        *,
        commits: Sequence[Commit] = (),
        right: str = "write",
        private: bool = False,
        archived: bool = False,
        has_issues: bool = True,
        has_pulls: bool = True,
        has_dependencies: bool = True,
    ) -> StoredRepo:
        """A repository on which `login` has `right`; with neither files nor commits an empty one."""
        repo = self.store.add_repo(name, default_branch)
        repo.private, repo.archived = private, archived
        repo.has_issues, repo.has_pulls, repo.has_dependencies = has_issues, has_pulls, has_dependencies
        if right != "none":
            repo.rights[self.login] = right
        first = [Commit("Start", dict(files))] if files else []
        if first or commits:
            git_server.commit(repo.path, default_branch, [*first, *commits])
        return repo

    def grant(self, repo: str, login: str, right: str = "write") -> None:
        self.repo(repo).rights[self.store.user(login).login] = right

    def rename_repo(self, repo: str, new_name: str) -> None:
        self.store.rename(repo, new_name)

    def commit(self, repo: str, branch: str, message: str, files: Mapping[str, str | bytes | None]) -> str:
        """A commit of somebody else's on a branch; returns its id. A new branch starts at the default one."""
        path = self.path(repo)
        known = git_server.refs(path)
        start = known.get(f"refs/heads/{self.repo(repo).default_branch}")
        if f"refs/heads/{branch}" not in known and start:
            update_ref(self.repo(repo), f"refs/heads/{branch}", start)
        return git_server.commit(path, branch, [Commit(message, files)])

    def add_issue(
        self,
        repo: str,
        title: str,
        body: str = "",
        *,
        labels: Sequence[str] = (),
        author: str | None = None,
        assignees: Sequence[str] = (),
        created_at: datetime | None = None,
        comments: Sequence[tuple[str, str]] = (),
        locked: bool = False,
    ) -> int:
        """An issue, by the repository's owner where no author is named; `comments` are (author, body)."""
        stored = self.repo(repo)
        with self.store.lock:
            who = stored.owner if author is None else author
            issue = self.store.add_issue(
                stored,
                title,
                body,
                who,
                created_at=created_at,
                labels=tuple(labels),
                assignees=tuple(assignees),
            )
            issue.locked = locked
            for commenter, text in comments:
                self.store.add_comment(issue, commenter, text, created_at)
        return issue.number

    def bulk_issues(self, repo: str, count: int, *, label: str = "") -> None:
        """Many issues, one a minute, the last of them now."""
        start = now() - timedelta(minutes=count)
        labels = (label,) if label else ()
        for index in range(count):
            at = start + timedelta(minutes=index)
            self.add_issue(repo, f"Issue {index + 1}", "", created_at=at, labels=labels)

    def add_pull(
        self,
        repo: str,
        head: str,
        *,
        title: str = "A change",
        body: str = "",
        base: str = "",
        author: str = "somebody",
        head_repo: str = "",
        draft: bool = False,
    ) -> int:
        stored = self.repo(repo)
        with self.store.lock:
            base = base or stored.default_branch
            return self.store.create_pull(
                stored, author, title, body, head, base, draft=draft, head_repo=head_repo
            ).number

    def add_comment(self, repo: str, number: int, author: str, body: str) -> int:
        with self.store.lock:
            return self.store.add_comment(self.issue(repo, number), author, body).id

    def add_review(
        self,
        repo: str,
        number: int,
        author: str,
        state: str = "COMMENT",
        body: str = "",
        lines: Sequence[tuple[str, int, str]] = (),
    ) -> int:
        """A review; `lines` are (path, line, what is said there). Returns its id."""
        with self.store.lock:
            issue = self.issue(repo, number)
            review = self.store.add_review(issue, author, state, body)
            for path, line, text in lines:
                self.store.add_line(issue, review, author, text, path, line)
            return review.id

    def set_status(self, repo: str, sha: str, context: str, state: str, description: str = "") -> None:
        """What CI says of a commit; the newest of each context counts."""
        told = self.repo(repo).statuses.setdefault(sha, [])
        told[:] = [status for status in told if status["context"] != context]
        field = {"state": state, "status": state, "context": context}
        told.append({**field, "description": description, "target_url": ""})

    def add_dependency(self, repo: str, number: int, blocked_by: int) -> None:
        self.issue(repo, number).blocked_by.append(blocked_by)

    # --- changing things ---

    def delete_branch(self, repo: str, branch: str) -> None:
        git_server.run_git(self.path(repo), "update-ref", "-d", f"refs/heads/{branch}")

    def close_issue(self, repo: str, number: int) -> None:
        with self.store.lock:
            self.store.set_state(self.issue(repo, number), "closed")

    def reopen_issue(self, repo: str, number: int) -> None:
        with self.store.lock:
            self.store.set_state(self.issue(repo, number), "open")

    def edit_issue(
        self,
        repo: str,
        number: int,
        *,
        title: str | None = None,
        body: str | None = None,
        labels: Sequence[str] | None = None,
        assignees: Sequence[str] | None = None,
    ) -> None:
        with self.store.lock:
            issue = self.issue(repo, number)
            issue.title = issue.title if title is None else title
            issue.body = issue.body if body is None else body
            issue.assignees = issue.assignees if assignees is None else list(assignees)
            if labels is not None:
                self.store.set_labels(self.repo(repo), issue, tuple(labels))
            issue.updated_at = now()

    def lock(self, repo: str, number: int) -> None:
        self.issue(repo, number).locked = True

    def merge(self, repo: str, number: int, author: str = "Ada Example") -> str:
        """Merge a pull request, closing what it says it closes; returns the merge commit's id."""
        with self.store.lock:
            issue = self.issue(repo, number)
            self.store.merge(self.repo(repo), issue, author)
            assert issue.pull is not None
            return issue.pull.merge_commit

    def protect(self, repo: str, branch: str) -> None:
        """From now on pushes to the branch are rejected by a pre-receive hook."""
        self.repo(repo).protected.append(branch)
        refusals.protect(self.path(repo), branch, refusals.PROTECTED[self.kind].format(branch=branch))

    def want_current(self, repo: str, base: str) -> None:
        """From now on only what is up to date with that branch is merged into it."""
        self.repo(repo).strict.append(base)

    def refuse_workflows(self, repo: str) -> None:
        """From now on pushes that change .github/workflows/ are rejected, as without the `workflow` scope."""
        refusals.refuse_workflows(self.path(repo))

    # --- looking ---

    def repo(self, name: str) -> StoredRepo:
        return self.store.repos[name]

    def path(self, repo: str) -> Path:
        """The bare repository on disk."""
        return self.repo(repo).path

    def refs(self, repo: str) -> dict[str, str]:
        return git_server.refs(self.path(repo))

    def file(self, repo: str, ref: str, name: str) -> str:
        return git_server.run_git(self.path(repo), "cat-file", "blob", f"{ref}:{name}")

    def issue(self, repo: str, number: int) -> StoredIssue:
        return self.repo(repo).issues[number]

    def issues(self, repo: str) -> list[StoredIssue]:
        """Every issue in any state, oldest first."""
        return [issue for issue in self.repo(repo).issues.values() if not issue.pull]

    def pulls(self, repo: str) -> list[StoredIssue]:
        """Every pull request in any state, oldest first."""
        self.store.follow_heads(self.repo(repo))
        return [issue for issue in self.repo(repo).issues.values() if issue.pull]

    def comments(self, repo: str, number: int) -> list[StoredComment]:
        return list(self.issue(repo, number).comments)
