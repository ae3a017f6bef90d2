"""The ledger's rows as fields, unparsed, for figures over all of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from sprint import ledger
from sprint.domain import LedgerRow, Outcome
from sprint.ledger import rows
from sprint.ledger.rows import BadLine, OldRow
from sprint.monitor.figures import OLD_FAILED, OLD_PASSED

_BAD_EXAMPLES = 5


class RawRows:
    """The ledger's rows as fields in our own order, unparsed: this is the pass that must be fast.

    They come in batches, each of one day and with no bound between its rows. A line of the right width,
    with an outcome and a repository that were met before, goes into its batch as it is; every other one is
    parsed in full, and given out or counted as bad.
    """

    def __init__(self, results: Path, bounds: Collection[str]) -> None:
        self._results = results
        self._bounds = sorted(bounds)
        self._layouts: list[tuple[str, ...]] = [rows.COLUMNS]
        self._repos: set[str] = set()
        self.rows = self.old_rows = self.bad = 0
        self.examples: list[BadLine] = []

    def __iter__(self) -> Iterator[list[list[str]]]:
        repos, outcomes, width = self._repos, frozenset(Outcome), len(rows.COLUMNS)
        before, low, high = 0, "", ""
        for block in ledger.blocks(self._results):
            batch: list[list[str]] = []
            for number, line in enumerate(block, before + 1):
                fields = line.split(",") if '"' not in line else rows.split(line)
                if (
                    len(fields) != width
                    or fields[2] not in repos
                    or fields[4] not in outcomes
                    or not low <= fields[0] < high
                    or len(fields[0]) != 20
                ):
                    fields = self._parsed(number, line)
                    # A file of another layout has no line that can go through as it is.
                    width = len(rows.COLUMNS) if self._layouts[0] == rows.COLUMNS else -1
                    if not fields:
                        continue
                    if not low <= fields[0] < high:
                        if batch:
                            yield batch
                        batch = []
                        low, high = self._around(fields[0])
                batch.append(fields)
            before += len(block)
            if batch:
                yield batch

    def _parsed(self, number: int, line: str) -> list[str]:
        """The slow way: the fields of a line that is a row of any kind, none of any other."""
        row = rows.parse(line, self._layouts)
        if isinstance(row, LedgerRow | OldRow):
            self._repos.add(row.repo)
            self.old_rows += isinstance(row, OldRow)
            return _fields_of(row)
        if row is not None:
            self.bad += 1
            if len(self.examples) < _BAD_EXAMPLES:
                self.examples.append(BadLine(number, line[:200], row))
        return []

    def _around(self, when: str) -> tuple[str, str]:
        """The bounds next to a time, of its day or of those given, from the first until before the second."""
        place = bisect_right(self._bounds, when)
        date = when[:10]
        return max([f"{date}T", *self._bounds[:place]]), min([f"{date}U", *self._bounds[place:]])


def _fields_of(row: LedgerRow | OldRow) -> list[str]:
    if isinstance(row, LedgerRow):
        return rows.split(rows.write(row, rows.COLUMNS).decode().rstrip("\n"))
    outcome = OLD_FAILED if row.exit_code else OLD_PASSED
    known = {
        "finished_at": f"{row.finished_at:%Y-%m-%dT%H:%M:%SZ}",
        "repo": row.repo,
        "issue": str(row.issue),
        "outcome": outcome,
        "exit_code": str(row.exit_code),
    }
    return [known.get(name, "") for name in rows.COLUMNS]


def row_of(fields: list[str]) -> LedgerRow | OldRow | None:
    """A line that was given out as fields, parsed; None where a field is not what it should be."""
    with suppress(KeyError, ValueError, OverflowError):
        if fields[4] in (OLD_PASSED, OLD_FAILED):
            return OldRow(datetime.fromisoformat(fields[0]), fields[2], int(fields[3]), int(fields[5]))
        return rows.of_values(dict(zip(rows.COLUMNS, fields, strict=True)))
    return None
