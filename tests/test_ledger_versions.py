"""Ledgers that an earlier version wrote are read, appended to, and keep what they have."""

from __future__ import annotations

import csv
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sprint import ledger
from sprint.domain import LedgerRow, Outcome
from sprint.ledger import BadLine, OldRow
from sprint.ledger.rows import COLUMNS

WRITTEN = Path(__file__).parent / "older_files"  # by version 0.1.0, which had 18 columns
NOON = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
TASK = LedgerRow(
    finished_at=NOON,
    run_id="20261122T115000Z-octo-widgets-task-3f9c21aa",
    repo="octo/widgets",
    issue=None,
    outcome=Outcome.PR_OPENED,
    exit_code=0,
    worker="careful",
    model="qwen3-coder",
    duration_s=60.0,
    detail="renamed, as asked",
    proof="unproven",
    worker_version="codex 0.58.0",
    purpose="task",
    round=2,
    paused_s=3600.5,
    trigger="reviews",
)


@pytest.fixture(params=["results-all-outcomes.csv", "results-after-old-rows.csv"])
def results(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A results folder with a ledger of that version; the second one has no header at all."""
    shutil.copy(WRITTEN / request.param, ledger.path_of(tmp_path))
    return tmp_path


def rows(results: Path) -> list[LedgerRow]:
    found = list(ledger.read(results))
    assert not [row for row in found if isinstance(row, BadLine)]
    return [row for row in found if isinstance(row, LedgerRow)]


def test_its_rows_are_read_and_say_nothing_of_what_they_did_not_know(results: Path) -> None:
    found = rows(results)
    assert [row.issue for row in found] == list(range(3, 11))
    assert found[4].detail == "=cmd|' /C calc'!A0"
    for row in found:
        unknown = (row.proof, row.worker_version, row.purpose, row.round, row.paused_s, row.trigger)
        assert unknown == ("", "", "issue", 0, 0.0, "")


def test_a_new_row_goes_behind_its_rows_whole(results: Path) -> None:
    before = ledger.path_of(results).read_bytes()
    old = rows(results)
    assert ledger.append(results, TASK)
    assert not ledger.append(results, TASK)
    assert ledger.path_of(results).read_bytes().startswith(before)
    assert rows(results) == [*old, TASK]


def test_other_programs_find_the_old_columns_where_they_were(results: Path) -> None:
    """The header stays; what it has no name for comes behind the columns that it has."""
    ledger.append(results, TASK)
    header = (WRITTEN / "results-all-outcomes.csv").read_text().split("\n")[0].split(",")
    with ledger.path_of(results).open(newline="") as file:
        *_, last = csv.reader(file)
    assert dict(zip(header, last, strict=False))["detail"] == TASK.detail
    assert last[len(header) :] == ["unproven", "codex 0.58.0", "task", "2", "3600.5", "reviews"]


def test_rows_of_the_system_before_stay_what_they_were(tmp_path: Path) -> None:
    shutil.copy(WRITTEN / "results-after-old-rows.csv", ledger.path_of(tmp_path))
    ledger.append(tmp_path, TASK)
    assert [row.issue for row in ledger.read(tmp_path) if isinstance(row, OldRow)] == [101, 102]


def test_a_ledger_that_begins_now_has_every_column(tmp_path: Path) -> None:
    ledger.append(tmp_path, TASK)
    assert ledger.path_of(tmp_path).read_text().split("\n")[0] == ",".join(COLUMNS)
    assert rows(tmp_path) == [TASK]


def test_a_run_without_an_issue_has_an_empty_field(tmp_path: Path) -> None:
    ledger.append(tmp_path, TASK)
    with ledger.path_of(tmp_path).open(newline="") as file:
        (written,) = csv.DictReader(file)
    assert written["issue"] == ""


def test_the_readme_tells_of_every_column() -> None:
    text = (Path(__file__).parent.parent / "docs" / "ledger.md").read_text()
    told = re.findall(r"^\| `(\w+)` \| \S", text, re.MULTILINE)
    assert tuple(told) == COLUMNS
