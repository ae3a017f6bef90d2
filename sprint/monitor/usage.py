"""Time, turns and dollars of runs, by worker and model."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

from sprint.ledger import rows
from sprint.monitor.columns import Columns
from sprint.monitor.figures import Medians, WorkerUsage

_Number = TypeVar("_Number", int, float)
_Counts = Counter[tuple[str, str, str]]  # worker, model, a number as it is written


class UsageCount:
    """What is kept of the period's rows: how often each number is there, by worker and model."""

    def __init__(self) -> None:
        self._seconds: _Counts = Counter()
        self._turns: _Counts = Counter()
        self._costs: _Counts = Counter()

    def add(self, columns: Columns) -> None:
        """Count rows; dollars to a hundredth of a cent."""
        for counts, numbers in (
            (self._seconds, columns.duration_s),
            (self._turns, columns.turns),
            (self._costs, [cost[:-2] if cost[-7:-6] == "." else cost for cost in columns.cost_usd]),
        ):
            counts.update(zip(columns.worker, columns.model, numbers, strict=True))

    def medians(self) -> Medians:
        """Over all of them."""
        return Medians(
            seconds=_median(_values(self._seconds, float)),
            turns=_median(_values(self._turns, int)),
            cost_usd=_median(_values(self._costs, float)),
        )

    def by_worker_and_model(self) -> tuple[WorkerUsage, ...]:
        """Sorted by their names; runs that called no model have their row too."""
        seconds, turns, costs = map(_apart, (self._seconds, self._turns, self._costs))
        return tuple(
            WorkerUsage(
                worker=rows.plain(worker),
                model=rows.plain(model),
                runs=sum(seconds[worker, model].values()),
                medians=Medians(
                    seconds=_median(_values(seconds[worker, model], float)),
                    turns=_median(_values(turns[worker, model], int)),
                    cost_usd=_median(_values(costs[worker, model], float)),
                ),
                spend_usd=sum(value * count for value, count in _values(costs[worker, model], float)),
                unpriced=costs[worker, model][worker, model, ""] if model else 0,
            )
            for worker, model in sorted(seconds)
            if worker or model  # rows of the system before have neither
        )


def _apart(counts: _Counts) -> defaultdict[tuple[str, str], _Counts]:
    found: defaultdict[tuple[str, str], _Counts] = defaultdict(Counter)
    for key, count in counts.items():
        found[key[:2]][key] = count
    return found


def _values(counts: _Counts, number: Callable[[str], _Number]) -> list[tuple[_Number, int]]:
    """The numbers and how often each is there, without those that are none."""
    found = []
    for (_, _, text), count in counts.items():
        with suppress(ValueError):
            value = number(text)
            if 0 <= value < 1e12:
                found.append((value, count))
    return found


def _median(values: Iterable[tuple[_Number, int]]) -> _Number | None:
    """The lower median of values that are there so often."""
    ranked = sorted(values)
    middle = (sum(count for _, count in ranked) + 1) // 2
    for value, count in ranked:
        middle -= count
        if middle <= 0:
            return value
    return None
