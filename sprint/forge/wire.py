"""The JSON that Gitea and GitHub share, and what it means in our records."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from sprint import decoding
from sprint.domain import Comment, Issue, PullRequest
from sprint.errors import ForgeError

T = TypeVar("T")

# What an answer must be before anything is made of it: numbers name refs and branches, addresses are shown as
# links.
Number = Annotated[int, Meta(ge=1, lt=10**18)]
Count = Annotated[int, Meta(ge=0)]
Url = Annotated[str, Meta(pattern=r"^(https?://[^\s\x00-\x1f\x7f<>\"]+)?$", max_length=2000)]

GHOST = "ghost"  # how both forges call an account that is gone


class User(Struct):
    login: str
    type: str = ""  # GitHub: "User", "Bot"; Gitea does not say


class Label(Struct):
    name: str | None = None
    id: int = 0


class Permissions(Struct):
    push: bool = False
    pull: bool = True


class RepoRef(Struct):
    full_name: str


class RepoWire(Struct):
    full_name: str
    default_branch: str = ""
    html_url: Url = ""
    private: bool = False
    archived: bool = False
    disabled: bool = False
    mirror: bool = False
    empty: bool | None = None
    size: int | None = None
    has_issues: bool = True
    has_pull_requests: bool = True
    permissions: Permissions | None = None
    open_issues_count: Count | None = None
    fork: bool = False
    parent: RepoRef | None = None


class IssueWire(Struct):
    number: Number
    created_at: datetime
    updated_at: datetime
    title: str = ""
    body: str | None = None
    user: User | None = None
    state: str = "open"
    html_url: Url = ""
    labels: list[Label | str] | None = None
    assignees: list[User] | None = None
    locked: bool = False
    is_locked: bool = False
    comments: Count = 0
    author_association: str = ""
    original_author: str = ""  # Gitea: who wrote it on the forge that it was migrated from
    pull_request: Any = None


class CommentWire(Struct):
    id: Number
    created_at: datetime
    updated_at: datetime
    body: str | None = None
    user: User | None = None
    author_association: str = ""
    original_author: str = ""
    issue_url: str = ""  # Gitea: only of an issue; GitHub: also of a pull request, which is one there
    pull_request_url: str = ""


class BranchWire(Struct):
    ref: str = ""
    label: str | None = None
    sha: str | None = None
    repo: RepoRef | None = None


class PullWire(Struct):
    number: Number
    head: BranchWire
    base: BranchWire
    created_at: datetime
    title: str = ""
    body: str | None = None
    user: User | None = None
    state: str = "open"
    html_url: Url = ""
    draft: bool | None = None
    updated_at: datetime | None = None
    labels: list[Label | str] | None = None
    mergeable: bool | None = None
    mergeable_state: str | None = None
    merged_at: datetime | None = None
    closed_at: datetime | None = None
    merge_commit_sha: str | None = None


class ReviewWire(Struct):
    id: Count = 0
    user: User | None = None
    state: str = ""
    body: str | None = None
    official: bool | None = None  # Gitea: by somebody whose approval counts
    dismissed: bool = False
    submitted_at: datetime | None = None
    updated_at: datetime | None = None
    author_association: str = ""


class LineCommentWire(Struct):
    """A comment at a line of the diff: `line` is GitHub's; Gitea has `position` for the new file and
    `original_position` for the old one, one of which is 0. GitHub's of these names count in the diff."""

    id: Number
    created_at: datetime
    updated_at: datetime
    body: str | None = None
    user: User | None = None
    path: str = ""
    position: int | None = None
    original_position: int | None = None
    line: int | None = None
    diff_hunk: str | None = None
    pull_request_review_id: int | None = None
    author_association: str = ""


class TimelineWire(Struct):
    type: str = ""
    user: User | None = None


class ActivityWire(Struct):
    activity_type: str = ""
    actor: User | None = None


class StatusWire(Struct):
    context: str = ""
    status: str = ""  # Gitea
    state: str = ""  # GitHub
    description: str | None = None
    target_url: str | None = None


class StatusesWire(Struct):
    statuses: list[StatusWire] | None = None


class CheckRunWire(Struct):
    id: Number
    name: str = ""
    status: str = ""
    conclusion: str | None = None
    html_url: str | None = None


class JobWire(Struct):
    id: Number
    name: str = ""
    conclusion: str | None = None


class JobsWire(Struct):
    jobs: list[JobWire] | None = None


class WorkflowRunWire(Struct):
    id: Number
    head_sha: str = ""
    name: str | None = None
    status: str | None = None
    conclusion: str | None = None


class WorkflowRunsWire(Struct):
    workflow_runs: list[WorkflowRunWire] | None = None


class CheckRunsWire(Struct):
    check_runs: list[CheckRunWire] | None = None


class EventWire(Struct):
    event: str = ""
    commit_id: str | None = None


class PermissionWire(Struct):
    permission: str = ""


class TeamWire(Struct):
    permission: str = ""
    units_map: dict[str, str] | None = None


class Viewer(Struct):
    viewer: User


class ViewerAnswer(Struct):
    data: Viewer


def convert(data: Any, kind: type[T], what: str) -> T:
    """`data` as `kind`; ForgeError with the place where it is something else."""
    try:
        return decoding.convert(data, kind)
    except msgspec.ValidationError as error:
        raise ForgeError(f"{what}: the answer is not what this API promises ({error})") from error


def login(user: User | None) -> str:
    return user.login if user and user.login else GHOST


def is_bot(user: User | None) -> bool:
    """A program's account, as far as its type and its name tell."""
    name = login(user).lower()
    return user is not None and (
        user.type == "Bot" or name.endswith("[bot]") or name in ("gitea-actions", "forgejo-actions")
    )


def utc(moment: datetime) -> datetime:
    """In UTC. The year 1 (Go's zero time) has no hours to lose."""
    if moment.tzinfo is None or moment.year == 1:
        return moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC)


def stamp(moment: datetime) -> str:
    """A moment as both forges take it in a query: whole seconds in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def label_names(labels: Iterable[Label | str] | None) -> tuple[str, ...]:
    names = (label if isinstance(label, str) else label.name for label in labels or ())
    return tuple(name for name in names if name)


def issue(wire: IssueWire, trusted: bool | None) -> Issue:
    return Issue(
        number=wire.number,
        title=wire.title,
        body=wire.body or "",
        author=wire.original_author or login(wire.user),
        created_at=utc(wire.created_at),
        updated_at=utc(wire.updated_at),
        html_url=wire.html_url,
        labels=label_names(wire.labels),
        assignees=tuple(login(user) for user in wire.assignees or ()),
        is_open=wire.state == "open",
        locked=wire.locked or wire.is_locked,
        trusted=trusted,
        comments=wire.comments,
    )


def has_label(found: IssueWire, label: str) -> bool:
    """Whether it has the label, in whatever case; "" is every issue's."""
    names = (given if isinstance(given, str) else given.name or "" for given in found.labels or ())
    return not label or label.casefold() in (name.casefold() for name in names)


def comment(wire: CommentWire, trusted: bool | None) -> Comment:
    return Comment(
        id=wire.id,
        author=wire.original_author or login(wire.user),
        body=wire.body or "",
        created_at=utc(wire.created_at),
        updated_at=utc(wire.updated_at),
        trusted=trusted,
    )


def pull(wire: PullWire, *, head: str, draft: bool) -> PullRequest:
    return PullRequest(
        number=wire.number,
        title=wire.title,
        body=wire.body or "",
        author=login(wire.user),
        head=head,
        base=wire.base.ref,
        head_repo=wire.head.repo.full_name if wire.head.repo else "",
        html_url=wire.html_url,
        is_open=wire.state == "open",
        created_at=utc(wire.created_at),
        merged_at=utc(wire.merged_at) if wire.merged_at else None,
        closed_at=utc(wire.closed_at) if wire.closed_at else None,
        merge_commit=wire.merge_commit_sha if wire.merged_at else None,
        draft=draft,
        head_sha=wire.head.sha or "",
        updated_at=utc(wire.updated_at) if wire.updated_at else None,
        labels=label_names(wire.labels),
        mergeable=wire.mergeable,
    )


def issues_of(comments: Iterable[CommentWire]) -> set[int] | None:
    """The issues that comments are on, perhaps pull requests among them; None where one does not tell."""
    numbers = set()
    for comment in comments:
        if match := re.search(r"/issues/([1-9][0-9]{0,17})$", comment.issue_url):
            numbers.add(int(match[1]))
        elif not comment.pull_request_url:
            return None
    return numbers
