"""Every figure of the monitor and its definition; records only, made by tally.py and gather.py.

Times are UTC. A *run* is a row of results.csv; it belongs to the moment at which it finished.

- **Passed**: `pr_opened` and `already_fixed`. **Neither**: `needs_human`, `cancelled`, `interrupted`.
  **Failed**: every other outcome. A row of the system before this one says no more than an exit code: 0
  passed, anything else failed; such rows are also counted on their own (`old_rows`).
- **Pass rate**: passed / (passed + failed). Runs that are neither are in no pass rate.
- **Windows**: the last 24 hours, 7 days and 30 days before the report was made, ends included, and all time
  (with --since: since then). A row from the future (more than 5 minutes ahead: some clock is wrong) counts
  in all time only, and `future_rows` says how many there are.
- **The period**: --since until now, else the last 30 days. Causes, medians and cost per run are over it.
- **Cause**: an outcome that failed and the first words of its detail, numbers and names of runs left out.
- **Median**: the middle one of the period's runs, the lower of two; time from claim to end, turns of the
  model, dollars of the runs whose price is known.
- **Spend**: the sum of what runs with a known price cost. `unpriced` counts the runs that called a model
  whose price is unknown: unknown is never taken for zero.
- **State of a pull request**, as last seen: open, merged, closed without a merge, reverted (merged, and
  undone later by a commit that says so). **Share merged**: merged / (merged + closed + reverted).
  **Time to merge**: from the run's end to the merge, median. **Dollars per merged pull request**: the spend
  on all runs, failed ones too, / merged; over all time, or since --since.
- **Late**: no tick for twice the repository's usual interval and two minutes. Until three ticks were seen the
  interval is the configured one (`every`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sprint.domain import LedgerRow, Outcome, Verdict
from sprint.ledger.rows import BadLine, OldRow

# The outcomes of rows of the system before.
OLD_PASSED, OLD_FAILED = "old_passed", "old_failed"
UNPROVEN = "unproven"
VERDICTS: Mapping[str, Verdict] = {
    **{outcome.value: outcome.verdict for outcome in Outcome},
    OLD_PASSED: Verdict.PASSED,
    OLD_FAILED: Verdict.FAILED,
}


@dataclass(frozen=True)
class Tally:
    """Runs by verdict; `unproven` of the passed ones handed in work that no check proved."""

    passed: int = 0
    failed: int = 0
    neither: int = 0
    unproven: int = 0

    @property
    def runs(self) -> int:
        return self.passed + self.failed + self.neither

    @property
    def pass_rate(self) -> float | None:
        """From 0 to 1; None where nothing passed or failed."""
        judged = self.passed + self.failed
        return self.passed / judged if judged else None

    @property
    def pass_rate_without_unproven(self) -> float | None:
        """The pass rate where unproven work does not count as passed."""
        judged = self.passed + self.failed
        return (self.passed - self.unproven) / judged if judged else None

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.passed + other.passed,
            self.failed + other.failed,
            self.neither + other.neither,
            self.unproven + other.unproven,
        )


def tally_of(verdict: Verdict, count: int, proof: str = "") -> Tally:
    unproven = count if verdict is Verdict.PASSED and proof == UNPROVEN else 0
    return Tally(**{verdict.value: count}, unproven=unproven)


def verdict_of(row: LedgerRow | OldRow) -> Verdict:
    if isinstance(row, LedgerRow):
        return row.outcome.verdict
    return VERDICTS[OLD_FAILED if row.exit_code else OLD_PASSED]


@dataclass(frozen=True)
class Window:
    """The pass rates over one stretch of time. `hours` is its length, None for all time.

    `by_proof` counts runs that made something, whatever became of them.
    """

    name: str
    hours: float | None
    total: Tally
    by_repo: Mapping[str, Tally]
    by_worker: Mapping[str, Tally]
    by_model: Mapping[str, Tally]
    by_outcome: Mapping[str, int]
    by_proof: Mapping[str, int]


@dataclass(frozen=True)
class Day:
    """One day (YYYY-MM-DD) on which runs finished. `outcomes` maps an outcome to its number of runs."""

    day: str
    outcomes: Mapping[str, int]
    tally: Tally
    spend_usd: float
    unpriced: int


@dataclass(frozen=True)
class Cause:
    """Why runs failed: an outcome with the first words of its detail, and how many of them there were."""

    outcome: str
    detail: str
    count: int


@dataclass(frozen=True)
class Medians:
    """Over the period's runs; None where there is none to take it of."""

    seconds: float | None = None
    turns: int | None = None
    cost_usd: float | None = None


@dataclass(frozen=True)
class WorkerUsage:
    """What the period's runs of one worker with one model took; `model` "" where none was called.

    `spend_usd` is of the runs whose price is known; `unpriced` counts the others.
    """

    worker: str
    model: str
    runs: int
    medians: Medians
    spend_usd: float
    unpriced: int


@dataclass(frozen=True)
class RepoRuns:
    """A repository's runs: the last ones, the newest first, and how many failed in a row up to now."""

    repo: str
    last: tuple[LedgerRow | OldRow, ...]
    failures_in_a_row: int


@dataclass(frozen=True)
class Figures:
    """What one pass over the ledger says. `bad_lines` is how many lines are no row; `bad_examples`, some.

    `windows` in the order 24 hours, 7 days, 30 days, all time; `days` and `repos` sorted, days without a run
    left out; `causes` the most frequent first; `latest` the newest first. `unreadable` is the reason where
    the ledger could not be read, and then everything else is empty.
    """

    made_at: datetime
    since: datetime | None = None
    period: str = "30 days"
    windows: tuple[Window, ...] = ()
    days: tuple[Day, ...] = ()
    causes: tuple[Cause, ...] = ()
    medians: Medians = Medians()
    usage: tuple[WorkerUsage, ...] = ()
    repos: tuple[RepoRuns, ...] = ()
    latest: tuple[LedgerRow | OldRow, ...] = ()
    spend_usd: float = 0.0
    unpriced: int = 0
    rows: int = 0
    old_rows: int = 0
    future_rows: int = 0
    bad_lines: int = 0
    bad_examples: tuple[BadLine, ...] = ()
    unreadable: str = ""


@dataclass(frozen=True)
class ActiveRun:
    """A run that is not settled. `seconds` since it started; stuck once it is past its limit.

    `environment` says whether what its checks need was at hand, how long that took and how large it is.
    """

    run_id: str
    forge: str
    repo: str
    issue: int | None
    title: str
    issue_url: str
    phase: str
    host: str
    worker: str
    started_at: datetime
    deadline: datetime
    seconds: float
    is_stuck: bool
    environment: str = ""


@dataclass(frozen=True)
class RepoStatus:
    """One repository now. `last_six` are its newest runs by verdict, `last` the rows, the newest first.

    `open_issues` None: not asked, or no answer (then `open_issues_note` says why). `forge` "" where only the
    ledger knows the repository. `ticked_at` None: no tick was seen. `interval_seconds` None: not known yet.
    """

    forge: str
    repo: str
    last_six: Tally
    last: tuple[LedgerRow | OldRow, ...]
    latest_title: str
    failures_in_a_row: int
    open_issues: int | None
    open_issues_note: str
    ticked_at: datetime | None
    tick_outcome: str
    interval_seconds: float | None
    is_late: bool
    is_watched: bool


@dataclass(frozen=True)
class Service:
    """A server that the runs need; `said` is the reason where it is down."""

    name: str
    url: str
    is_up: bool
    said: str = ""


@dataclass(frozen=True)
class PullCounts:
    """What became of the pull requests. `states` maps an address to open, merged, closed, reverted or gone.

    `asked_at` None: never asked yet. `problem` says what could not be asked the last time.
    """

    asked_at: datetime | None = None
    problem: str = ""
    open: int = 0
    merged: int = 0
    closed: int = 0
    reverted: int = 0
    gone: int = 0
    seconds_to_merge: float | None = None
    usd_per_merged: float | None = None
    states: Mapping[str, str] = field(default_factory=dict)

    @property
    def share_merged(self) -> float | None:
        """From 0 to 1; None where nothing is decided yet."""
        decided = self.merged + self.closed + self.reverted
        return self.merged / decided if decided else None


@dataclass(frozen=True)
class Alarm:
    """Something that a person should see to. `key` stays the same while it lasts."""

    key: str
    text: str


@dataclass(frozen=True)
class Report:
    """Everything that a renderer shows. `spent_today_usd` None: it could not be read."""

    made_at: datetime
    results: str
    figures: Figures
    active: tuple[ActiveRun, ...]
    repos: tuple[RepoStatus, ...]
    fates: PullCounts
    services: tuple[Service, ...]
    spent_today_usd: float | None
    ceiling_usd: float | None
    alarms: tuple[Alarm, ...] = ()
