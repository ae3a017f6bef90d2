"""The embedded forge: REST in Gitea's or GitHub's dialect and git over HTTP, on loopback."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from sprint.demo import bare, gitea_api, github_api, refusals
from sprint.demo.api import Call, credentials
from sprint.demo.bare import Commit
from sprint.demo.git_http import serve_git
from sprint.demo.http_messages import Answer, Fault, Request, Seen
from sprint.demo.loopback import LoopbackServer
from sprint.demo.store import Store, StoredComment, StoredIssue, StoredRepo, now

Kind = Literal["gitea", "github"]
_GIT_PATH = re.compile(
    r"/(?P<repo>[^/]+/[^/]+?)(\.git)?(?P<rest>/(info/refs|git-(upload|receive)-pack|HEAD|objects/.*))"
)
_DIALECTS = {"gitea": gitea_api.DIALECT, "github": github_api.DIALECT}
__all__ = ["Commit", "DemoForge", "Fault"]


class DemoForge:
    """A forge with one account for the runner, `login`, whose token is `token`.

    `url` is what a configuration holds: the API is at `url`/api/v1 for gitea, at `url`/api/v3 for github.
    Serves from entering the context to leaving it; repositories live below `root`.
    """

    def __init__(self, kind: Kind = "gitea", root: Path = Path(), *, login: str = "sprint-bot") -> None:
        self.kind = kind
        self.login = login
        self.store = Store(root)
        self.token = self.store.add_token(login)
        self._server = LoopbackServer(self._answer, lambda: list(self.store.tokens))
        self.faults: list[Fault] = self._server.faults
        self._dialect = _DIALECTS[kind]

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def api_url(self) -> str:
        return self.url + self._dialect.prefix

    @property
    def requests(self) -> list[Seen]:
        return self._server.requests

    def _answer(self, request: Request) -> Answer:
        login, settled = credentials(request, self.store.tokens)
        path = request.path
        if path.startswith(self._dialect.prefix):
            request.body()  # before the lock: a slow body must not hold up the others
            with self.store.lock:
                call = Call(self.store, request, self.url, login)
                return self._dialect.answer(call, path.removeprefix(self._dialect.prefix), settled)
        if found := _GIT_PATH.fullmatch(path):
            return self._git(request, found["repo"], found["rest"], login, settled)
        return Answer(404, b"<html><title>Page Not Found</title></html>", {"Content-Type": "text/html"})

    def _git(self, request: Request, name: str, rest: str, login: str | None, settled: bool) -> Answer:
        if name in self.store.renamed:
            query = f"?{request.query_string}" if request.query_string else ""
            return Answer(301, b"", {"Location": f"/{self.store.renamed[name]}{rest}{query}"})
        repo = self.store.find(name)
        pushes = "git-receive-pack" in f"{rest}?{request.query_string}"
        if not settled or (login is None and (pushes or repo is None or repo.private)):
            words = b"Unauthorized\n" if settled else b"Failed to authenticate user\n"
            return Answer(401, words, {"WWW-Authenticate": f'Basic realm="{self._dialect.realm}"'})
        if repo is None or not self.store.may(repo, login, "read"):
            return Answer(404, b"Repository not found\n", {"Content-Type": "text/plain"})
        may_write = self.store.may(repo, login, "write")
        if pushes and (repo.archived or (not may_write and self.kind == "github")):
            denied = f"Permission to {repo.name}.git denied to {login}."
            reason = refusals.ARCHIVED[self.kind] if repo.archived else denied
            return Answer(403, f"{reason}\n".encode(), {"Content-Type": "text/plain"})
        if pushes and not may_write:
            bare.install_hook(repo.path)
        return serve_git(
            request,
            repo.path,
            rest,
            login or "",
            lambda: self.store.follow_heads(repo),
            refusal="" if may_write else "User permission denied for writing.",
        )

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
            bare.commit(repo.path, default_branch, [*first, *commits])
        return repo

    def grant(self, repo: str, login: str, right: str = "write") -> None:
        self.repo(repo).rights[self.store.user(login).login] = right

    def rename_repo(self, repo: str, new_name: str) -> None:
        self.store.rename(repo, new_name)

    def commit(self, repo: str, branch: str, message: str, files: Mapping[str, str | bytes | None]) -> str:
        """A commit of somebody else's on a branch; returns its id. A new branch starts at the default one."""
        path = self.path(repo)
        known = bare.refs(path)
        start = known.get(f"refs/heads/{self.repo(repo).default_branch}")
        if f"refs/heads/{branch}" not in known and start:
            bare.update_ref(path, f"refs/heads/{branch}", start)
        return bare.commit(path, branch, [Commit(message, files)])

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

    def add_review(self, repo: str, number: int, author: str, state: str = "COMMENT", body: str = "") -> None:
        with self.store.lock:
            self.store.add_review(self.issue(repo, number), author, state, body)

    def add_dependency(self, repo: str, number: int, blocked_by: int) -> None:
        self.issue(repo, number).blocked_by.append(blocked_by)

    # --- changing things ---

    def delete_branch(self, repo: str, branch: str) -> None:
        bare.git(self.path(repo), "update-ref", "-d", f"refs/heads/{branch}")

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
        path = self.path(repo)
        with (path / "protected-refs").open("a") as protected:
            protected.write(f"refs/heads/{branch}\n")
        (path / "protected-message").write_text(refusals.PROTECTED[self.kind].format(branch=branch))
        bare.install_hook(path)

    def refuse_workflows(self, repo: str) -> None:
        """From now on pushes that change .github/workflows/ are rejected, as without the `workflow` scope."""
        (self.path(repo) / "no-workflows").write_text(refusals.NO_WORKFLOWS)
        bare.install_hook(self.path(repo))

    # --- looking ---

    def repo(self, name: str) -> StoredRepo:
        return self.store.repos[name]

    def path(self, repo: str) -> Path:
        """The bare repository on disk."""
        return self.repo(repo).path

    def refs(self, repo: str) -> dict[str, str]:
        return bare.refs(self.path(repo))

    def file(self, repo: str, ref: str, name: str) -> str:
        return bare.show(self.path(repo), ref, name).decode()

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
