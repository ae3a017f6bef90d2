"""Time, turns and dollars of runs, by worker and model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from operator import itemgetter
from typing import TypeVar

from sprint.ledger import rows
from sprint.monitor.columns import Columns
from sprint.monitor.figures import Medians, WorkerUsage

_Number = TypeVar("_Number", int, float)
_Key = tuple[str, str]  # worker, model


class _Counts:
    """How often each number is there, as it is written."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, int] = defaultdict(int)
        self.turns: defaultdict[str, int] = defaultdict(int)
        self.costs: defaultdict[str, int] = defaultdict(int)  # to a hundredth of a cent


class UsageCount:
    """What is kept of the period's rows."""

    def __init__(self) -> None:
        self._counts: defaultdict[_Key, _Counts] = defaultdict(_Counts)

    def add(self, columns: Columns) -> None:
        keys = zip(columns.worker, columns.model, strict=True)
        for key, seconds, turns, cost in zip(
            keys, columns.duration_s, columns.turns, columns.cost_usd, strict=True
        ):
            counts = self._counts[key]
            counts.seconds[seconds] += 1
            counts.turns[turns] += 1
            counts.costs[cost[:-2] if cost[-7:-6] == "." else cost] += 1

    def medians(self) -> Medians:
        """Over all of them."""
        return _medians(self._counts.values())

    def by_worker_and_model(self) -> tuple[WorkerUsage, ...]:
        """Sorted by their names; runs that called no model have their row too."""
        return tuple(
            WorkerUsage(
                worker=rows.plain(worker),
                model=rows.plain(model),
                runs=sum(counts.turns.values()),
                medians=_medians([counts]),
                spend_usd=round(sum(usd * count for usd, count in _values([counts.costs], float)), 6),
                unpriced=counts.costs[""] if model else 0,
            )
            for (worker, model), counts in sorted(self._counts.items(), key=itemgetter(0))
            if worker or model  # rows of the system before have neither
        )


def _medians(counts: Collection[_Counts]) -> Medians:
    return Medians(
        seconds=_median(_values([one.seconds for one in counts], float)),
        turns=_median(_values([one.turns for one in counts], int)),
        cost_usd=_median(_values([one.costs for one in counts], float)),
    )


def _values(
    counts: Iterable[Mapping[str, int]], number: Callable[[str], _Number]
) -> Iterator[tuple[_Number, int]]:
    """The numbers and how often each is there, without those that are none."""
    for one in counts:
        try:
            values = list(map(number, one))
        except ValueError:
            yield from _sound_values(one, number)
        else:
            yield from (
                (value, n) for value, n in zip(values, one.values(), strict=True) if 0 <= value < 1e12
            )


def _sound_values(
    counts: Mapping[str, int], number: Callable[[str], _Number]
) -> Iterator[tuple[_Number, int]]:
    for text, count in counts.items():
        with suppress(ValueError):
            value = number(text)
            if 0 <= value < 1e12:
                yield value, count


def _median(values: Iterable[tuple[_Number, int]]) -> _Number | None:
    """The lower median of values that are there so often."""
    ranked = sorted(values)
    middle = (sum(count for _, count in ranked) + 1) // 2
    for value, count in ranked:
        middle -= count
        if middle <= 0:
            return value
    return None
