"""What was made and what it is worth: checks, their comparison, changes, refusals."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class CheckStatus(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    NOT_RUN = "not_run"


class CheckResult(Struct, frozen=True):
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


class EnvironmentUse(Struct, frozen=True):
    """How a workspace was made ready: the commands that held, and whether their work was at hand.

    `key` names the environment ("" where none was needed). `is_hit`: it was kept, and `seconds` are those of
    putting it there; else those of set-up. `bytes` is what is kept of it, 0 where nothing is. `is_found`: the
    commands were found rather than configured. `note` says why something is not as one would expect, `failed`
    is the command of a found set-up that was done without because it failed.
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
    failed: str = ""

    @property
    def why_missing(self) -> str:
        """Why a program that a check starts may not be there, "" where nothing tells."""
        return f"set-up failed: {self.failed}" if self.failed else ""

    @property
    def says(self) -> str:
        """In a few words: whether it was at hand, how long that took, how large it is."""
        if not self.setup:
            return self.note
        how = "put from where it is kept" if self.is_hit else "made by set-up"
        size = f", {self.bytes / 1_000_000:.0f} MB" if self.bytes else ""
        return f"{how} in {self.seconds:.1f} s{size}{f' ({self.note})' if self.note else ''}"


class CheckComparison(Struct, frozen=True):
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


class Proof(Struct, frozen=True):
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


class Change(Struct, frozen=True):
    """One changed path between two trees: git's octal modes, the new blob and its size in bytes."""

    path: str
    status: str  # A, M, D, T
    old_mode: str
    new_mode: str
    new_sha: str
    size: int


class DiffStat(Struct, frozen=True):
    """One changed path: `lines` are those added and deleted, None for a binary file."""

    path: str
    status: str  # A, M, D, T
    lines: tuple[int, int] | None


class ImportedWork(Struct, frozen=True):
    """What the agent made, in the trusted mirror: a tree and its changes against the base commit."""

    base: str
    tree: str
    changes: tuple[Change, ...]


class Refusal(Struct, frozen=True):
    """A reason of the policy not to push."""

    path: str
    reason: str
