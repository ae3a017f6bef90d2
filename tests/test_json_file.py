"""One record in one file: what readers, writers and broken files come to."""

from __future__ import annotations

import logging
import multiprocessing
import os
from pathlib import Path

import msgspec
import pytest

from sprint import files, json_file
from sprint.errors import Busy, SprintError
from sprint.lock import lock


class Tally(msgspec.Struct, frozen=True):
    count: int = 0


def one_more(before: Tally | None) -> Tally:
    return Tally((before or Tally()).count + 1)


def add(path: Path, times: int) -> None:
    for _ in range(times):
        json_file.change(path, Tally, one_more)


def test_a_record_is_written_read_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "made" / "tally.json"
    assert json_file.read(path, Tally, remedy="-") is None
    json_file.write(path, Tally(3))
    assert json_file.read(path, Tally, remedy="-") == Tally(3)
    assert path.stat().st_mode & 0o777 == 0o600
    assert json_file.change(path, Tally, lambda before: None) is None
    assert not path.exists()
    assert json_file.change(path, Tally, lambda before: None) is None


def test_what_is_no_record_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "tally.json"
    path.write_text('{"count": "many"}')
    with pytest.raises(SprintError, match=r"cannot read .*tally\.json: .*count.*; move it away"):
        json_file.read(path, Tally, remedy="move it away")
    with pytest.raises(SprintError, match=r"cannot read .*: Is a directory; see that the path is right"):
        json_file.read(tmp_path, Tally, remedy="-")


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b'{"count": null}', b"[]"])
def test_what_can_be_made_anew_stops_nothing(
    tmp_path: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tally.json"
    path.write_bytes(data)
    caplog.set_level(logging.WARNING)
    assert json_file.read_if_sound(path, Tally) is None
    assert "it is made anew" in caplog.text
    assert json_file.change(path, Tally, one_more) == Tally(1)
    assert json_file.read(path, Tally, remedy="-") == Tally(1)


def test_no_change_of_many_processes_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "tally.json"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=add, args=(path, 25)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert json_file.read(path, Tally, remedy="-") == Tally(100)


def test_a_lock_that_is_not_given_free_is_an_error_not_an_idle_tick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tally.json"
    monkeypatch.setattr(json_file, "_LOCK_SECONDS", 0.1)
    with lock(tmp_path / "tally.lock", what="another"), pytest.raises(SprintError) as caught:
        json_file.change(path, Tally, one_more)
    assert not isinstance(caught.value, Busy)
    assert f"process {os.getpid()}" in str(caught.value)


def test_what_the_system_refuses_is_one_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(SprintError, match=f"cannot read {tmp_path}: Is a directory"),
        files.refusing("read", tmp_path),
    ):
        tmp_path.read_bytes()


def test_a_torn_line_costs_no_other_and_half_a_pair_no_line(tmp_path: Path) -> None:
    path = tmp_path / "told.jsonl"
    assert list(json_file.lines(path)) == []
    json_file.add_line(path, {"said": "half a pair: \ud83d"})
    with path.open("ab") as file:
        file.write(b'{"said": "to')
    json_file.add_line(path, {"said": "whole"})
    assert [record["said"] for record in json_file.lines(path)] == ["half a pair: ?", "whole"]


def test_a_line_waits_for_no_lock_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "told.jsonl"
    monkeypatch.setattr(files, "_LINE_SECONDS", 0.01)
    with path.open("wb") as file:
        files.flock(file.fileno())
        with pytest.raises(SprintError, match=r"cannot write .*told\.jsonl: locked"):
            json_file.add_line(path, {})
    json_file.add_line(path, {"said": "once"})
    assert list(json_file.lines(path)) == [{"said": "once"}]
