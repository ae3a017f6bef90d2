"""What the rest of the program may ask of a forge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from msgspec import Struct

from sprint.config import ForgeKind
from sprint.domain import Comment, Issue, PublicText, PullRequest, Remark, Repository, Secret, Status

if TYPE_CHECKING:
    from sprint.git import Remote


class Rights(Struct, frozen=True):
    """What our account and token may do with a repository that they can read; None where nobody tells."""

    login: str
    can_push: bool | None = None
    can_comment: bool | None = None


class Forge(Protocol):
    """One forge server, with one account's token. Every method raises ForgeError, and nothing else.

    Nothing is cached except who we are; every call is at least one request unless said otherwise.
    """

    kind: ForgeKind
    url: str
    token: Secret | None
    rights_needed: ClassVar[str]  # by the account and its token, for an operator
    workflows: ClassVar[tuple[str, ...]]  # whose it runs itself, by their names in policy/ci.py

    def remote(self, repository: Repository) -> Remote:
        """Where the repository's git is served, with our token for it. Asks nothing."""
        ...

    def whoami(self) -> str:
        """Our login; "" without a token. One request, then remembered."""
        ...

    def repository(self, repo: str) -> Repository: ...

    def writable(self) -> list[str]:
        """The repositories that our account may push to, as far as the forge lists them at once: 50 or 100.
        One request."""
        ...

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

    def pulls_of_branch(self, repo: str, branch: str, *, head_repo: str = "") -> list[PullRequest]:
        """Those whose head is that branch of this very repository, or of the fork `head_repo` (OWNER/REPO),
        in any state, newest first."""
        ...

    def is_reviewed(self, repo: str, pull: PullRequest) -> bool:
        """True where a person (not us, not a bot) reviewed it or commented on it."""
        ...

    def create_pull(
        self,
        repo: str,
        *,
        title: PublicText,
        body: PublicText,
        head: str,
        base: str,
        draft: bool,
        head_repo: str = "",
    ) -> PullRequest:
        """From the branch `head` of this repository, or of the fork `head_repo`. Where there is one of the
        same branches, that one."""
        ...

    def find_fork(self, repository: Repository) -> Repository | None:
        """Our account's fork of it, None where there is none that shows. Raises ForgeError where there is one
        that work on it must not be pushed to."""
        ...

    def fork(self, repository: Repository) -> Repository:
        """The same, made where there is none: once, however often it is asked for. It may still be empty:
        forges copy in their own time."""
        ...

    def update_pull(self, repo: str, number: int, *, title: PublicText, body: PublicText) -> None: ...

    def remarks(self, repo: str, number: int) -> list[Remark]:
        """What was said at a pull request, also by us and at lines of its diff, in no order. Three requests,
        and on Gitea one more for each review."""
        ...

    def statuses(self, repo: str, sha: str) -> list[Status]:
        """What CI says of a commit by its full id, the newest of each check; empty where nothing reported."""
        ...

    def failure_logs(self, repo: str, sha: str) -> dict[str, str]:
        """What failed jobs of CI printed at a commit, the end of it, by the job's name. Empty where the forge
        gives none; that it is asked for advice only, and fails, is no failure."""
        ...

    def held_runs(self, repo: str, sha: str = "") -> list[str] | None:
        """The workflows at a commit (or lately) that wait for a person to let them run, by their names; None
        where we may not read what CI did, logs included. One request."""
        ...

    def can_label(self, repo: str) -> bool:
        """Whether labels may be made and set by us. One request, by which none is made."""
        ...

    def pushers(self, repo: str, pull: PullRequest) -> set[str] | None:
        """Who pushed to its branch since it was opened, in lower case; None where the forge does not tell."""
        ...

    def answer(self, repo: str, number: int, remark: Remark, body: PublicText) -> None:
        """Answer a remark at a line in its own thread; where the forge cannot, in a new one at that line."""
        ...

    def ask_for_review(self, repo: str, number: int, logins: Sequence[str]) -> None: ...

    def add_label(self, repo: str, number: int, label: str) -> bool:
        """Label an issue or pull request; the label is made where it is missing. False: we may not."""
        ...

    def remove_label(self, repo: str, number: int, label: str) -> None:
        """Take a label off an issue or pull request; done where it has none such, or we may not."""
        ...

    def recent_own_issues(self, repo: str) -> list[Issue]:
        """The newest that our account opened, in any state, 50 or 100 of them at most. One request."""
        ...

    def create_issue(self, repo: str, title: PublicText, body: PublicText) -> Issue:
        """Where it turns out that an attempt made it, that one."""
        ...

    def edit_issue(self, repo: str, number: int, body: PublicText) -> None: ...

    def add_comment(self, repo: str, number: int, body: PublicText) -> Comment: ...

    def edit_comment(self, repo: str, comment_id: int, body: PublicText) -> None: ...

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

    def must_be_current(self, repo: str, pull: PullRequest) -> bool | None:
        """Whether a pull request has to have its base merged in before it can be merged; None where that is
        not told now, False also where we may not ask. One request."""
        ...

    def rights(self, repo: str) -> Rights:
        """What we may do there; raises ForgeError where we cannot even read it."""
        ...
