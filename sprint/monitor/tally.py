"""One pass over the ledger; what it keeps grows with days, names and causes, not with rows."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import compress
from pathlib import Path

from sprint import decoding
from sprint.domain import LedgerRow, Outcome, Verdict
from sprint.errors import SprintError
from sprint.ledger import rows
from sprint.ledger.rows import OldRow
from sprint.monitor.columns import ColumnReader, Columns
from sprint.monitor.figures import (
    VERDICTS,
    Cause,
    Day,
    Figures,
    RepoRuns,
    Tally,
    Window,
    tally_of,
)
from sprint.monitor.usage import UsageCount

LAST_OF_A_REPO = 6
LATEST = 40
ASKING = 5
_LOOKED_AT_ONCE = 32  # blocks of rows: a repository's last runs are mostly in the last of them
_CAUSES = 5000  # kept while counting; beyond that, rare ones count under their outcome alone
PERIOD = timedelta(days=30)  # without --since
_CLOCK_SLACK = timedelta(minutes=5)
_WINDOWS = (("30 days", 720.0), ("7 days", 168.0), ("24 hours", 24.0))

_PASSED = frozenset(outcome for outcome, verdict in VERDICTS.items() if verdict is Verdict.PASSED)
_FAILED = frozenset(outcome for outcome, verdict in VERDICTS.items() if verdict is Verdict.FAILED)
# What happened to the operator is in no pass rate; that it happens again and again is worth an alarm.
_IN_A_ROW = _FAILED | {Outcome.INTERRUPTED.value}

_Group = tuple[str, str, str, str, str]  # repository, worker, model, outcome, proof


def figures(
    results: Path, now: datetime, *, since: datetime | None = None, repos: Collection[str] = ()
) -> Figures:
    """The ledger's figures; `repos` empty means all. Never raises: see `Figures.unreadable`."""
    counting = _Counting(now, since, frozenset(repos))
    reader = ColumnReader(results)
    try:
        for columns in reader:
            counting.add(columns)
    except SprintError as error:
        return Figures(made_at=now, since=since, unreadable=str(error))
    return counting.figures(reader)


@dataclass
class _Day:
    outcomes: Counter[str] = field(default_factory=Counter)
    spend: float = 0.0
    unpriced: int = 0


Source = tuple[str, tuple[tuple[str, ...], ...]]  # a line, and the headers that it is to be read by


class _Tail:
    """A repository's last runs, the newest first, and how many failed since one passed."""

    __slots__ = ("failures", "has_passed", "newest")

    def __init__(self) -> None:
        self.newest: list[Source] = []
        self.failures = 0
        self.has_passed = False

    @property
    def is_finished(self) -> bool:
        return self.has_passed and len(self.newest) >= LAST_OF_A_REPO

    def add(self, outcome: str, source: Source) -> None:
        """The run before those that it has."""
        if len(self.newest) < LAST_OF_A_REPO:
            self.newest.append(source)
        if not self.has_passed:
            self.has_passed = outcome in _PASSED
            self.failures += outcome in _IN_A_ROW

    def after(self, before: _Tail | None) -> _Tail:
        """This one with what came before it."""
        if before is not None:
            self.newest = (self.newest + before.newest)[:LAST_OF_A_REPO]
            self.failures += 0 if self.has_passed else before.failures
        return self


_UPDATED, _ASKS = Outcome.PR_UPDATED.value, Outcome.NEEDS_HUMAN.value


class _Counting:
    """What is kept of the rows while they go by. Times are compared as text, which ISO 8601 allows."""

    def __init__(self, now: datetime, since: datetime | None, only: frozenset[str]) -> None:
        self.now, self.since, self.only = now, since, only
        ago = [_text(now - timedelta(hours=hours)) for _, hours in _WINDOWS]
        # Between the bounds are the bands: older than 30 days, 7 days, 24 hours, then till now, and ahead.
        self.bounds = [*ago, _text(now + _CLOCK_SLACK)]
        self.first = _text(since) if since else ""
        self.period = self.first or _text(now - PERIOD)
        self.bands: list[Counter[_Group]] = [Counter() for _ in range(len(self.bounds) + 1)]
        self.days: defaultdict[str, _Day] = defaultdict(_Day)
        self.tails: dict[str, _Tail] = {}
        self.latest: deque[Source] = deque(maxlen=LATEST)
        self.asking: dict[tuple[str, str], tuple[str, Source]] = {}  # by repository and issue
        self.newest: list[Columns] = []  # whose last runs are still to be looked at
        self.usage = UsageCount()
        self.pull_urls: set[str] = set()
        self.rounds: Counter[str] = Counter()
        self.triggers: Counter[str] = Counter()
        self.causes: Counter[tuple[str, str]] = Counter()

    def add(self, columns: Columns) -> None:
        if self.only:
            columns = columns.where([repo in self.only for repo in columns.repo])
        if self.first:
            columns = columns.where([time >= self.first for time in columns.finished_at])
        if not columns.lines:
            return
        first, last = min(columns.finished_at), max(columns.finished_at)
        self._add_groups(columns, first, last)
        self._add_days(columns, first, last)
        self.newest.append(columns)
        if len(self.newest) == _LOOKED_AT_ONCE:
            self._add_last()
        self.pull_urls.update(filter(None, columns.pr_url))
        if _UPDATED in columns.outcome:
            self.rounds.update(compress(columns.pr_url, map(_UPDATED.__eq__, columns.outcome)))
        if any(columns.trigger):
            # The last column has what an editor on Windows put behind it.
            self.triggers.update(filter(None, map(str.strip, columns.trigger)))
        if first < self.bounds[-1] and last >= self.period:
            self._add_recent(columns, is_whole=self.period <= first and last < self.bounds[-1])

    def _add_groups(self, columns: Columns, first: str, last: str) -> None:
        groups = zip(columns.repo, columns.worker, columns.model, columns.outcome, columns.proof, strict=True)
        band = bisect_right(self.bounds, first)
        if band == bisect_right(self.bounds, last):
            self.bands[band].update(groups)
        else:
            for time, group in zip(columns.finished_at, groups, strict=True):
                self.bands[bisect_right(self.bounds, time)][group] += 1

    def _add_days(self, columns: Columns, first: str, last: str) -> None:
        amounts = _dollars(columns.cost_usd)
        if first[:10] == last[:10]:
            day = self.days[first[:10]]
            day.outcomes.update(columns.outcome)
            day.spend += sum(amounts)
        else:
            for time, outcome, amount in zip(columns.finished_at, columns.outcome, amounts, strict=True):
                day = self.days[time[:10]]
                day.outcomes[outcome] += 1
                day.spend += amount
        if "" in columns.cost_usd:
            for time, cost, model in zip(columns.finished_at, columns.cost_usd, columns.model, strict=True):
                self.days[time[:10]].unpriced += bool(model and not cost)

    def _add_last(self) -> None:
        """From the newest back, and no further than there is something to find."""
        tails = {repo: _Tail() for columns in self.newest for repo in set(columns.repo)}
        unfinished = set(tails)
        for columns in reversed(self.newest):
            if not unfinished:
                break
            for repo, outcome, line in zip(
                reversed(columns.repo), reversed(columns.outcome), reversed(columns.lines), strict=True
            ):
                if repo in unfinished:
                    tails[repo].add(outcome, (line, columns.layouts))
                    if tails[repo].is_finished:
                        unfinished.discard(repo)
        for repo, tail in tails.items():
            self.tails[repo] = tail.after(self.tails.get(repo))
        for columns in self.newest:
            self.latest.extend((line, columns.layouts) for line in columns.lines[-LATEST:])
        self.newest = []

    def _add_recent(self, columns: Columns, *, is_whole: bool) -> None:
        if not is_whole:
            columns = columns.where([self.period <= time < self.bounds[-1] for time in columns.finished_at])
        self.usage.add(columns)
        if self.asking or _ASKS in columns.outcome:
            self._add_asking(columns)
        failed = map(_FAILED.__contains__, columns.outcome)
        self.causes.update(compress(zip(columns.outcome, columns.detail, strict=True), failed))
        if len(self.causes) > _CAUSES:
            self._fold_causes()

    def _add_asking(self, columns: Columns) -> None:
        """The questions in these rows, without those whose issue was taken up again."""
        issues = zip(columns.repo, columns.issue, strict=True)
        ends = zip(columns.outcome, columns.finished_at, columns.lines, strict=True)
        last = dict(zip(issues, ends, strict=True))
        for at in self.asking.keys() & last.keys():
            del self.asking[at]
        for at, (outcome, time, line) in last.items():
            if outcome == _ASKS and at[1]:  # a task has no issue that waits
                self.asking[at] = (time, (line, columns.layouts))

    def _fold_causes(self) -> None:
        """Bring the causes to their common forms; the rare ones lose their details if there are too many."""
        folded: Counter[tuple[str, str]] = Counter()
        for (outcome, detail), count in self.causes.items():
            folded[outcome, cause_of(detail)] += count
        self.causes = Counter(dict(folded.most_common(_CAUSES // 2)))
        for (outcome, _), count in (folded - self.causes).items():
            self.causes[outcome, ""] += count

    def figures(self, reader: ColumnReader) -> Figures:
        self._add_last()
        self._fold_causes()
        since = f"since {self.since:%Y-%m-%d %H:%M}" if self.since else ""
        asking = sorted(self.asking.values(), reverse=True)[:ASKING]
        causes = sorted(self.causes.items(), key=lambda item: (-item[1], item[0]))
        return Figures(
            made_at=self.now,
            since=self.since,
            period=since or "30 days",
            windows=(*self._windows(), self._window(since or "all time", None, self.bands)),
            days=tuple(_day(date, day) for date, day in sorted(self.days.items())),
            causes=tuple(Cause(outcome, detail, count) for (outcome, detail), count in causes),
            medians=self.usage.medians(),
            usage=self.usage.by_worker_and_model(),
            repos=tuple(
                RepoRuns(repo, parsed(tail.newest), tail.failures)
                for repo, tail in sorted(self.tails.items())
            ),
            latest=parsed(reversed(self.latest)),
            asking=parsed(source for _, source in asking),
            asking_count=len(self.asking),
            pull_urls=frozenset(map(rows.plain, self.pull_urls)),
            rounds={rows.plain(url): count for url, count in self.rounds.items()},
            triggers={rows.plain(what): count for what, count in self.triggers.most_common()},
            spend_usd=round(sum(day.spend for day in self.days.values()), 6),
            unpriced=sum(day.unpriced for day in self.days.values()),
            rows=reader.rows,
            old_rows=reader.old_rows,
            future_rows=sum(self.bands[-1].values()),
            bad_lines=reader.bad,
            bad_examples=tuple(reader.examples),
        )

    def _windows(self) -> Iterator[Window]:
        """The shortest first; what is ahead of now is in none of them."""
        for back, (name, hours) in enumerate(reversed(_WINDOWS), 2):
            yield self._window(name, hours, self.bands[-back:-1])

    def _window(self, name: str, hours: float | None, bands: list[Counter[_Group]]) -> Window:
        by_repo: defaultdict[str, Tally] = defaultdict(Tally)
        by_worker: defaultdict[str, Tally] = defaultdict(Tally)
        by_model: defaultdict[str, Tally] = defaultdict(Tally)
        outcomes: Counter[str] = Counter()
        proofs: Counter[str] = Counter()
        total = Tally()
        for band in bands:
            for (repo, worker, model, outcome, proof), count in band.items():
                tally = tally_of(VERDICTS[outcome], count, proof)
                total += tally
                outcomes[outcome] += count
                proofs[proof] += count
                by_repo[repo] += tally
                by_worker[rows.plain(worker)] += tally
                by_model[rows.plain(model)] += tally
        return Window(
            name=name,
            hours=hours,
            total=total,
            by_repo=_named(by_repo),
            by_worker=_named(by_worker),
            by_model=_named(by_model),
            by_outcome=dict(outcomes.most_common()),
            by_proof={proof: count for proof, count in proofs.most_common() if proof},
        )


def _named(group: Mapping[str, Tally]) -> dict[str, Tally]:
    return {name: tally for name, tally in sorted(group.items()) if name}


def _day(date: str, day: _Day) -> Day:
    tally = sum((tally_of(VERDICTS[outcome], count) for outcome, count in day.outcomes.items()), Tally())
    return Day(date, dict(day.outcomes), tally, round(day.spend, 6), day.unpriced)


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _dollars(costs: Sequence[str]) -> list[float]:
    """Dollars as they are written; 0 for what is unknown, and for what is no sum of money."""
    with suppress(ValueError):
        if "" in costs:
            amounts = [float(cost) if cost else 0.0 for cost in costs]
        else:  # five times as fast
            amounts = decoding.decode(f"[{','.join(costs)}]", list[float])
        if min(amounts) >= 0.0 and sum(amounts) < 1e9:
            return amounts
    return [amount for cost in costs for amount in _dollars([cost])] if len(costs) > 1 else [0.0]


_PARTICULARS = re.compile(
    r"[0-9]{8}T[0-9]{6}Z-[A-Za-z0-9._-]+|\b(?=[0-9a-f]*[0-9])[0-9a-f]{7,40}\b|[0-9]+(?:[.,][0-9]+)*"
)


def cause_of(detail: str) -> str:
    """The first words of a detail, the same for all runs that failed so."""
    return _PARTICULARS.sub("N", rows.plain(detail).split(";")[0])[:100].lstrip(" ,:").rstrip(" .:,\r")


def parsed(kept: Iterable[Source]) -> tuple[LedgerRow | OldRow, ...]:
    """The rows of lines; one with a number that is none is left out."""
    parsed = (rows.parse(line, list(layouts)) for line, layouts in kept)
    return tuple(row for row in parsed if isinstance(row, LedgerRow | OldRow))
