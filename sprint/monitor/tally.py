"""One pass over the ledger; what it keeps grows with days, names and causes, not with rows."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

from sprint.domain import LedgerRow, Verdict
from sprint.errors import SprintError
from sprint.ledger import rows
from sprint.ledger.rows import OldRow
from sprint.monitor.figures import VERDICTS, Cause, Day, Figures, Medians, RepoRuns, Tally, Window, tally_of
from sprint.monitor.raw_rows import RawRows, row_of

LAST_OF_A_REPO = 6
LATEST = 40
_CAUSES = 5000  # kept while counting; beyond that, rare ones count under their outcome alone
_PERIOD = timedelta(days=30)
_CLOCK_SLACK = timedelta(minutes=5)
_WINDOWS = (("30 days", 720.0), ("7 days", 168.0), ("24 hours", 24.0))

_PASSED = frozenset(outcome for outcome, verdict in VERDICTS.items() if verdict is Verdict.PASSED)
_FAILED = frozenset(outcome for outcome, verdict in VERDICTS.items() if verdict is Verdict.FAILED)

_Group = tuple[str, str, str, str]  # repository, worker, model, outcome
_GROUP: Callable[[list[str]], _Group] = itemgetter(2, 8, 9, 4)
_OUTCOME: Callable[[list[str]], str] = itemgetter(4)
_SECONDS: Callable[[list[str]], str] = itemgetter(11)
_TURNS: Callable[[list[str]], str] = itemgetter(12)
_COST: Callable[[list[str]], str] = itemgetter(15)
_Number = TypeVar("_Number", int, float)


def figures(
    results: Path, now: datetime, *, since: datetime | None = None, repos: Collection[str] = ()
) -> Figures:
    """The ledger's figures; `repos` empty means all. Never raises: see `Figures.unreadable`."""
    counting = _Counting(now, since, frozenset(repos))
    lines = RawRows(results, {*counting.bounds, counting.first, counting.period})
    try:
        for batch in lines:
            lines.rows += len(batch)
            counting.add(batch)
    except SprintError as error:
        return Figures(made_at=now, since=since, unreadable=str(error))
    return counting.figures(lines)


@dataclass
class _Day:
    outcomes: Counter[str] = field(default_factory=Counter)
    spend: float = 0.0
    unpriced: int = 0


class _Counting:
    """What is kept of the rows while they go by. Times are compared as text, which ISO 8601 allows."""

    def __init__(self, now: datetime, since: datetime | None, only: frozenset[str]) -> None:
        self.now, self.since, self.only = now, since, only
        ago = [_text(now - timedelta(hours=hours)) for _, hours in _WINDOWS]
        # Between the bounds are the bands: older than 30 days, 7 days, 24 hours, then till now, and ahead.
        self.bounds = [*ago, _text(now + _CLOCK_SLACK)]
        self.first = _text(since) if since else ""
        self.period = self.first or _text(now - _PERIOD)
        self.bands: list[Counter[_Group]] = [Counter() for _ in range(len(self.bounds) + 1)]
        self.days: defaultdict[str, _Day] = defaultdict(_Day)
        self.last: defaultdict[str, deque[list[str]]] = defaultdict(lambda: deque(maxlen=LAST_OF_A_REPO))
        self.latest: deque[list[str]] = deque(maxlen=LATEST)
        self.streaks: defaultdict[str, int] = defaultdict(int)
        self.seconds: Counter[str] = Counter()
        self.turns: Counter[str] = Counter()
        self.costs: Counter[str] = Counter()
        self.causes: Counter[tuple[str, str]] = Counter()

    def add(self, batch: list[list[str]]) -> None:
        """Count rows of one day that lie on one side of every bound."""
        when = batch[0][0]
        if self.only:
            batch = [fields for fields in batch if fields[2] in self.only]
        if when < self.first or not batch:
            return
        self.bands[bisect_right(self.bounds, when)].update(map(_GROUP, batch))
        day = self.days[when[:10]]
        day.outcomes.update(map(_OUTCOME, batch))
        costs = list(map(_COST, batch))
        day.spend += _sum(costs)
        if "" in costs:
            day.unpriced += sum(1 for fields in batch if not fields[15] and fields[9])
        self.latest.extend(batch)
        last, streaks, failed, passed = self.last, self.streaks, _FAILED, _PASSED
        for fields in batch:
            repo, outcome = fields[2], fields[4]
            last[repo].append(fields)
            if outcome in failed:
                streaks[repo] += 1
            elif outcome in passed:
                streaks[repo] = 0
        if self.period <= when < self.bounds[-1]:
            self._add_recent(batch)

    def _add_recent(self, batch: list[list[str]]) -> None:
        self.seconds.update(map(_SECONDS, batch))
        self.turns.update(map(_TURNS, batch))
        self.costs.update(cost[:-2] if cost[-7:-6] == "." else cost for cost in map(_COST, batch))
        self.causes.update((fields[4], fields[17]) for fields in batch if fields[4] in _FAILED)
        if len(self.causes) > _CAUSES:
            self._fold_causes()

    def _fold_causes(self) -> None:
        """Bring the causes to their common forms; the rare ones lose their details if there are too many."""
        folded: Counter[tuple[str, str]] = Counter()
        for (outcome, detail), count in self.causes.items():
            folded[outcome, _cause(detail)] += count
        self.causes = Counter(dict(folded.most_common(_CAUSES // 2)))
        for (outcome, _), count in (folded - self.causes).items():
            self.causes[outcome, ""] += count

    def figures(self, lines: RawRows) -> Figures:
        self._fold_causes()
        since = f"since {self.since:%Y-%m-%d %H:%M}" if self.since else ""
        causes = sorted(self.causes.items(), key=lambda item: (-item[1], item[0]))
        return Figures(
            made_at=self.now,
            since=self.since,
            period=since or "30 days",
            windows=(*self._windows(), self._window(since or "all time", None, self.bands)),
            days=tuple(_day(date, day) for date, day in sorted(self.days.items()) if day.outcomes),
            causes=tuple(Cause(outcome, detail, count) for (outcome, detail), count in causes),
            medians=Medians(
                seconds=_median(self.seconds, float),
                turns=_median(self.turns, int),
                cost_usd=_median(self.costs, float),
            ),
            repos=tuple(
                RepoRuns(repo, _newest_first(last), self.streaks[repo])
                for repo, last in sorted(self.last.items())
            ),
            latest=_newest_first(self.latest),
            spend_usd=sum(day.spend for day in self.days.values()),
            unpriced=sum(day.unpriced for day in self.days.values()),
            rows=lines.rows,
            old_rows=lines.old_rows,
            future_rows=sum(self.bands[-1].values()),
            bad_lines=lines.bad,
            bad_examples=tuple(lines.examples),
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
        total = Tally()
        for band in bands:
            for (repo, worker, model, outcome), count in band.items():
                tally = tally_of(VERDICTS[outcome], count)
                total += tally
                outcomes[outcome] += count
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
        )


def _named(group: Mapping[str, Tally]) -> dict[str, Tally]:
    return {name: tally for name, tally in sorted(group.items()) if name}


def _day(date: str, day: _Day) -> Day:
    tally = sum((tally_of(VERDICTS[outcome], count) for outcome, count in day.outcomes.items()), Tally())
    return Day(date, dict(day.outcomes), tally, day.spend, day.unpriced)


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _sum(costs: list[str]) -> float:
    """The sum of dollars as they are written; what is no sum of money (a broken row's) is none."""
    with suppress(ValueError):
        total = sum(map(float, filter(None, costs)))
        if 0.0 <= total < 1e9:
            return total
    return sum(_sum([cost]) for cost in costs) if len(costs) > 1 else 0.0


_PARTICULARS = re.compile(
    r"[0-9]{8}T[0-9]{6}Z-[A-Za-z0-9._-]+|\b(?=[0-9a-f]*[0-9])[0-9a-f]{7,40}\b|[0-9]+(?:[.,][0-9]+)*"
)


def _cause(detail: str) -> str:
    """The first words of a detail, the same for all runs that failed so."""
    return _PARTICULARS.sub("N", rows.plain(detail).split(";")[0])[:100].lstrip(" ,:").rstrip(" .:,\r")


def _median(counts: Mapping[str, int], number: Callable[[str], _Number]) -> _Number | None:
    """The lower median of numbers as they are written, with how often each is there."""
    values = []
    for text, count in counts.items():
        with suppress(ValueError):
            value = number(text)
            if 0 <= value < 1e12:
                values.append((value, count))
    middle = (sum(count for _, count in values) + 1) // 2
    for value, count in sorted(values):
        middle -= count
        if middle <= 0:
            return value
    return None


def _newest_first(kept: Collection[list[str]]) -> tuple[LedgerRow | OldRow, ...]:
    parsed = [row_of(fields) for fields in kept]
    return tuple(row for row in reversed(parsed) if row is not None)
