"""The records that every layer shares. Standard library only; all frozen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from sprint.outcomes import Outcome as Outcome
from sprint.outcomes import Verdict as Verdict


class Secret:
    """A token or key that cannot be printed by accident: `reveal()` is the only way to its value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


_REPO_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*/[A-Za-z0-9_.-]*[A-Za-z0-9_-][A-Za-z0-9_.-]*")


def is_repo_name(name: str) -> bool:
    """True for `OWNER/REPO` as forges allow it."""
    return _REPO_NAME.fullmatch(name) is not None and not name.endswith(".git")


# --- what a forge says -------------------------------------------------------------------------


@dataclass(frozen=True)
class Repository:
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


@dataclass(frozen=True)
class Issue:
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


@dataclass(frozen=True)
class Comment:
    """A comment on an issue; `trusted` as in Issue."""

    id: int
    author: str
    body: str
    created_at: datetime
    updated_at: datetime
    trusted: bool | None = None


@dataclass(frozen=True)
class PullRequest:
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


# --- picking -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class PassedOver:
    """An issue that was not picked, and the reason in a few words."""

    number: int
    title: str
    reason: str


@dataclass(frozen=True)
class Pick:
    """What picking decided: an issue, or none and `why_none`; always the issues passed over, oldest first."""

    issue: Issue | None
    passed_over: tuple[PassedOver, ...] = ()
    why_none: str = ""


@dataclass(frozen=True)
class Claim:
    """The newest state of `refs/sprint/issue-N` on the forge's git server.

    `sha` is the commit that holds it ("" before it is written). `attempt` counts the attempts begun so far.
    `seen` is a digest of the issue's title, body and people's comments when the last attempt began:
    another digest lifts the back-off. `paused`: its run rests through no fault of the issue. `rounds` counts
    the follow-ups of its pull request.
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
    sha: str = ""


# --- a run -------------------------------------------------------------------------------------


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


@dataclass(frozen=True)
class Usage:
    """What a run has used so far. `cost_usd` None means the price is unknown, which is not zero."""

    turns: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float | None = None


@dataclass(frozen=True)
class WorkerResult:
    """What a worker hands over besides the workspace. `commit`: where the bug was already fixed."""

    ending: Ending
    summary: str = ""
    detail: str = ""
    commit: str = ""
    model: str = ""
    usage: Usage = Usage()


class CheckStatus(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    NOT_RUN = "not_run"


@dataclass(frozen=True)
class CheckResult:
    """One check's run: `failures` are test names where its output has them, `tail` the output's end.

    `ran` and `failed` count tests, None where the output does not tell; skipped ones did not run. `note` says
    in a few words what is not to be seen from the rest.
    """

    command: str
    status: CheckStatus
    exit_code: int | None = None
    seconds: float = 0.0
    failures: tuple[str, ...] = ()
    tail: str = ""
    ran: int | None = None
    failed: int | None = None
    note: str = ""


@dataclass(frozen=True)
class EnvironmentUse:
    """How a workspace was made ready: the commands that held, and whether their work was at hand.

    `key` names the environment ("" where none was needed). `is_hit`: it was kept, and `seconds` are those of
    putting it there; else those of set-up. `bytes` is what is kept of it, 0 where nothing is. `is_found`: the
    commands were found rather than configured. `note` says why something is not as one would expect.
    """

    key: str = ""
    is_hit: bool = False
    seconds: float = 0.0
    bytes: int = 0
    setup: tuple[str, ...] = ()
    build: tuple[str, ...] = ()
    build_seconds: float = 0.0
    is_found: bool = False
    note: str = ""

    @property
    def says(self) -> str:
        """In a few words: whether it was at hand, how long that took, how large it is."""
        if not self.setup:
            return self.note
        how = "put from where it is kept" if self.is_hit else "made by set-up"
        size = f", {self.bytes / 1_000_000:.0f} MB" if self.bytes else ""
        return f"{how} in {self.seconds:.1f} s{size}{f' ({self.note})' if self.note else ''}"


@dataclass(frozen=True)
class CheckComparison:
    """One check at the base and at the result; `note` explains the judgement where it needs that."""

    command: str
    base: CheckResult
    result: CheckResult
    new_failures: tuple[str, ...] = ()
    is_regression: bool = False
    note: str = ""


class ProofVerdict(StrEnum):
    """What the checks say for a change."""

    PROVEN = "proven"  # at least one passed at base and result, and each that passed at the base passes
    NONE = "none"  # the project has no checks
    UNPROVEN = "unproven"


@dataclass(frozen=True)
class Proof:
    """The project's checks at the base and at the result; empty where the project has none.

    `reason` says why they could not be run at the result, "" where they were.
    """

    comparisons: tuple[CheckComparison, ...] = ()
    reason: str = ""

    @property
    def verdict(self) -> ProofVerdict:
        if not self.comparisons and not self.reason:
            return ProofVerdict.NONE
        is_sound = not self.reason and not self.regressions
        return ProofVerdict.PROVEN if is_sound and self.proving else ProofVerdict.UNPROVEN

    @property
    def proving(self) -> tuple[CheckComparison, ...]:
        """Those that passed at the base and at the result, with a test at least where tests are counted."""
        return tuple(
            c
            for c in self.comparisons
            if c.base.status is c.result.status is CheckStatus.PASSED
            and c.base.ran != 0
            and c.result.ran != 0
        )

    @property
    def regressions(self) -> tuple[CheckComparison, ...]:
        return tuple(c for c in self.comparisons if c.is_regression)


@dataclass(frozen=True)
class Change:
    """One changed path between two trees: git's octal modes, the new blob and its size in bytes."""

    path: str
    status: str  # A, M, D, T
    old_mode: str
    new_mode: str
    new_sha: str
    size: int


@dataclass(frozen=True)
class DiffStat:
    """One changed path: `lines` are those added and deleted, None for a binary file."""

    path: str
    status: str  # A, M, D, T
    lines: tuple[int, int] | None


@dataclass(frozen=True)
class ImportedWork:
    """What the agent made, in the trusted mirror: a tree and its changes against the base commit."""

    base: str
    tree: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Refusal:
    """A reason of the policy not to push."""

    path: str
    reason: str


@dataclass(frozen=True)
class Workspace:
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


@dataclass(frozen=True)
class Run:
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
    environment: EnvironmentUse | None = None

    @property
    def number(self) -> int:
        """The issue's number, for a run that has an issue."""
        assert self.issue is not None, f"run {self.id} has no issue"
        return self.issue


@dataclass(frozen=True)
class LedgerRow:
    """One line of results.csv. None is written as an empty field.

    `issue` None: a task that no issue asked for. `proof`: "proven", "none" (the project has no checks) or
    "unproven"; "" where nothing was made, and in rows from before the column was there. `purpose`: "issue",
    "follow_up" or "task"; `round` counts the follow-ups of a pull request. Times in seconds; `paused_s` is
    how long the run waited, which `duration_s` leaves out.
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


@dataclass(frozen=True)
class Endpoint:
    """A model that can be called: prices in dollars per million tokens, None where unknown.

    `context` in tokens where configured; `source` tells the operator where it was found. `temperature`,
    `max_tokens` (of one answer) and `extra` go with each request; None: the server's own.
    """

    name: str
    base_url: str
    key: Secret
    input_price: float | None = None
    cached_price: float | None = None
    output_price: float | None = None
    context: int | None = None
    source: str = ""
    temperature: float | None = None
    max_tokens: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)


class Grade(StrEnum):
    """How a check of the installation came out; only a fault would stop a tick."""

    OK = "ok"
    WARNING = "warn"
    FAULT = "FAIL"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's: what was looked at, and what it says, with the remedy."""

    grade: Grade
    what: str
    says: str


# --- processes ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Completed:
    """A finished command. `killed_by` names the limit that ended it ("timeout", "output", "disk", ...)."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    seconds: float = 0.0
    killed_by: str = ""
    truncated: bool = False

    @property
    def ok(self) -> bool:
        return self.exit_code == 0 and not self.killed_by

    @property
    def out(self) -> str:
        return self.stdout.decode("utf-8", "replace")

    @property
    def err(self) -> str:
        return self.stderr.decode("utf-8", "replace")


@dataclass(frozen=True)
class Prompt:
    """What the worker is told."""

    system: str
    user: str
