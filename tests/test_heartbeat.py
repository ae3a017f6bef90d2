from __future__ import annotations

import logging
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sprint import heartbeat

NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def ticks(results: Path, *minutes: float) -> heartbeat.Heartbeat:
    for minute in minutes:
        heartbeat.beat(results, "home", "octo/widgets", "idle: no open issues", now=at(minute))
    (beat,) = heartbeat.read(results)
    return beat


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def test_the_last_tick_is_kept_with_what_it_said(tmp_path: Path) -> None:
    heartbeat.beat(tmp_path, "home", "octo/widgets", "busy", now=NOON)
    heartbeat.beat(tmp_path, "home", "octo/widgets", "error:\n  no\x00forge \ud800", now=at(10))
    (beat,) = heartbeat.read(tmp_path)
    assert (beat.forge, beat.repo, beat.ticked_at, beat.pid) == ("home", "octo/widgets", at(10), os.getpid())
    assert beat.outcome == "error: no\x00forge ?"
    assert beat.ticks == (NOON, at(10))


def test_only_the_last_ticks_are_kept(tmp_path: Path) -> None:
    assert ticks(tmp_path, *range(0, 300, 10)).ticks == tuple(at(n) for n in range(100, 300, 10))


def test_a_repository_is_late_after_twice_its_interval(tmp_path: Path) -> None:
    beat = ticks(tmp_path, 0, 10, 20, 30)
    assert beat.interval == timedelta(minutes=10)
    assert not beat.is_late(at(51))
    assert beat.is_late(at(53))


def test_one_or_two_ticks_are_no_schedule(tmp_path: Path) -> None:
    beat = ticks(tmp_path, 0, 10)
    assert beat.interval is None
    assert not beat.is_late(at(10_000))


def test_until_ticks_show_a_schedule_the_configured_one_counts(tmp_path: Path) -> None:
    beat = ticks(tmp_path, 0, 10)
    every = timedelta(minutes=15)
    assert not beat.is_late(at(41), every)
    assert beat.is_late(at(43), every)
    shown = ticks(tmp_path, 20, 30)
    assert shown.is_late(at(53), timedelta(hours=5)), "what was seen counts for more"


def test_runs_by_hand_in_quick_succession_are_no_schedule(tmp_path: Path) -> None:
    beat = ticks(tmp_path, 0, 10, 20, 20.1, 20.2, 20.3, 20.4, 30)
    assert beat.interval == timedelta(minutes=10)
    assert not beat.is_late(at(50))


def test_an_outage_long_ago_does_not_hide_the_next(tmp_path: Path) -> None:
    beat = ticks(tmp_path, 0, 10, 20, 30, 3000, 3010, 3020)
    assert beat.interval == timedelta(minutes=10)
    assert beat.is_late(at(3060))


def test_a_clock_set_back_is_not_late(tmp_path: Path) -> None:
    beat = ticks(tmp_path, 0, 10, 20, -40, -30)
    assert beat.ticked_at == at(-30)
    assert not beat.is_late(at(-20))


def test_a_broken_file_is_logged_and_mended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ticks(tmp_path, 0)
    (path,) = tmp_path.glob("heartbeat/*/*/*.json")
    for broken in ("", "{}", '{"forge": "home", "repo": "a/b", "ticked_at": "2026-11-21T12:00:00"}', "\0\0"):
        path.write_text(broken)
        with caplog.at_level(logging.WARNING):
            assert heartbeat.read(tmp_path) == []
        assert str(path) in caplog.text
        caplog.clear()
    assert ticks(tmp_path, 10).ticks == (at(10),)


def test_repositories_of_the_same_name_on_two_forges_are_two(tmp_path: Path) -> None:
    results = tmp_path / "results"
    for forge in ("home", "github", "a/../b", "..", ""):
        heartbeat.beat(results, forge, "octo/widgets", "busy", now=NOON)
    assert {beat.forge for beat in heartbeat.read(results)} == {"home", "github", "a/../b", "..", ""}
    assert {path.name for path in results.iterdir()} == {"heartbeat"}


def test_no_heartbeat_is_no_reason_to_fail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "heartbeat").touch()
    with caplog.at_level(logging.WARNING):
        heartbeat.beat(tmp_path, "home", "octo/widgets", "busy", now=NOON)
    assert "no heartbeat for octo/widgets" in caplog.text
    assert heartbeat.read(tmp_path) == []


def test_a_heartbeat_of_the_version_before_is_read_and_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat" / "home" / "octo" / "widgets.json"
    path.parent.mkdir(parents=True)
    shutil.copy(Path(__file__).parent / "older_files" / "heartbeat.json", path)
    (beat,) = heartbeat.read(tmp_path)
    assert (beat.interval, beat.failed_ticks, beat.failing_since) == (timedelta(minutes=10), 0, None)
    heartbeat.beat(tmp_path, "home", "octo/widgets", "error: away", exit_code=3, now=at(30))
    (beat,) = heartbeat.read(tmp_path)
    assert (len(beat.ticks), beat.failed_ticks, beat.failing_since) == (4, 1, at(30))
