"""A run as it goes from tick to tick, and what is left of it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path

from msgspec import Struct

from sprint.domain.follow_records import Trigger
from sprint.domain.proof_records import CheckResult, EnvironmentUse, Proof
from sprint.outcomes import Outcome


class Phase(StrEnum):
    """How far a run has come; each is written to run.json when it is reached."""

    CLAIMED = "claimed"
    WORKING = "working"
    WORKED = "worked"
    VERIFIED = "verified"
    CONCLUDED = "concluded"  # the outcome is known; row, comment and claim come next
    SETTLED = "settled"


class Ending(StrEnum):
    """How a worker ended, by its own account."""

    IMPLEMENTED = "implemented"
    ALREADY_FIXED = "already_fixed"
    QUESTION = "question"
    LIMIT = "limit"
    OFF_RAILS = "off_rails"
    ERROR = "error"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"


class Purpose(StrEnum):
    """What a run is for."""

    ISSUE = "issue"
    FOLLOW_UP = "follow_up"  # what a pull request of ours still needs
    TASK = "task"  # an operator's own words; no issue and no claim


class Liveness(StrEnum):
    """What can be said of a worker from here."""

    ABSENT = "absent"  # it never began
    RUNNING = "running"
    UNKNOWN = "unknown"
    DONE = "done"


class Usage(Struct, frozen=True):
    """What a run has used so far. `cost_usd` None means the price is unknown, which is not zero."""

    turns: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = None


class WorkerResult(Struct, frozen=True):
    """What a worker hands over besides the workspace. `commit`: where the bug was already fixed.
    `is_reviewed`: it has been shown what a reviewer would see, or that holds no surprise. `is_as_inspected`:
    nothing ran in the workspace since the runner looked at it for that. `wants_more`: it was ended only for
    having spent what its run kept of the fleet's ceiling."""

    ending: Ending
    summary: str = ""
    detail: str = ""
    commit: str = ""
    model: str = ""
    usage: Usage = Usage()
    is_reviewed: bool = False
    is_as_inspected: bool = False
    wants_more: bool = False


class Workspace(Struct, frozen=True):
    """A run's own directory: `root/repo` is the `checkout`, `root/home` and `root/tmp` go with it.

    `uid` owns it and runs its commands; None means the runner's own uid (the runner is not root).
    """

    root: Path
    uid: int | None = None

    @property
    def checkout(self) -> Path:
        return self.root / "repo"

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"


class Prompt(Struct, frozen=True):
    """What the worker is told."""

    system: str
    user: str

    @property
    def whole(self) -> str:
        """For one who takes a single text."""
        return f"{self.system}\n\n{self.user}".strip()


class Run(Struct, frozen=True):
    """One attempt at one issue, as run.json holds it. Times are UTC.

    `worker` is the name in the configuration. A run rests since `paused_since` through no fault of its issue;
    `paused_s` are the seconds of its pauses that are over. `stuck_since` is the first pause of those in a row
    between which no turn, check or set-up command ended; `pauses` counts, of these, the ones in which its
    process died or was told to stop.
    """

    id: str
    forge: str
    repo: str
    issue: int | None  # None: a task
    title: str
    attempt: int
    host: str
    pid: int
    started_at: datetime
    deadline: datetime
    worker: str
    phase: Phase = Phase.CLAIMED
    purpose: Purpose = Purpose.ISSUE
    round: int = 0  # of a follow-up, from 1
    trigger: str = ""  # what a follow-up answers
    issue_url: str = ""
    labels: tuple[str, ...] = ()  # of the issue
    base_branch: str = ""
    base_sha: str = ""
    head_sha: str = ""  # of a follow-up: where the pull request's branch was when it began
    start_sha: str = ""  # of a follow-up: that with the base merged in, where its worker begins
    compared_sha: str = ""  # of a follow-up: what its work is a change of; conflicted paths as at the base
    branch: str = ""
    workspace: str = ""
    uid: int | None = None
    forced: bool = False  # asked for despite everything but that the issue is open
    rounds: int = 0  # how often failed checks went back to the worker
    continued: int = 0  # how often its process died without a word
    steps: int = 0  # turns, checks and set-up commands that had ended when it was last paused
    paused_since: datetime | None = None  # None: work goes on
    paused_why: str = ""
    paused_s: float = 0.0
    pauses: int = 0
    stuck_since: datetime | None = None
    spent: Usage = Usage()  # what of a detached worker's usage the day's spend has
    worker_version: str = ""
    tree: str = ""  # the agent's tree once imported
    commit: str = ""  # the runner's commit once made
    result: WorkerResult | None = None
    reviewed: WorkerResult | None = None  # as first handed over, where that was answered with a review
    proof: Proof | None = None
    outcome: Outcome | None = None
    detail: str = ""
    pr_url: str = ""
    pr_number: int | None = None
    finished_at: datetime | None = None
    carried_from: str = ""  # the earlier run whose patch was put into the workspace
    left_out: tuple[str, ...] = ()  # scratch that is in the workspace and not in the tree
    leftovers: tuple[str, ...] = ()  # paths that setup and base checks made: not the agent's work
    base_checks: tuple[CheckResult, ...] = ()
    start_checks: tuple[CheckResult, ...] = ()  # of a follow-up: where its worker begins
    diff: str = ""  # a digest of all that the pull request proposes with this run's commit
    environment: EnvironmentUse | None = None
    taking_over: bool = False  # of another host, and the fleet has not been told yet: nothing is done with it

    @property
    def number(self) -> int:
        """The issue's number, for a run that has an issue."""
        assert self.issue is not None, f"run {self.id} has no issue"
        return self.issue

    @property
    def about(self) -> str:
        """For people: the issue's number, or that it is a task."""
        return "task" if self.issue is None else f"#{self.issue}"

    @property
    def start(self) -> str:
        """The commit that the worker begins with."""
        return self.start_sha or self.base_sha

    @property
    def is_follow_up(self) -> bool:
        return self.purpose is Purpose.FOLLOW_UP

    @property
    def is_update(self) -> bool:
        """Whether it only merges the base into a pull request's branch, which takes no worker."""
        return self.trigger == Trigger.UPDATE


class LedgerRow(Struct, frozen=True):
    """One line of results.csv. None is written as an empty field.

    `issue` None: a task that no issue asked for. `proof`: "proven", "none" (the project has no checks) or
    "unproven"; "" where nothing was made, and in rows from before the column was there. `purpose`: "issue",
    "follow_up" or "task"; `round` counts the follow-ups of a pull request, and `trigger` is what this one
    answers ("reviews", "ci", "conflict" or "update"). Times in seconds; `paused_s` is how long the run
    waited, which `duration_s` leaves out.
    """

    finished_at: datetime
    run_id: str
    repo: str
    issue: int | None
    outcome: Outcome
    exit_code: int
    pr_url: str = ""
    branch: str = ""
    worker: str = ""
    model: str = ""
    attempt: int = 1
    duration_s: float = 0.0
    turns: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = None
    host: str = ""
    detail: str = ""
    proof: str = ""
    worker_version: str = ""
    purpose: str = "issue"
    round: int = 0
    paused_s: float = 0.0
    trigger: str = ""
