"""A row of results.csv as one line of text, and back."""

from __future__ import annotations

import csv
import io
import math
import re
from datetime import UTC, datetime

from msgspec import Struct

from sprint.domain import LedgerRow, Outcome

COLUMNS = (
    "finished_at",
    "run_id",
    "repo",
    "issue",
    "outcome",
    "exit_code",
    "pr_url",
    "branch",
    "worker",
    "model",
    "attempt",
    "duration_s",
    "turns",
    "prompt_tokens",
    "completion_tokens",
    "cost_usd",
    "host",
    "detail",
    "proof",
    "worker_version",
    "purpose",
    "round",
    "paused_s",
    "trigger",
)
# What a file without a header has, which is one that began with rows of the system before; later columns
# come behind these as behind any header. Never to be changed.
WITHOUT_HEADER = COLUMNS[:18]
_TEXTS = frozenset(COLUMNS) - {
    *("finished_at", "issue", "exit_code", "attempt", "duration_s", "turns", "prompt_tokens"),
    *("completion_tokens", "cost_usd", "round", "paused_s"),
}
_FIELD_CAP = 1000  # characters
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
# A spreadsheet takes these for a formula; the apostrophe that stops it is taken off again in reading.
_FORMULA = re.compile(r"'*[=+\-@]")
# What may be around a line and is no part of it: zeros that a crash left, a byte order mark, Windows' ends.
AROUND = "\0\r\n \ufeff"
_OLD_ROW = re.compile(r"([0-9]{9,11})\|([^|\s]+/[^|\s]+)\|#([0-9]{1,18})\|(-?[0-9]{1,9})")


class OldRow(Struct, frozen=True):
    """A row of the system before this one: `EPOCH|OWNER/REPO|#ISSUE|EXIT_CODE`."""

    finished_at: datetime
    repo: str
    issue: int
    exit_code: int


class BadLine(Struct, frozen=True):
    """A line that is no row; `number` counts from 1, `text` is its beginning."""

    number: int
    text: str
    reason: str


def write(row: LedgerRow, header: tuple[str, ...]) -> bytes:
    """A row as a line, in the order of a file's header; the columns that it lacks come behind its own."""
    values = {
        "finished_at": f"{row.finished_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "issue": "" if row.issue is None else str(row.issue),
        "exit_code": str(row.exit_code),
        "attempt": str(row.attempt),
        "duration_s": f"{row.duration_s:.1f}",
        "turns": str(row.turns),
        "prompt_tokens": str(row.prompt_tokens),
        "completion_tokens": str(row.completion_tokens),
        "cost_usd": "" if row.cost_usd is None else f"{row.cost_usd:.6f}",
        "round": str(row.round),
        "paused_s": f"{row.paused_s:.1f}",
        **{name: _safe(str(getattr(row, name))) for name in _TEXTS},
    }
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values.get(name, "") for name in all_columns(header))
    return text.getvalue().encode()


def _safe(text: str) -> str:
    """One line of text that no spreadsheet computes."""
    text = _UNPRINTABLE.sub(" ", text).strip()[:_FIELD_CAP]
    return f"'{text}" if _FORMULA.match(text) else text


def all_columns(header: tuple[str, ...]) -> tuple[str, ...]:
    return header + tuple(name for name in COLUMNS if name not in header)


def parse(line: str, layouts: list[tuple[str, ...]]) -> LedgerRow | OldRow | str | None:
    """One line as a row, None for a header or an empty line, or else the reason why it is no row.

    `layouts` are the headers met so far, the newest first; a header is added to it.
    """
    line = line.strip(AROUND)
    if not line:
        return None
    if old := old_row(line):
        return old
    fields = split(line)
    if header := as_header(fields):
        layouts[:] = [header, *(layout for layout in layouts if layout != header)]
        return None
    reason = f"{len(fields)} fields where {len(layouts[0])} are expected" if fields else "not CSV"
    for header in layouts:
        columns = all_columns(header)
        if len(fields) in (len(header), len(columns)):
            try:
                return of_values(dict(zip(columns, fields, strict=False)))
            except (ValueError, KeyError, OverflowError) as error:
                reason = f"not a row: {error}"
    return reason


def old_row(line: str) -> OldRow | None:
    """A line as a row of the system before, None where it is none."""
    if match := _OLD_ROW.fullmatch(line):
        return OldRow(datetime.fromtimestamp(int(match[1]), UTC), match[2], int(match[3]), int(match[4]))
    return None


def split(line: str) -> list[str]:
    """The fields of one line, by the rules of CSV; none where the line breaks them."""
    try:
        return next(csv.reader((line,), strict=True), [])
    except csv.Error:
        return []


def as_header(fields: list[str]) -> tuple[str, ...] | None:
    """The columns that a header line names; None for any other line."""
    if len(fields) < 3:  # for speed: most that is no header is shorter
        return None
    names = tuple(name.strip().lower() for name in fields)
    return names if {"finished_at", "run_id", "outcome"} <= set(names) else None


def of_values(values: dict[str, str]) -> LedgerRow:
    """A row of its fields by column; a missing one has the record's default.

    Raises KeyError or ValueError for what is no row.
    """
    finished = datetime.fromisoformat(values["finished_at"])
    cost = values.get("cost_usd", "")
    return LedgerRow(
        finished_at=finished.replace(tzinfo=UTC) if finished.tzinfo is None else finished.astimezone(UTC),
        run_id=plain(values["run_id"]),
        repo=plain(values["repo"]),
        issue=int(values["issue"]) if values["issue"] else None,
        outcome=Outcome(plain(values["outcome"])),
        exit_code=int(values.get("exit_code") or 0),
        pr_url=plain(values.get("pr_url", "")),
        branch=plain(values.get("branch", "")),
        worker=plain(values.get("worker", "")),
        model=plain(values.get("model", "")),
        attempt=int(values.get("attempt") or 1),
        duration_s=_number(values.get("duration_s") or "0"),
        turns=int(values.get("turns") or 0),
        prompt_tokens=int(values.get("prompt_tokens") or 0),
        completion_tokens=int(values.get("completion_tokens") or 0),
        cost_usd=_number(cost) if cost else None,
        host=plain(values.get("host", "")),
        detail=plain(values.get("detail", "")),
        proof=plain(values.get("proof", "")),
        worker_version=plain(values.get("worker_version", "")),
        purpose=plain(values.get("purpose", "")) or "issue",
        round=int(values.get("round") or 0),
        paused_s=_number(values.get("paused_s") or "0"),
        trigger=plain(values.get("trigger", "")),
    )


def plain(text: str) -> str:
    """A field without the apostrophe that keeps spreadsheets from computing it."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no number")
    return value
