"""What the APIs of Gitea and GitHub have in common; each kind adds where it differs."""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import quote

from sprint.config import ForgeKind
from sprint.domain import (
    Comment,
    Issue,
    PublicText,
    PullRequest,
    Remark,
    Repository,
    Secret,
    Status,
    is_repo_name,
)
from sprint.errors import ForgeError
from sprint.forge import forks, remarks, wire
from sprint.forge.answer import Answer
from sprint.forge.http import NOT_MODIFIED, Api, Query
from sprint.forge.protocol import Rights
from sprint.forge.readable import readable

if TYPE_CHECKING:
    from sprint.git import Remote

# How many pages of comments are read to learn what moved, before each issue that matters is asked for itself.
RECENT_PAGES = 10

_MOST_RUNS = 10
_MOST_LOGS = 5
_LOG_TAIL = 20_000  # characters
_LINE_TIME = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]{8,20}Z ", re.MULTILINE)  # as each line of a log begins
_FAILED = ("failure", "timed_out")
_HELD = frozenset({"action_required", "waiting"})

_log = logging.getLogger(__name__)


class RestForge(ABC):
    """A forge with GitHub's manner of REST; see Forge for what the methods promise."""

    rights_needed: ClassVar[str]
    workflows: ClassVar[tuple[str, ...]]
    has_hash_colors: ClassVar[bool] = True

    def __init__(self, kind: ForgeKind, url: str, token: Secret | None, api: Api) -> None:
        self.kind = kind
        self.url = url
        self.token = token
        self.api = api
        self._login: str | None = None
        self._writers: dict[tuple[str, str], bool | None] = {}
        self._unasked: set[str] = set()  # repositories whose writers we may not ask for

    # --- where the kinds differ

    @classmethod
    @abstractmethod
    def connect(
        cls,
        kind: ForgeKind,
        url: str,
        token: Secret | None,
        *,
        token_from: str,
        patience: float,
        timeout: float,
    ) -> Self: ...

    @abstractmethod
    def oldest_issues(self, repo: str, label: str = "") -> Iterator[Issue]: ...

    @abstractmethod
    def commented_since(self, repo: str, since: datetime) -> set[int] | None: ...

    @abstractmethod
    def pulls_of_branch(self, repo: str, branch: str, *, head_repo: str = "") -> list[PullRequest]: ...

    @abstractmethod
    def open_blockers(self, repo: str, issue: Issue) -> list[int]: ...

    @abstractmethod
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
    ) -> PullRequest: ...

    @abstractmethod
    def _make_fork(self, repo: str, find: Callable[[], wire.RepoWire | None]) -> wire.RepoWire: ...

    @abstractmethod
    def branch_rules(self, repo: str, branch: str) -> list[str] | None: ...

    @abstractmethod
    def must_be_current(self, repo: str, pull: PullRequest) -> bool | None: ...

    @abstractmethod
    def rights(self, repo: str) -> Rights: ...

    @abstractmethod
    def _is_trusted(self, repo: str, text: wire.IssueWire | wire.CommentWire) -> bool | None: ...

    @abstractmethod
    def _line_comments(
        self, repo: str, number: int, reviews: Sequence[wire.ReviewWire]
    ) -> dict[int, list[wire.LineCommentWire]]:
        """What was said at lines of a pull request's diff, by the review that it belongs to."""

    @abstractmethod
    def statuses(self, repo: str, sha: str) -> list[Status]: ...

    @abstractmethod
    def pushers(self, repo: str, pull: PullRequest) -> set[str] | None: ...

    @abstractmethod
    def answer(self, repo: str, number: int, remark: Remark, body: PublicText) -> None: ...

    @abstractmethod
    def _may_write(self, repo: str, user: wire.User | None, association: str) -> bool | None: ...

    @abstractmethod
    def _label_key(self, label: wire.Label) -> str:
        """What stands for a label in a path."""

    @abstractmethod
    def _to_pull(self, pull: wire.PullWire) -> PullRequest: ...

    # --- who we are and where

    def whoami(self) -> str:
        if not self.token:
            return ""
        if self._login is None:
            self._login = wire.convert(self.api.get("user").data, wire.User, self._what("user")).login
        return self._login

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.api.ahead

    def remote(self, repository: Repository) -> Remote:
        from sprint.git import Remote

        return Remote(repository.clone_url, self.token)

    def open_issue_count(self, repo: str) -> int | None:
        return self.repository(repo).open_issues

    def repository(self, repo: str) -> Repository:
        return self._to_repository(repo, self.api.get(at(repo)))

    def writable(self) -> list[str]:
        found = self._items(self.api.get("user/repos", self._paging()), "user/repos", wire.RepoWire)
        known = [self._described(one) for one in found if is_repo_name(one.full_name)]
        return [one.name for one in known if one.can_push and not one.archived]

    def _to_repository(self, repo: str, answer: Answer) -> Repository:
        found = wire.convert(answer.data, wire.RepoWire, self._what(repo))
        if not is_repo_name(found.full_name):
            raise ForgeError(f"{self._what(repo)}: the forge gives it an impossible name")
        if not answer.redirected and found.full_name.lower() != repo.lower():
            raise ForgeError(f"{self._what(repo)}: the forge answers with another repository, not this one")
        return self._described(found)

    def _described(self, found: wire.RepoWire) -> Repository:
        return Repository(
            name=found.full_name,
            default_branch=found.default_branch,
            # Always on the host that the operator named: git sends the token there.
            clone_url=f"{self.url}/{found.full_name}.git",
            html_url=found.html_url,
            private=found.private,
            archived=found.archived or found.disabled,
            empty=self._is_empty(found),
            has_issues=found.has_issues,
            has_pulls=found.has_pull_requests,
            can_push=self._can_push(found),
            open_issues=found.open_issues_count,
        )

    def _is_empty(self, repo: wire.RepoWire) -> bool:
        return bool(repo.empty)

    def _can_push(self, repo: wire.RepoWire) -> bool | None:
        if repo.archived or repo.disabled or repo.mirror:
            return False
        return repo.permissions.push if repo.permissions else None

    # --- issues and comments

    def issue(self, repo: str, number: int) -> Issue:
        return self._issue_of(repo, number, self.api.get(f"{at(repo)}/issues/{number:d}"))

    def watch_issue(self, repo: str, number: int) -> Callable[[], Issue]:
        last: tuple[Answer, Issue] | None = None

        def look() -> Issue:
            nonlocal last
            path = f"{at(repo)}/issues/{number:d}"
            answer = self.api.again(last[0]) if last else self.api.get(path)
            if last is None or answer.status != NOT_MODIFIED:
                last = answer, self._issue_of(repo, number, answer)
            return last[1]

        return look

    def _issue_of(self, repo: str, number: int, answer: Answer) -> Issue:
        found = wire.convert(answer.data, wire.IssueWire, self._what(f"{repo}#{number}"))
        self._check_number(repo, number, found.number)
        if found.pull_request is not None:
            raise ForgeError(
                f"{self._what(repo)}: #{number} is a pull request; name the issue that it is for", status=404
            )
        if answer.redirected and self._moved_away(repo, number, found):
            raise ForgeError(f"{self._what(repo)}: #{number} was moved to another repository", status=404)
        return self._to_issue(repo, found)

    def _moved_away(self, repo: str, number: int, found: wire.IssueWire) -> bool:
        """True unless the redirect was only for the repository's own new name."""
        place = f"/{self.repository(repo).name}/issues/{number}"
        return not found.html_url.lower().endswith(place.lower())

    def comments(self, repo: str, number: int) -> list[Comment]:
        return [wire.comment(found, self._is_trusted(repo, found)) for found in self._comments(repo, number)]

    def _comments(self, repo: str, number: int) -> list[wire.CommentWire]:
        return self._all(f"{at(repo)}/issues/{number:d}/comments", wire.CommentWire)

    def add_comment(self, repo: str, number: int, body: PublicText) -> Comment:
        """Comment; where it is unclear whether an attempt did it, an equal comment of ours counts as made."""

        path = f"{at(repo)}/issues/{number:d}/comments"

        def find() -> wire.CommentWire | None:
            for found in reversed(self._comments(repo, number)):
                if wire.login(found.user) == self.whoami() and _same_text(found.body or "", body):
                    return found
            return None

        made = self._make(path, {"body": body}, wire.CommentWire, find)
        return wire.comment(made, self._is_trusted(repo, made))

    def recent_own_issues(self, repo: str) -> list[Issue]:
        me, path = self.whoami(), f"{at(repo)}/issues"
        found = self._items(
            self.api.get(path, {**self._opened_by(me), **self._paging()}), path, wire.IssueWire
        )
        own = [self._to_issue(repo, one) for one in found if one.pull_request is None]
        return [issue for issue in own if me and issue.author.lower() == me.lower()]

    @abstractmethod
    def _opened_by(self, login: str) -> Query:
        """What has the server list whatever an account opened, the newest first."""

    def create_issue(self, repo: str, title: PublicText, body: PublicText) -> Issue:
        path = f"{at(repo)}/issues"

        def find() -> Issue | None:
            same = (issue for issue in self.recent_own_issues(repo) if issue.title == title)
            return next(same, None)

        made = self.api.post(path, {"title": title, "body": body}, find=find)
        if isinstance(made, Issue):
            return made
        return self._to_issue(repo, wire.convert(made, wire.IssueWire, self._what(path)))

    def edit_issue(self, repo: str, number: int, body: PublicText) -> None:
        self.api.patch(f"{at(repo)}/issues/{number:d}", {"body": body})

    def edit_comment(self, repo: str, comment_id: int, body: PublicText) -> None:
        self.api.patch(f"{at(repo)}/issues/comments/{comment_id:d}", {"body": body})

    def can_write(self, repo: str, user: str) -> bool | None:
        if (repo, user) not in self._writers:
            self._writers[repo, user] = self._ask_can_write(repo, user)
        return self._writers[repo, user]

    def _ask_can_write(self, repo: str, user: str) -> bool | None:
        if user == self.whoami():
            return self.repository(repo).can_push
        if repo in self._unasked:
            return None
        path = f"{at(repo)}/collaborators/{quote(user, safe='')}/permission"
        try:
            found = wire.convert(self.api.get(path).data, wire.PermissionWire, self._what(path))
        except ForgeError as error:
            if error.status == 404:
                return False  # no such account, or no relation to this repository
            if error.status == 403 or is_unanswered(error):
                self._unasked.add(repo)
                return None
            raise
        return found.permission in ("owner", "admin", "maintain", "write")

    # --- pull requests

    def open_pulls(self, repo: str) -> list[PullRequest]:
        found = self._all(f"{at(repo)}/pulls", wire.PullWire, state="open")
        # One that was opened between two pages pushes another onto both.
        return list({pull.number: self._to_pull(pull) for pull in found}.values())

    def pull(self, repo: str, number: int) -> PullRequest:
        found = self._one(f"{at(repo)}/pulls/{number:d}", wire.PullWire)
        self._check_number(repo, number, found.number)
        return self._to_pull(found)

    def update_pull(self, repo: str, number: int, *, title: PublicText, body: PublicText) -> None:
        self.api.patch(f"{at(repo)}/pulls/{number:d}", {"title": title, "body": body})

    def is_reviewed(self, repo: str, pull: PullRequest) -> bool:
        me = self.whoami()

        def is_person(user: wire.User | None) -> bool:
            return wire.login(user).lower() not in (me.lower(), wire.GHOST) and not wire.is_bot(user)

        reviews = self._all(f"{at(repo)}/pulls/{pull.number:d}/reviews", wire.ReviewWire)
        # Gitea lists a review that was asked for, and one that is still being written.
        if any(is_person(r.user) and r.state not in ("REQUEST_REVIEW", "PENDING") for r in reviews):
            return True
        return any(is_person(comment.user) for comment in self._comments(repo, pull.number))

    # --- what a pull request of ours still needs

    def remarks(self, repo: str, number: int) -> list[Remark]:
        reviews = self._all(f"{at(repo)}/pulls/{number:d}/reviews", wire.ReviewWire)
        lines = self._line_comments(repo, number, reviews)

        def may(user: wire.User | None, association: str) -> bool | None:
            return self._may_write(repo, user, association)

        said = [
            remarks.of_comment(
                wire.comment(found, None),
                may(found.user, found.author_association),
                is_bot=wire.is_bot(found.user),
            )
            for found in self._comments(repo, number)
        ]
        return [*said, *remarks.of_reviews(reviews, lines, may)]

    def held_runs(self, repo: str, sha: str = "") -> list[str] | None:
        path = f"{at(repo)}/actions/runs"
        try:
            answer = self.api.get(path, {"head_sha": sha} if sha else {})
        except ForgeError as error:
            if error.status in (403, 404) or is_unanswered(error):  # Forgejo 11 and older servers have none
                return None
            raise
        found = wire.convert(answer.data, wire.WorkflowRunsWire, self._what(path)).workflow_runs or ()
        held = (run for run in found if sha in ("", run.head_sha) and {run.status, run.conclusion} & _HELD)
        return [run.name or str(run.id) for run in held]

    def can_label(self, repo: str) -> bool:
        try:
            self.api.post(f"{at(repo)}/labels", {})
        except ForgeError as error:
            # Rights are looked at first, then that no name was sent.
            if error.status in (403, 404, 410, 422, 423):
                return error.status == 422
            raise
        return True

    def failure_logs(self, repo: str, sha: str) -> dict[str, str]:
        logs: dict[str, str] = {}
        place = f"{at(repo)}/actions"
        try:
            answer = self.api.get(f"{place}/runs", {"head_sha": sha})
            found = wire.convert(answer.data, wire.WorkflowRunsWire, self._what(place))
            runs = [run.id for run in found.workflow_runs or () if run.head_sha == sha][:_MOST_RUNS]
            for job in self._failed_jobs(place, runs):
                if len(logs) == _MOST_LOGS:
                    break
                log = self.api.text(f"{place}/jobs/{job.id:d}/logs")
                logs[job.name] = _LINE_TIME.sub("", log)[-_LOG_TAIL:]
        except ForgeError as error:  # Forgejo 11 and older servers have none
            _log.info("%s: logs of CI cannot be read: %s", self._what(repo), error)
        return logs

    def _failed_jobs(self, place: str, runs: Iterable[int]) -> Iterator[wire.JobWire]:
        for run in runs:
            jobs = self._one(f"{place}/runs/{run:d}/jobs", wire.JobsWire).jobs or ()
            yield from (job for job in jobs if job.conclusion in _FAILED)

    def ask_for_review(self, repo: str, number: int, logins: Sequence[str]) -> None:
        self.api.post(f"{at(repo)}/pulls/{number:d}/requested_reviewers", {"reviewers": list(logins)})

    def add_label(self, repo: str, number: int, label: str) -> bool:
        path = f"{at(repo)}/labels"
        try:
            known = self._all(path, wire.Label)
            if label.casefold() not in [(found.name or "").casefold() for found in known]:
                self.api.post(path, {"name": label, "color": "#d93f0b" if self.has_hash_colors else "d93f0b"})
            # Gitea takes an unknown name for none, without a word: what came back is what is there.
            made = self.api.post(f"{at(repo)}/issues/{number:d}/labels", {"labels": [label]})
        except ForgeError as error:
            if error.status in (403, 404, 422):
                return False
            raise
        labels = wire.convert(made or [], list[wire.Label], self._what(path))
        return label.casefold() in [(found.name or "").casefold() for found in labels]

    def remove_label(self, repo: str, number: int, label: str) -> None:
        path = f"{at(repo)}/issues/{number:d}/labels"
        try:
            for found in self._all(path, wire.Label):
                if (found.name or "").casefold() == label.casefold():
                    self.api.delete(f"{path}/{self._label_key(found)}")
        except ForgeError as error:
            if error.status not in (403, 404):
                raise

    def _create_pull(
        self,
        repo: str,
        payload: Mapping[str, Any],
        find: Callable[[], wire.PullWire | None],
        exists: Collection[int],
    ) -> PullRequest:
        """Create it; where it turns out to be there (a status in `exists`, or `find` says so), that one."""
        try:
            made = self._make(f"{at(repo)}/pulls", payload, wire.PullWire, find)
        except ForgeError as error:
            if error.status not in exists or (there := find()) is None:
                raise
            made = there
        return self._to_pull(made)

    # --- forks

    def find_fork(self, repository: Repository) -> Repository | None:
        found = forks.find(repository, self.whoami(), self._look_at)
        return self._described(found) if found else None

    def fork(self, repository: Repository) -> Repository:
        def find() -> wire.RepoWire | None:
            return forks.find(repository, self.whoami(), self._look_at)

        made = find() or self._make_fork(repository.name, find)
        return self._described(forks.checked(made, repository, self.whoami()))

    def _look_at(self, name: str) -> wire.RepoWire | None:
        try:
            return self._one(at(name), wire.RepoWire)
        except ForgeError as error:
            if error.status == 404:
                return None
            raise

    # --- for the model

    def read(self, repo: str, path: str, params: Mapping[str, str]) -> Any:
        place, query = readable(path, params)
        return self.api.get(f"{at(repo)}/{place}", query, follow=False).data

    # --- helpers of the kinds

    def _what(self, name: str) -> str:
        return f"{self.api.host}: {name}"

    def _check_number(self, repo: str, asked: int, answered: int) -> None:
        if asked != answered:
            raise ForgeError(f"{self._what(repo)}: asked for #{asked}, the forge answers with #{answered}")

    def _one(self, path: str, kind: type[wire.T]) -> wire.T:
        return wire.convert(self.api.get(path).data, kind, self._what(path))

    def _make(
        self, path: str, payload: Mapping[str, Any], kind: type[wire.T], find: Callable[[], wire.T | None]
    ) -> wire.T:
        made = self.api.post(path, payload, find=find)
        return made if isinstance(made, kind) else wire.convert(made, kind, self._what(path))

    def _all(self, path: str, kind: type[wire.T], **params: str | int) -> list[wire.T]:
        query = {**params, **self._paging()}
        return [item for page in self.api.pages(path, query) for item in self._items(page, path, kind)]

    def _items(self, page: Answer, path: str, kind: type[wire.T]) -> list[wire.T]:
        return wire.convert(page.data or [], list[kind], self._what(path))  # type: ignore[valid-type]

    @abstractmethod
    def _paging(self) -> Mapping[str, int]: ...

    def _labelled(self, label: str) -> Query:
        """What has the server leave out the others, if it knows the label; a comma would part two labels."""
        return {"labels": label} if label and "," not in label else {}

    def _to_issue(self, repo: str, found: wire.IssueWire) -> Issue:
        return wire.issue(found, self._is_trusted(repo, found))


def at(repo: str) -> str:
    if not is_repo_name(repo):
        raise ForgeError(f"{repo[:80]!a} is no repository name: write OWNER/REPO")
    return f"repos/{repo}"


def is_unanswered(error: ForgeError) -> bool:
    """Whether the server failed or was silent; what is only asked for advice is not known then."""
    return error.status is None or error.status >= 500


def _same_text(one: str, other: str) -> bool:
    return one.replace("\r\n", "\n").strip() == other.replace("\r\n", "\n").strip()
