"""The day's spending, shared by processes."""

from __future__ import annotations

import multiprocessing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sprint import spend


def _spend(results: Path, times: int) -> None:
    for _ in range(times):
        spend.record(results, "r", 0.01)


def test_nothing_is_spent_before_the_first_call(tmp_path: Path) -> None:
    assert spend.spent_today(tmp_path / "none") == 0


def test_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_spend, args=(tmp_path, 50)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert spend.spent_today(tmp_path) == pytest.approx(2.0)


def test_a_day_is_read_on_from_where_it_was(tmp_path: Path) -> None:
    today = spend.Today(tmp_path)
    assert today.spent() == 0
    spend.record(tmp_path, "a", 0.25)
    assert today.spent() == pytest.approx(0.25)
    spend.record(tmp_path, "b", 0.5)
    assert today.spent() == pytest.approx(0.75)
    assert spend.spent_today(tmp_path) == pytest.approx(0.75)


def test_a_torn_line_costs_no_other(tmp_path: Path) -> None:
    spend.record(tmp_path, "a", 0.25)
    path = next((tmp_path / "spend").iterdir())
    assert path.name == f"{datetime.now(UTC).date()}.jsonl"
    with path.open("ab") as file:
        file.write(b'{"at": "2026-')
    assert spend.spent_today(tmp_path) == pytest.approx(0.25)
    spend.record(tmp_path, "b", 0.5)
    assert spend.spent_today(tmp_path) == pytest.approx(0.75)


def test_yesterday_does_not_count(tmp_path: Path) -> None:
    spend.record(tmp_path, "a", 0.25)
    path = next((tmp_path / "spend").iterdir())
    path.rename(path.with_name("2001-01-01.jsonl"))
    assert spend.spent_today(tmp_path) == 0
