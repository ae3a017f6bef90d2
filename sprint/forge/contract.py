"""What the rest of the program may ask of a forge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Protocol

from sprint.config import ForgeKind
from sprint.domain import Comment, Issue, PullRequest, Repository, Secret
from sprint.git import Remote


@dataclass(frozen=True)
class Rights:
    """What our account and token may do with a repository that they can read. None: the forge does not tell.

    `scopes` are the token's own, where it is of a kind that has them.
    """

    login: str
    can_push: bool | None = None
    can_comment: bool | None = None
    can_change_workflows: bool | None = None
    scopes: tuple[str, ...] | None = None
    expires_at: datetime | None = None


class Forge(Protocol):
    """One forge server, with one account's token. Every method raises ForgeError, and nothing else.

    Nothing is cached except who we are; every call is at least one request unless said otherwise.
    """

    kind: ForgeKind
    url: str
    token: Secret | None
    rights_needed: ClassVar[str]  # by the account and its token, for an operator

    def remote(self, repository: Repository) -> Remote:
        """Where the repository's git is served, with our token for it. Asks nothing."""
        ...

    def whoami(self) -> str:
        """Our login; "" without a token. One request, then remembered."""
        ...

    def repository(self, repo: str) -> Repository: ...

    def open_issue_count(self, repo: str) -> int | None:
        """How many issues are open, without pull requests; None where the forge does not tell."""
        ...

    def oldest_issues(self, repo: str, label: str = "") -> Iterator[Issue]:
        """Open issues, truly oldest first, without pull requests; pages are asked for as they are used.

        `label`: only those that have it, in whatever case.
        """
        ...

    def issue(self, repo: str, number: int) -> Issue:
        """Raises ForgeError with status 404 for a pull request's number as for none."""
        ...

    def watch_issue(self, repo: str, number: int) -> Callable[[], Issue]:
        """What asks for that issue as `issue` does, again and again; where the forge marks its answers, an
        unchanged one is not sent twice and counts against no limit."""
        ...

    def comments(self, repo: str, number: int) -> list[Comment]: ...

    def commented_since(self, repo: str, since: datetime) -> set[int] | None:
        """The issues on which a comment was made or edited since then, by the forge's clock; None where it
        does not tell, or where it is too much. One request for each 50 or 100 comments."""
        ...

    def clock(self) -> datetime:
        """The time at the forge, as of its last answer; ours where there was none. Asks nothing."""
        ...

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

    def branch_rules(self, repo: str, branch: str) -> list[str] | None:
        """What the forge's rules say against our push to a branch of that name, which need not exist; None
        where it does not tell us."""
        ...

    def rights(self, repo: str) -> Rights:
        """What we may do there; raises ForgeError where we cannot even read it."""
        ...
