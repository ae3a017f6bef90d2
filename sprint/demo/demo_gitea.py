"""A small Gitea on loopback: git over HTTP, and the part of the REST API that `sprint demo` asks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sprint.demo import git_server
from sprint.demo.git_server import Commit
from sprint.demo.gitea_api import Call, GiteaApi
from sprint.demo.loopback import Answer, LoopbackServer, Request
from sprint.demo.store import Store, StoredIssue, StoredRepo

_GIT_PATH = re.compile(r"/(?P<repo>[^/]+/[^/]+?)(\.git)?(?P<rest>/(info/refs|git-(upload|receive)-pack))")


class DemoGitea(LoopbackServer):
    """A Gitea whose runner's account is `login`, with `token`; repositories live below `root`.

    `url` is what a configuration holds.
    """

    kind = "gitea"

    def __init__(self, root: Path, login: str = "sprint-bot") -> None:
        super().__init__()
        self.login = login
        self.store = Store(root)
        self.token = self.store.add_token(login)
        self.api = GiteaApi()

    def answer(self, request: Request) -> Answer:
        tokens = self.store.tokens
        login = next((tokens[token] for token in request.credentials if token in tokens), None)
        if request.path.startswith(self.api.prefix):
            with self.store.lock:
                call = Call(self.store, request, self.url, login)
                return self.api.answer(call, request.path.removeprefix(self.api.prefix))
        if found := _GIT_PATH.fullmatch(request.path):
            return self.serve_git(request, found["repo"], found["rest"], login)
        return Answer(404, b"<html><title>Page Not Found</title></html>", {"Content-Type": "text/html"})

    def serve_git(self, request: Request, name: str, path_info: str, login: str | None) -> Answer:
        repo = self.store.find(name)
        if repo is None or not self.store.may(repo, login, "read"):
            if login is None:
                return self.challenge()
            return Answer(404, b"Repository not found\n", {"Content-Type": "text/plain"})
        return git_server.serve(request, repo.path, path_info, login or "")

    def challenge(self) -> Answer:
        return Answer(401, b"Unauthorized\n", {"WWW-Authenticate": f'Basic realm="{self.api.realm}"'})

    def add_repo(self, name: str, *, commits: Sequence[Commit]) -> StoredRepo:
        return self.store.add_repo(name, commits=commits)

    def issues(self, repo: str) -> list[StoredIssue]:
        """Every issue in any state, oldest first."""
        return [issue for issue in self.store.repos[repo].issues.values() if not issue.pull]

    def pulls(self, repo: str) -> list[StoredIssue]:
        """Every pull request in any state, oldest first."""
        return [issue for issue in self.store.repos[repo].issues.values() if issue.pull]
