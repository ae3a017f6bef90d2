"""What people and CI say of a pull request of ours, and what is kept of it beside the claim."""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from sprint.domain.changing import replace


class Trigger(StrEnum):
    """What a follow-up answers."""

    REVIEWS = "reviews"
    CI = "ci"
    CONFLICT = "conflict"
    UPDATE = "update"  # it must be up to date with its base, and is not: merged in without a worker


class Remark(Struct, frozen=True):
    """One thing that was said at a pull request.

    `review` is the review's id, 0 for a plain comment; `path` and `line` (of the new file, 0: not told) or
    `old_line` (of the old one, for what was taken away) where it is at the diff. `may_write`: its author has
    write access, as far as the forge tells (None: it does not). `asks`: it is a review that asks for changes
    and is in force.
    """

    id: int
    author: str
    body: str
    updated_at: datetime
    review: int = 0
    path: str = ""
    line: int = 0
    hunk: str = ""
    may_write: bool | None = None
    is_bot: bool = False
    asks: bool = False
    old_line: int = 0

    @property
    def is_thread(self) -> bool:
        """Whether it can be answered where it stands."""
        return bool(self.path)

    @property
    def digest(self) -> str:
        """Another one once it was edited."""
        kind = "line" if self.path else "review" if self.review else "comment"
        said = f"{kind} {self.id} {self.path} {self.line} {self.body}"
        return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:16]


class Status(Struct, frozen=True):
    """What one check of the forge's says of a commit: "pending", "success", "failure" or "skipped"."""

    context: str
    state: str
    description: str = ""
    url: str = ""
    log: str = ""  # the end of what the failed step printed, where the forge gives it
    is_held: bool = False  # it is pending until a person lets it run


class Followed(Struct, frozen=True):
    """What all hosts know of a pull request of ours; kept in the claim of its issue.

    `head` is the commit that we pushed last, `base` the branch that it was proposed to, `is_draft`: we
    opened it as one. `usd` are the dollars of all runs so far. `reviews`, `ci`, `conflict` and `update` count
    rounds; those for CI were forgotten `forgotten` times. `taken` are digests of the remarks that were taken
    up, `diffs` of what was proposed. `stuck` says why a person is needed, `stuck_on` the trigger whose rounds
    are over, and `is_told` that people were told.
    """

    head: str = ""
    base: str = ""
    is_draft: bool = False
    usd: float = 0.0
    reviews: int = 0
    ci: int = 0
    conflict: int = 0
    update: int = 0
    forgotten: int = 0
    taken: tuple[str, ...] = ()
    diffs: tuple[str, ...] = ()
    stuck: str = ""
    stuck_on: str = ""
    is_told: bool = False

    def counted(self, trigger: Trigger, by: int) -> Followed:
        """With so many more rounds (or fewer) for the trigger."""
        count = max(self.rounds(trigger) + by, 0)
        if trigger is Trigger.REVIEWS:
            return replace(self, reviews=count)
        if trigger is Trigger.CI:
            return replace(self, ci=count)
        return replace(self, conflict=count) if trigger is Trigger.CONFLICT else replace(self, update=count)

    def freed(self) -> Followed:
        """As long as nobody is needed."""
        return replace(self, stuck="", stuck_on="", is_told=False)

    def rounds(self, trigger: Trigger) -> int:
        return {
            Trigger.REVIEWS: self.reviews,
            Trigger.CI: self.ci,
            Trigger.CONFLICT: self.conflict,
            Trigger.UPDATE: self.update,
        }[trigger]


class Occasion(Struct, frozen=True):
    """What a follow-up run answers, as follow.json in its folder holds it.

    `conflicts` are the paths whose merge with the base left conflicts, found when the run begins.
    """

    trigger: Trigger
    remarks: tuple[Remark, ...] = ()
    failures: tuple[Status, ...] = ()
    conflicts: tuple[str, ...] = ()
