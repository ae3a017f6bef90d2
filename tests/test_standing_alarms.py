"""When a person hears of an alarm: when it begins, once a day while it lasts, and when it is over."""

from __future__ import annotations

import logging
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sprint.standing_alarms import AGAIN_AFTER, News, StandingAlarm, alarm_due, news

NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
ROOT = Path(__file__).parent.parent


def at(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


def test_a_weekend_of_ticks_tells_three_times(tmp_path: Path) -> None:
    """400 ticks, ten minutes apart."""
    told = [n for n in range(400) if alarm_due(tmp_path, "ticks a", f"failed {n}", at(n / 6))]
    assert told == [0, 143, 286]


def test_the_monitor_says_when_it_begins_each_day_and_when_it_is_over(tmp_path: Path) -> None:
    found = [news(tmp_path, {"a": f"text {n}"} if n < 100 else {}, at(n / 2)) for n in range(103)]
    assert [n for n, one in enumerate(found) if one.due] == [0, 48, 96]
    over = StandingAlarm(text="text 99", since=NOON, told_at=at(48))
    assert found[100:] == [News(over=(over,)), News(), News()]


def test_what_comes_back_is_told_anew(tmp_path: Path) -> None:
    for start in (0, 2):
        assert news(tmp_path, {"a": "x"}, at(start)).due == {"a"}
        assert len(news(tmp_path, {}, at(start + 1)).over) == 1


def test_a_tick_and_the_monitor_tell_it_once_between_them(tmp_path: Path) -> None:
    assert alarm_due(tmp_path, "ticks a", "the forge is away", at(0))
    assert news(tmp_path, {}, at(0.5), lasting={"ticks a"}) == News()
    assert news(tmp_path, {"ticks a": "5 ticks failed"}, at(1)) == News()
    assert not alarm_due(tmp_path, "ticks a", "the forge is away", at(23))
    assert news(tmp_path, {"ticks a": "140 ticks failed"}, at(24)).due == {"ticks a"}
    (over,) = news(tmp_path, {}, at(25)).over
    assert (over.text, over.since) == ("140 ticks failed", NOON)


def test_a_clock_that_was_set_back_keeps_nothing_quiet(tmp_path: Path) -> None:
    assert alarm_due(tmp_path, "a", "x", at(1000))
    assert alarm_due(tmp_path, "a", "x", at(0))
    assert not alarm_due(tmp_path, "a", "x", at(1))


def test_without_alarms_nothing_is_written(tmp_path: Path) -> None:
    assert news(tmp_path / "results", {}, NOON) == News()
    assert not (tmp_path / "results").exists()
    news(tmp_path, {"a": "x"}, NOON)
    news(tmp_path, {}, at(1))
    assert not (tmp_path / "alarms.json").exists()


@pytest.mark.parametrize("text", ["", "{", '{"a": 1}', "\0"])
def test_a_broken_file_makes_all_alarms_new(tmp_path: Path, text: str) -> None:
    (tmp_path / "alarms.json").write_text(text)
    assert news(tmp_path, {"a": "x", "b": "y"}, NOON).due == {"a", "b"}
    assert news(tmp_path, {"a": "x", "b": "y"}, at(1)) == News()


def test_what_cannot_be_noted_is_told_each_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "alarms.json").mkdir()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert alarm_due(tmp_path, "a", "x", NOON)
            assert news(tmp_path, {"a": "x"}, NOON) == News(due=frozenset({"a"}))
    assert "it is not noted which alarms were told" in caplog.text


MANY = """
import sys
from datetime import datetime
from pathlib import Path
from sprint.standing_alarms import alarm_due
for n in range(20):
    print(int(alarm_due(Path(sys.argv[1]), f"alarm {n}", "x", datetime.fromisoformat(sys.argv[2]))))
"""


def test_of_many_ticks_at_once_one_tells(tmp_path: Path) -> None:
    ticks = [
        subprocess.Popen(
            [sys.executable, "-c", MANY, str(tmp_path), NOON.isoformat()], stdout=subprocess.PIPE, cwd=ROOT
        )
        for _ in range(5)
    ]
    told = sum(tick.communicate(timeout=60)[0].split().count(b"1") for tick in ticks)
    assert [tick.returncode for tick in ticks] == [0] * 5
    assert told == 20


def test_a_day_is_shorter_than_a_day_for_what_cron_starts_late() -> None:
    assert timedelta(hours=23) < AGAIN_AFTER < timedelta(hours=24)
