"""What refuses is remembered: for how long, what ends it, and that nothing is lost or shown by it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from sprint import health
from sprint.config import FleetConfig, Limits, ModelConfig, RepoConfig, load
from sprint.domain import Endpoint, Secret
from sprint.errors import ModelTrouble
from sprint.health import RepositoryTrouble
from tests.around import around

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
ONE = Endpoint("one", "https://models.example/v1", Secret("sk-secret"))
TWO = Endpoint("two", "https://models.example/v1", Secret("sk-secret"))


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


# --- models ------------------------------------------------------------------------------------


def test_a_yes_is_good_for_ten_minutes_and_for_its_endpoint_alone(tmp_path: Path) -> None:
    assert health.model(tmp_path, ONE, NOON) is None
    health.note_model(tmp_path, ONE, now=NOON)
    known = health.model(tmp_path, ONE, NOON + minutes(9.9))
    assert known is not None
    assert (known.kind, known.name) == (None, "one")
    assert health.model(tmp_path, ONE, NOON + minutes(10)) is None
    assert health.model(tmp_path, TWO, NOON) is None
    elsewhere = Endpoint("one", "https://elsewhere.example/v1", Secret("sk-secret"))
    assert health.model(tmp_path, elsewhere, NOON) is None


def test_refusals_are_good_for_longer_and_longer_until_a_yes(tmp_path: Path) -> None:
    now, lasted = NOON, []
    for _ in range(5):
        known = health.note_model(tmp_path, ONE, ModelTrouble.QUOTA, "HTTP 429: no money", now=now)
        lasted.append((known.until - now).total_seconds() / 60)
        assert (known.since, known.reason) == (NOON, "HTTP 429: no money")
        now = known.until
    assert lasted == [10, 20, 40, 40, 40]
    health.note_model(tmp_path, ONE, now=now)
    again = health.note_model(tmp_path, ONE, ModelTrouble.AWAY, "gone", now=now)
    assert (again.until - now, again.since, again.refusals) == (minutes(10), now, 1)


def test_a_fleets_other_hosts_may_name_what_this_one_does_not(tmp_path: Path) -> None:
    health.note_model(tmp_path, ONE, ModelTrouble.UNKNOWN, "no such model", now=NOON)
    models = health.read(tmp_path).models
    config = replace(load(None, around(tmp_path)), model=ModelConfig(name="two"))
    assert health.in_use(config, models) == ()
    assert health.in_use(replace(config, fleet=FleetConfig()), models) == models


def test_two_ticks_that_asked_at_once_count_once(tmp_path: Path) -> None:
    health.note_model(tmp_path, ONE, ModelTrouble.AWAY, "gone", now=NOON)
    known = health.note_model(tmp_path, ONE, ModelTrouble.AWAY, "gone", now=NOON + minutes(1))
    assert (known.until, known.refusals) == (NOON + minutes(10), 1)


@pytest.mark.parametrize(("told", "lasts"), [(None, 60), (3, 60), (300, 300), (86_400, 600), (1e300, 600)])
def test_a_busy_server_is_left_alone_for_a_short_while(
    tmp_path: Path, told: float | None, lasts: int
) -> None:
    health.note_model(tmp_path, ONE, ModelTrouble.BUSY, "busy", retry_after=told, now=NOON)
    known = health.note_model(
        tmp_path, ONE, ModelTrouble.BUSY, "busy", retry_after=told, now=NOON + minutes(20)
    )
    assert known.until - NOON - minutes(20) == timedelta(seconds=lasts)


def test_those_that_refuse_come_last(tmp_path: Path) -> None:
    health.note_model(tmp_path, ONE, ModelTrouble.AWAY, "gone")
    assert health.refusing_last(tmp_path, [ONE, TWO]) == (TWO, ONE)
    health.note_model(tmp_path, ONE)
    assert health.refusing_last(tmp_path, [ONE, TWO]) == (ONE, TWO)


def test_no_key_and_no_address_is_in_the_files(tmp_path: Path) -> None:
    health.note_model(tmp_path, ONE, ModelTrouble.AWAY, "gone")
    (file,) = (tmp_path / "health").glob("*.json")
    assert b"secret" not in file.read_bytes()
    assert b"models.example" not in file.read_bytes()
    assert file.stat().st_mode & 0o077 == 0


# --- repositories ------------------------------------------------------------------------------

WHERE = ("home", "acme/widgets")
Note = Callable[..., health.RepositoryHealth]


def setup_fails(results: Path, *, issue: int = 1, base: str = "b1", now: datetime = NOON) -> datetime | None:
    return health.note_repository_fault(
        results,
        *WHERE,
        RepositoryTrouble.SETUP,
        "no pip",
        issue=issue,
        base_sha=base,
        config_hash="c1",
        now=now,
    ).until


def push_refused(results: Path, *, issue: int, now: datetime = NOON) -> datetime | None:
    return health.note_repository_fault(
        results, *WHERE, RepositoryTrouble.PUSH, "protected", issue=issue, base_sha="b1", now=now
    ).until


def is_blocked(results: Path, now: datetime = NOON, base: str = "b1", config: str = "c1") -> bool:
    block = health.repository_block(results, *WHERE, base_sha=base, config_hash=config, now=now)
    return block is not None


def test_a_setup_that_fails_at_the_base_blocks_for_longer_and_longer(tmp_path: Path) -> None:
    now, lasted = NOON, []
    for issue in range(1, 8):
        until = setup_fails(tmp_path, issue=issue, now=now)
        assert until is not None
        lasted.append((until - now).total_seconds() / 3600)
        assert is_blocked(tmp_path, until - timedelta(seconds=1))
        assert not is_blocked(tmp_path, until)
        now = until
    assert lasted == [1, 2, 4, 8, 16, 24, 24]
    (known,) = health.read(tmp_path).repositories
    assert (known.since, known.reason, known.kind.words) == (
        NOON,
        "no pip",
        "the project's setup fails at the base",
    )


def test_another_base_or_configuration_ends_a_block_and_a_further_fault_begins_a_longer_one(
    tmp_path: Path,
) -> None:
    setup_fails(tmp_path)
    assert is_blocked(tmp_path)
    assert not is_blocked(tmp_path, base="b2")
    assert not is_blocked(tmp_path, config="c2")
    assert is_blocked(tmp_path, base="", config=""), "what is not known has not moved"
    assert setup_fails(tmp_path, base="b2", now=NOON + minutes(1)) == NOON + minutes(121)


def test_a_fault_within_a_block_does_not_prolong_it(tmp_path: Path) -> None:
    until = setup_fails(tmp_path)
    assert setup_fails(tmp_path, issue=2, now=NOON + minutes(5)) == until, "somebody tried by hand"


def test_one_issue_whose_push_is_refused_blocks_nothing_and_two_in_a_row_do(tmp_path: Path) -> None:
    assert push_refused(tmp_path, issue=1) is None
    assert push_refused(tmp_path, issue=1) is None
    assert not is_blocked(tmp_path)
    health.clear_repository(tmp_path, *WHERE, RepositoryTrouble.PUSH)
    assert push_refused(tmp_path, issue=2) is None, "one that was taken came between"
    assert push_refused(tmp_path, issue=3) == NOON + timedelta(hours=1)
    assert is_blocked(tmp_path)


def test_only_what_is_mended_is_forgotten(tmp_path: Path) -> None:
    setup_fails(tmp_path)
    health.clear_repository(tmp_path, *WHERE, RepositoryTrouble.PUSH)
    assert is_blocked(tmp_path)
    health.clear_repository(tmp_path, *WHERE, RepositoryTrouble.SETUP)
    assert not is_blocked(tmp_path)
    assert health.read(tmp_path) == health.Health()
    health.clear_repository(tmp_path, *WHERE, RepositoryTrouble.SETUP)


def test_a_repositorys_name_is_one_however_it_is_written(tmp_path: Path) -> None:
    setup_fails(tmp_path)
    assert health.repository_block(tmp_path, "home", "Acme/Widgets", now=NOON) is not None
    assert health.repository_block(tmp_path, "other", "acme/widgets", now=NOON) is None


def test_the_configurations_hash_tells_each_change() -> None:
    repo = RepoConfig(name="acme/widgets", setup=("make",))
    assert health.config_hash(repo) == health.config_hash(RepoConfig(name="acme/widgets", setup=("make",)))
    assert health.config_hash(repo) != health.config_hash(replace(repo, setup=("make all",)))
    assert health.config_hash(repo) != health.config_hash(replace(repo, limits=Limits(check_minutes=1)))


# --- files -------------------------------------------------------------------------------------


def test_everything_is_read_and_what_is_broken_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert health.read(tmp_path) == health.Health()
    health.note_model(tmp_path, TWO)
    health.note_model(tmp_path, ONE, ModelTrouble.AWAY, "gone")
    setup_fails(tmp_path)
    (tmp_path / "health" / "model-broken.json").write_text("{")
    found = health.read(tmp_path)
    assert [(model.name, model.kind) for model in found.models] == [("one", ModelTrouble.AWAY), ("two", None)]
    assert [repository.repo for repository in found.repositories] == ["acme/widgets"]
    assert "model-broken.json" in caplog.text


def test_a_broken_file_is_written_anew(tmp_path: Path) -> None:
    health.note_model(tmp_path, ONE, now=NOON)
    (file,) = (tmp_path / "health").glob("*.json")
    file.write_text('{"kind": "of a later version"}')
    assert health.model(tmp_path, ONE, NOON) is None
    health.note_model(tmp_path, ONE, now=NOON)
    assert health.model(tmp_path, ONE, NOON) is not None


def test_what_cannot_be_written_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    nowhere = Path("/proc/self")  # where not even root makes a file
    caplog.set_level(logging.WARNING)
    assert health.note_model(nowhere, ONE, ModelTrouble.AWAY, "gone").kind is ModelTrouble.AWAY
    assert setup_fails(nowhere) is not None
    assert "it is not remembered what refuses: cannot" in caplog.text


def test_what_nobody_asks_about_is_dropped(tmp_path: Path) -> None:
    health.note_model(tmp_path, ONE)
    long_ago = (datetime.now(UTC) - timedelta(days=31)).timestamp()
    for file in (tmp_path / "health").iterdir():
        os.utime(file, (long_ago, long_ago))
    health.note_model(tmp_path, TWO)
    assert [model.name for model in health.read(tmp_path).models] == ["two"]
