"""What a forge says of its repositories, and what was decided of their issues."""

from __future__ import annotations

import re
from datetime import datetime
from typing import NewType

from msgspec import Struct

from sprint.domain.follow_records import Followed

_REPO_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*/[A-Za-z0-9_.-]*[A-Za-z0-9_-][A-Za-z0-9_.-]*")

PublicText = NewType("PublicText", str)
"""What may be published: policy.public has taken credentials and the runner's whereabouts out of it."""


def is_repo_name(name: str) -> bool:
    """True for `OWNER/REPO` as forges allow it."""
    return _REPO_NAME.fullmatch(name) is not None and not name.endswith(".git")


class Repository(Struct, frozen=True):
    """A repository as its forge describes it now; `name` is the canonical OWNER/REPO after renames."""

    name: str
    default_branch: str
    clone_url: str
    html_url: str
    private: bool = False
    archived: bool = False
    empty: bool = False
    has_issues: bool = True
    has_pulls: bool = True
    can_push: bool | None = None  # None: the forge does not say
    open_issues: int | None = None  # GitHub counts pull requests too


class Issue(Struct, frozen=True):
    """One issue. `trusted`: its author has write access (None: the forge does not tell)."""

    number: int
    title: str
    body: str
    author: str
    created_at: datetime
    updated_at: datetime
    html_url: str = ""
    labels: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    is_open: bool = True
    locked: bool = False
    trusted: bool | None = None
    comments: int = 0


class Comment(Struct, frozen=True):
    """A comment on an issue; `trusted` as in Issue."""

    id: int
    author: str
    body: str
    created_at: datetime
    updated_at: datetime
    trusted: bool | None = None


class PullRequest(Struct, frozen=True):
    """A pull request. `head` and `base` are branch names; `head_repo` is OWNER/REPO (forks differ)."""

    number: int
    title: str
    body: str
    author: str
    head: str
    base: str
    head_repo: str
    html_url: str
    is_open: bool
    created_at: datetime
    merged_at: datetime | None = None
    closed_at: datetime | None = None
    merge_commit: str | None = None
    draft: bool = False
    head_sha: str = ""
    updated_at: datetime | None = None
    labels: tuple[str, ...] = ()
    mergeable: bool | None = None  # None: not told; False may mean that it is being looked at


class PassedOver(Struct, frozen=True):
    """An issue that was not picked, and the reason in a few words."""

    number: int
    title: str
    reason: str


class Pick(Struct, frozen=True):
    """What picking decided: an issue, or none and `why_none`; always the issues passed over, oldest first."""

    issue: Issue | None
    passed_over: tuple[PassedOver, ...] = ()
    why_none: str = ""


class Claim(Struct, frozen=True):
    """The newest state of `refs/sprint/issue-N` on the forge's git server.

    `sha` is the commit that holds it ("" before it is written). `attempt` counts the attempts begun so far.
    `seen` is a digest of the issue's title, body and people's comments when the last attempt began:
    another digest lifts the back-off. `paused`: its run rests through no fault of the issue. `rounds` counts
    the follow-ups of its pull request, and `follow` is what is kept of that. `tokens` and `usd` are those of
    all runs for the issue that ended, as far as they are known.
    """

    issue: int
    state: str  # "claimed" | "released"
    run: str
    host: str
    attempt: int
    expires: datetime
    not_before: datetime | None = None
    outcome: str = ""
    detail: str = ""
    pr: int | None = None
    seen: str = ""
    paused: bool = False
    purpose: str = "issue"  # | "follow_up"
    rounds: int = 0
    follow: Followed = Followed()
    tokens: int = 0
    usd: float = 0.0
    sha: str = ""
