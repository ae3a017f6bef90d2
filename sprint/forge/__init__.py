"""What the rest of the program may ask of a forge, and the kinds there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from sprint.domain import Comment, Issue, PullRequest, Repository, Secret


class Forge(Protocol):
    """One forge server, with one account's token. Every method raises ForgeError, and nothing else.

    Nothing is cached except who we are; every call is at least one request unless said otherwise.
    """

    kind: str
    url: str
    token: Secret | None

    def whoami(self) -> str:
        """Our login; "" without a token. One request, then remembered."""
        ...

    def repository(self, repo: str) -> Repository: ...

    def oldest_issues(self, repo: str) -> Iterator[Issue]:
        """Open issues, truly oldest first, without pull requests; pages are asked for as they are used."""
        ...

    def issue(self, repo: str, number: int) -> Issue:
        """Raises ForgeError with status 404 for a pull request's number as for none."""
        ...

    def comments(self, repo: str, number: int) -> list[Comment]: ...

    def open_blockers(self, repo: str, issue: Issue) -> list[int]:
        """Numbers of open issues that block it; empty where the forge has no dependencies."""
        ...

    def open_pulls(self, repo: str) -> list[PullRequest]: ...

    def pull(self, repo: str, number: int) -> PullRequest: ...

    def pulls_of_branch(self, repo: str, branch: str) -> list[PullRequest]:
        """Those whose head is that branch of this very repository, in any state, newest first."""
        ...

    def is_reviewed(self, repo: str, pull: PullRequest) -> bool:
        """True where a person (not us, not a bot) reviewed it or commented on it."""
        ...

    def create_pull(
        self, repo: str, *, title: str, body: str, head: str, base: str, draft: bool
    ) -> PullRequest: ...

    def update_pull(self, repo: str, number: int, *, title: str, body: str) -> None: ...

    def add_comment(self, repo: str, number: int, body: str) -> Comment: ...

    def edit_comment(self, repo: str, comment_id: int, body: str) -> None: ...

    def can_write(self, repo: str, user: str) -> bool | None:
        """Whether a user has write access; None where we may not ask."""
        ...

    def read(self, repo: str, path: str, params: Mapping[str, str]) -> Any:
        """GET on a path below the repository's own API address ("issues/3"), as parsed JSON.

        For the model: refuses anything that leaves the repository, and never follows it elsewhere.
        """
        ...
