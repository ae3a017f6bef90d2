"""The ledger's rows by column, as text, for figures over all of them.

Lines are split, checked and taken a block at a time; only in a block with anything unusual in it each line
is looked at by itself. Whoever wrote the rows, this costs no more than a few passes of csv's own reader.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import compress, repeat
from operator import itemgetter
from pathlib import Path
from typing import ClassVar, NamedTuple

from sprint import ledger
from sprint.domain import Outcome
from sprint.ledger import rows
from sprint.ledger.rows import BadLine, OldRow
from sprint.monitor.figures import OLD_FAILED, OLD_PASSED

_BAD_EXAMPLES = 5
_NEEDED = frozenset({"finished_at", "run_id", "repo", "issue", "outcome"})
_OUTCOMES = frozenset(outcome.value for outcome in Outcome)

Layout = tuple[str, ...]  # a header
_Record = tuple[str, ...]  # a row's values, as _NAMES has them


class Columns(NamedTuple):
    """Rows in the file's order, a sequence for each column; `finished_at` as `2026-11-21T12:00:00Z`."""

    finished_at: Sequence[str]
    repo: Sequence[str]
    issue: Sequence[str]
    outcome: Sequence[str]
    worker: Sequence[str]
    model: Sequence[str]
    duration_s: Sequence[str]
    turns: Sequence[str]
    cost_usd: Sequence[str]
    detail: Sequence[str]
    proof: Sequence[str]
    pr_url: Sequence[str]
    trigger: Sequence[str]
    lines: Sequence[str]
    layouts: tuple[Layout, ...]  # by which the lines are read

    def where(self, selected: Collection[object]) -> Columns:
        """The rows for which `selected`, one for each, is true."""
        return Columns._make((*(tuple(compress(column, selected)) for column in self[:-1]), self.layouts))


_NAMES = Columns._fields[:-2]
_ISSUE, _OUTCOME = _NAMES.index("issue"), _NAMES.index("outcome")


class ColumnReader:
    """Reads a ledger once. What it counted is known when it was gone through to the end."""

    def __init__(self, results: Path) -> None:
        self._results = results
        self._times = _Times()
        self._read_by((rows.WITHOUT_HEADER,))
        self.rows = self.old_rows = self.bad = 0
        self.examples: list[BadLine] = []

    def __iter__(self) -> Iterator[Columns]:
        """Raises SprintError where the ledger cannot be read."""
        before = 0
        for block in ledger.blocks(self._results):
            split = _split(block)
            alike = self._all_alike(block, split)
            for columns in (alike,) if alike else self._one_by_one(block, split, before):
                if columns.lines:
                    self.rows += len(columns.lines)
                    yield columns
            before += len(block)

    def _read_by(self, layouts: tuple[Layout, ...]) -> None:
        """From here on, rows may be by any of these headers, the newest first."""
        self._layouts = layouts
        self._takers: dict[int, list[_Taker]] = {}
        for header in layouts:
            if set(header) >= _NEEDED:
                columns = rows.all_columns(header)
                for width in dict.fromkeys((len(header), len(columns))):
                    self._takers.setdefault(width, []).append(_Taker(columns[:width]))

    def _all_alike(self, block: list[str], split: list[list[str]]) -> Columns | None:
        """The columns of lines that are rows by the newest header, each of them; else None."""
        widths = set(map(len, split))
        takers = self._takers.get(widths.pop(), ()) if len(widths) == 1 else ()
        if not takers:
            return None
        columns = Columns._make((*takers[0].columns(split), block, self._layouts))
        is_issue = "".join(columns.issue).isdecimal() or not any(columns.issue)
        if not (is_issue and _OUTCOMES.issuperset(columns.outcome)):
            return None
        with suppress(ValueError, OverflowError):
            return columns._replace(finished_at=self._times.all_utc(columns.finished_at))
        return None

    def _one_by_one(self, block: list[str], split: list[list[str]], before: int) -> Iterator[Columns]:
        """The same of lines of any kind, as many at a time as are read by the same headers."""
        bare = [line.strip(rows.AROUND) for line in block]
        if bare != block:
            split = _split(bare)
            if alike := self._all_alike(bare, split):
                yield alike
                return
        records: list[_Record] = []
        lines: list[str] = []
        layouts = self._layouts
        for number, (line, fields) in enumerate(zip(bare, split, strict=True), before + 1):
            record = self._record(fields) or self._unusual(number, line, fields)
            if record:
                records.append(record)
                lines.append(line)
            elif layouts is not self._layouts:
                yield _columns(records, lines, layouts)
                records, lines, layouts = [], [], self._layouts
        yield _columns(records, lines, layouts)

    def _record(self, fields: list[str]) -> _Record | None:
        """What is wanted of a line that is a row by one of the headers so far."""
        for taker in self._takers.get(len(fields), ()):
            record = taker.record(fields)
            if record[_OUTCOME] in _OUTCOMES:
                try:
                    int(record[_ISSUE] or 0)
                    time = self._times.utc(record[0])
                except (ValueError, OverflowError):
                    continue
                return record if time == record[0] else (time, *record[1:])
        return None

    def _unusual(self, number: int, line: str, fields: list[str]) -> _Record | None:
        """A row of the system before, an empty line, a header, or what is no row."""
        if not line:
            return None
        if old := rows.old_row(line):
            self.old_rows += 1
            return _of_old(old)
        if header := rows.as_header(fields):
            self._read_by((header, *(layout for layout in self._layouts if layout != header)))
            return None
        self.bad += 1
        if len(self.examples) < _BAD_EXAMPLES:
            reason = rows.parse(line, list(self._layouts))
            self.examples.append(BadLine(number, line[:200], str(reason)))
        return None


class _Taker:
    """Takes the wanted columns of rows that have these columns."""

    def __init__(self, columns: Layout) -> None:
        places = {name: place for place, name in enumerate(columns)}
        self._pad = [] if places.keys() >= set(_NAMES) else [""]
        self._get = itemgetter(*(places.get(name, len(columns)) for name in _NAMES))

    def record(self, fields: list[str]) -> _Record:
        record: _Record = self._get(fields + self._pad if self._pad else fields)
        return record

    def columns(self, split: list[list[str]]) -> Iterator[tuple[str, ...]]:
        if self._pad:
            split = [[*fields, ""] for fields in split]
        return zip(*map(self._get, split), strict=True)


def _columns(records: list[_Record], lines: list[str], layouts: tuple[Layout, ...]) -> Columns:
    columns = zip(*records, strict=True) if records else repeat((), len(_NAMES))
    return Columns._make((*columns, lines, layouts))


def _split(block: list[str]) -> list[list[str]]:
    """Each line's fields; a line whose quotes are broken has none, and takes none of the others with it."""
    with_quotes = [line for line in block if '"' in line]
    quoted: list[list[str]] = []
    with suppress(csv.Error):
        quoted = list(csv.reader(with_quotes, strict=True))
    if len(quoted) != len(with_quotes):  # a quote was open at a line's end
        quoted = [rows.split(line) for line in with_quotes]
    each = iter(quoted)
    return [next(each) if '"' in line else line.split(",") for line in block]


class _Times:
    """Brings times to the form in which we write them. Hours are understood once, minutes are taken over."""

    _HOUR, _REST = itemgetter(slice(13)), itemgetter(slice(13, None))
    _MINUTES: ClassVar = {text: f"{text}Z" for n in range(3600) for text in (f":{n // 60:02}:{n % 60:02}",)}
    _OURS = frozenset(_MINUTES.values())

    def __init__(self) -> None:
        self._ours: set[str] = set()  # hours met, as we write them: `2026-11-21T12`
        self._others: dict[str, str] = {}  # `2026-11-21 12` and what is behind the seconds, to ours

    def all_utc(self, texts: Sequence[str]) -> Sequence[str]:
        """Any ISO times in UTC; one without an offset is in UTC. Raises ValueError, OverflowError."""
        if self._OURS.issuperset(map(self._REST, texts)):
            hours = set(map(self._HOUR, texts))
            for hour in hours - self._ours:
                self._understood(f"{hour}:00:00Z")
            if hours <= self._ours:
                return texts
        with suppress(KeyError):
            return self._known(texts)
        for text in {text[:13] + text[19:]: text for text in texts}.values():
            self._understood(text)
        with suppress(KeyError):
            return self._known(texts)
        return list(map(self._understood, texts))

    def _known(self, texts: Sequence[str]) -> list[str]:
        """Raises KeyError where an hour, or its end, was not met before."""
        hours, minutes = self._others, self._MINUTES
        return [hours[text[:13] + text[19:]] + minutes[text[13:19]] for text in texts]

    def utc(self, text: str) -> str:
        if text[:13] in self._ours and text[13:] in self._OURS:
            return text
        try:
            return self._others[text[:13] + text[19:]] + self._MINUTES[text[13:19]]
        except KeyError:
            return self._understood(text)

    def _understood(self, text: str) -> str:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC)
        time = f"{moment.isoformat()[:19]}Z"
        if text[13:] in self._OURS and text[:13] == time[:13]:
            self._ours.add(time[:13])
        elif text[13:19] == time[13:19] and not moment.microsecond:
            self._others[text[:13] + text[19:]] = time[:13]
        return time


def _of_old(row: OldRow) -> _Record:
    known = {
        "finished_at": f"{row.finished_at.isoformat()[:19]}Z",
        "repo": row.repo,
        "issue": str(row.issue),
        "outcome": OLD_FAILED if row.exit_code else OLD_PASSED,
    }
    return tuple(known.get(name, "") for name in _NAMES)
