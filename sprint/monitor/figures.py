"""Every figure of the monitor and its definition: the records that tally.py and gather.py make.

Times are UTC. A *run* is a row of results.csv; it belongs to the moment at which it finished.

- **Passed, failed, neither**: by the outcome's verdict (sprint.outcomes). A row of the system before this one
  says no more than an exit code: 0 passed, anything else failed; such rows are also counted on their own
  (`old_rows`).
- **Pass rate**: passed / (passed + failed). Runs that are neither are in no pass rate. **Without unproven**:
  runs whose proof is `unproven` count as judged, but not as passed.
- **Failures in a row**: failed runs since one passed, and the interrupted ones, which are in no pass rate:
  what happens to the operator again and again is worth an alarm.
- **Windows**: the last 24 hours, 7 days and 30 days before the report was made, ends included, and all time
  (with --since: since then). A row from the future (more than 5 minutes ahead: some clock is wrong) counts
  in all time only, and `future_rows` says how many there are.
- **The period**: --since until now, else the last 30 days. Causes, medians and cost per run are over it.
- **Cause**: an outcome that failed and the first words of its detail, numbers and names of runs left out.
- **Asking**: the period's runs that ended with a question to people, and no later run is of the same issue.
- **Median**: the middle one of the period's runs, the lower of two; time from claim to end, turns of the
  model, dollars of the runs whose price is known.
- **Spend**: the sum of what runs with a known price cost. `unpriced` counts the runs that called a model
  whose price is unknown: unknown is never taken for zero.
- **State of a pull request**, as last seen: open, merged, closed without a merge, reverted (merged, and
  undone later by a commit that says so). **Share merged**: merged / (merged + closed + reverted).
  **Time to merge**: from the run's end to the merge, median. **Dollars per merged pull request**: the spend
  on all runs, failed ones too, / merged; over all time, or since --since. One of the ledger that no forge
  was asked for yet is open.
- **Late**: no tick for twice the repository's usual interval and two minutes. Until three ticks were seen the
  interval is the configured one (`every`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec
from msgspec import Struct, structs

from sprint.domain import Host, LedgerRow, Outcome, Verdict
from sprint.health import Health
from sprint.ledger.rows import BadLine, OldRow

# The outcomes of rows of the system before.
OLD_PASSED, OLD_FAILED = "old_passed", "old_failed"
UNPROVEN = "unproven"
VERDICTS: Mapping[str, Verdict] = {
    **{outcome.value: outcome.verdict for outcome in Outcome},
    OLD_PASSED: Verdict.PASSED,
    OLD_FAILED: Verdict.FAILED,
}


class Tally(Struct, frozen=True):
    """Runs by verdict; `unproven` of the passed ones handed in work that no check proved.

    The rates go from 0 to 1, None where nothing passed or failed; in the second one unproven work does not
    count as passed.
    """

    passed: int = 0
    failed: int = 0
    neither: int = 0
    unproven: int = 0
    pass_rate: float | None = None
    pass_rate_without_unproven: float | None = None

    def __post_init__(self) -> None:
        _set(self, "pass_rate", _share(self.passed, self.judged))
        _set(self, "pass_rate_without_unproven", _share(self.passed - self.unproven, self.judged))

    @property
    def runs(self) -> int:
        return self.judged + self.neither

    @property
    def judged(self) -> int:
        return self.passed + self.failed

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.passed + other.passed,
            self.failed + other.failed,
            self.neither + other.neither,
            self.unproven + other.unproven,
        )


def _set(record: Struct, name: str, value: object) -> None:
    """A field of a frozen record that follows from the others, and is one so that JSON has it too."""
    structs.force_setattr(record, name, value)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def tally_of(verdict: Verdict, count: int, proof: str = "") -> Tally:
    unproven = count if verdict is Verdict.PASSED and proof == UNPROVEN else 0
    return Tally(**{verdict.value: count}, unproven=unproven)


def verdict_of(row: LedgerRow | OldRow) -> Verdict:
    if isinstance(row, LedgerRow):
        return row.outcome.verdict
    return VERDICTS[OLD_FAILED if row.exit_code else OLD_PASSED]


class Window(Struct, frozen=True):
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


class Day(Struct, frozen=True):
    """One day (YYYY-MM-DD) on which runs finished. `outcomes` maps an outcome to its number of runs."""

    day: str
    outcomes: Mapping[str, int]
    total: Tally
    spend_usd: float
    unpriced: int


class Cause(Struct, frozen=True):
    """Why runs failed: an outcome with the first words of its detail, and how many of them there were."""

    outcome: str
    detail: str
    count: int


class Medians(Struct, frozen=True):
    """Over the period's runs; None where there is none to take it of."""

    seconds: float | None = None
    turns: int | None = None
    cost_usd: float | None = None


class WorkerUsage(Struct, frozen=True):
    """What the period's runs of one worker with one model took; `model` "" where none was called.

    `spend_usd` is of the runs whose price is known; `unpriced` counts the others.
    """

    worker: str
    model: str
    runs: int
    medians: Medians
    spend_usd: float
    unpriced: int


class RepoRuns(Struct, frozen=True):
    """A repository's runs: the last ones, the newest first, and how many failed in a row up to now."""

    repo: str
    last: tuple[LedgerRow | OldRow, ...]
    failures_in_a_row: int


class Figures(Struct, frozen=True):
    """What one pass over the ledger says. `bad_lines` is how many lines are no row; `bad_examples`, some.

    `windows` in the order 24 hours, 7 days, 30 days, all time; `days` and `repos` sorted, days without a run
    left out; `causes` the most frequent first; `latest` the newest first, and so `asking`, the
    newest five of `asking_count`. `unreadable` is the reason where the ledger could not be read, and then
    everything else is empty.
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
    asking: tuple[LedgerRow | OldRow, ...] = ()
    asking_count: int = 0
    pull_urls: frozenset[str] = frozenset()
    rounds: Mapping[str, int] = {}  # follow-ups pushed, by the pull request's address
    triggers: Mapping[str, int] = {}  # what follow-ups were begun for
    spend_usd: float = 0.0
    unpriced: int = 0
    rows: int = 0
    old_rows: int = 0
    future_rows: int = 0
    bad_lines: int = 0
    bad_examples: tuple[BadLine, ...] = ()
    unreadable: str = ""


class ActiveRun(Struct, frozen=True):
    """A run that is not settled. `phase` as in domain.Phase, or "paused"; `seconds` since it started; stuck
    once it is past its limit.

    `pauses`: how often in a row it was cut short without progress; the others are as in domain.Run.
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
    purpose: str = "issue"
    round: int = 0
    paused_since: datetime | None = None
    paused_why: str = ""
    pauses: int = 0


class RepoStatus(Struct, frozen=True):
    """One repository now. `last_six` are its newest runs by verdict, `last` the rows, the newest first.

    `open_issues` None: not asked, or no answer (then `open_issues_note` says why). `forge` "" where only the
    ledger knows the repository. `ticked_at` None: no tick was seen. `interval_s` None: not known yet.
    `failed_ticks` in a row failed since `failing_since`, the last with `exit_code`. `latest_id` and
    `latest_pauses` are of the latest run, where its folder is still there.
    """

    forge: str
    repo: str
    last_six: Tally
    last: tuple[LedgerRow | OldRow, ...]
    latest: LedgerRow | OldRow | None
    latest_title: str
    failures_in_a_row: int
    open_issues: int | None
    open_issues_note: str
    ticked_at: datetime | None
    tick_outcome: str
    interval_s: float | None
    is_late: bool
    is_watched: bool
    exit_code: int = 0
    failed_ticks: int = 0
    failing_since: datetime | None = None
    latest_id: str = ""
    latest_pauses: int = 0


class Service(Struct, frozen=True):
    """A server that the runs need; `said` is the reason where it is down."""

    name: str
    url: str
    is_up: bool
    said: str = ""


class PullCounts(Struct, frozen=True):
    """What became of the pull requests. `states` maps an address to open, merged, closed, reverted or gone.

    `merged_after` counts the merged ones by how many follow-ups they took; `merged_reviewed` those on which a
    person had said something before, `merged_unseen` those on which nobody had (of the others it is not
    known). `rounds` are the follow-ups pushed, by the pull request's address; `triggers` counts what
    follow-ups were begun for. `asked_at` None: never asked yet. `problem` says what could not be asked the
    last time. `share_merged` goes from 0 to 1, None where nothing is decided yet.
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
    states: Mapping[str, str] = {}
    merged_after: Mapping[int, int] = {}
    merged_reviewed: int = 0
    merged_unseen: int = 0
    rounds: Mapping[str, int] = {}
    triggers: Mapping[str, int] = {}
    share_merged: float | None = None

    def __post_init__(self) -> None:
        _set(self, "share_merged", _share(self.merged, self.merged + self.closed + self.reverted))


class Workspaces(Struct, frozen=True):
    """The names of this machine's workspaces, the newest first; `in_use`: those of runs not settled."""

    folder: str = ""
    all: tuple[str, ...] = ()
    in_use: tuple[str, ...] = ()


class Alarm(Struct, frozen=True):
    """Something that a person should see to. `key` stays the same while it lasts."""

    key: str
    text: str


class Report(Struct, frozen=True):
    """Everything that a renderer shows. `spent_today_usd` None: it could not be read.

    `hosts`: those of the fleet that it is about, none where there is no fleet. `fleet_problem`: why the
    report is not about all that they know.
    """

    made_at: datetime
    results: str
    figures: Figures
    active: tuple[ActiveRun, ...]
    repos: tuple[RepoStatus, ...]
    pulls: PullCounts
    services: tuple[Service, ...]
    spent_today_usd: float | None
    ceiling_usd: float | None
    health: Health = msgspec.field(default_factory=Health)
    workspaces: Workspaces = Workspaces()
    hosts: tuple[Host, ...] = ()
    fleet_problem: str = ""
    alarms: tuple[Alarm, ...] = ()
