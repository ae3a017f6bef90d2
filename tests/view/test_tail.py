"""A run's files, read while they are written."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sprint import json_file, progress, transcript
from sprint.view.tail import RunTail, Tail


def line(number: int) -> bytes:
    return json.dumps({"at": f"{number:03}", "event": "note", "number": number}).encode() + b"\n"


def numbers(events: Sequence[Mapping[str, Any]]) -> list[int]:
    return [event["number"] for event in events]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "transcript.jsonl"


def add(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_each_event_comes_once_and_whole(path: Path) -> None:
    tail = Tail(path)
    assert tail.read() == []
    add(path, line(1) + line(2)[:9])
    assert numbers(tail.read()) == [1]
    assert tail.read() == []
    add(path, line(2)[9:] + b"half a li\n" + b"[1]\n\n" + b"\xff\xfe\n" + b"[" * 100_000 + b"\n" + line(3))
    assert numbers(tail.read()) == [2, 3]
    assert tail.read() == []


def test_no_line_is_parsed_twice(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bytes] = []
    original = json_file.parsed
    monkeypatch.setattr(json_file, "parsed", lambda line: parsed.append(line) or original(line))
    tail = Tail(path)
    for number in range(20):
        add(path, line(number))
        tail.read()
        tail.read()
    assert parsed == [line(number).rstrip(b"\n") for number in range(20)]


def test_a_look_reads_no_more_than_it_may(path: Path) -> None:
    add(path, b"".join(map(line, range(100))))
    tail = Tail(path, at_once=1000)
    found, looks = numbers(tail.read()), 1
    assert 0 < len(found) < 100
    while tail.more:
        found += numbers(tail.read())
        looks += 1
    assert (found, looks > 3) == (list(range(100)), True)


def test_a_line_that_is_too_long_is_passed_over(path: Path) -> None:
    tail = Tail(path, at_once=500, longest_line=2000)
    add(path, b'{"text": "' + b"x" * 10_000 + b'"}\n' + line(1) + b'"' + b"y" * 3000)
    found: list[int] = []
    for _ in range(40):
        found += numbers(tail.read())
    add(path, b"\n" + line(2))
    for _ in range(3):
        found += numbers(tail.read())
    assert found == [1, 2]


def test_a_file_begun_anew_is_read_to_its_end_and_from_its_beginning(path: Path) -> None:
    tail = Tail(path)
    add(path, line(1))
    assert numbers(tail.read()) == [1]
    add(path, line(2))
    path.rename(path.with_suffix(".old"))
    add(path, line(3))
    assert numbers([*tail.read(), *tail.read()]) == [2, 3]
    path.write_bytes(line(4)[:5])  # cut, and shorter than before
    assert tail.read() == []
    add(path, line(4)[5:])
    assert numbers(tail.read()) == [4]
    path.unlink()
    assert tail.read() == []
    add(path, line(5))
    assert numbers(tail.read()) == [5]


def test_what_is_written_meanwhile_is_not_lost(tmp_path: Path) -> None:
    tail, found = RunTail(tmp_path), []

    def write() -> None:
        for number in range(500):
            transcript.append(tmp_path, "note", number=number)
            progress.append(tmp_path, "answering", number=number)

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        found += tail.read()
    found += tail.read()
    for kind in ("note", "answering"):
        assert [event["number"] for event in found if event["event"] == kind] == list(range(500))


def test_both_files_are_one_story_in_the_order_of_time(tmp_path: Path) -> None:
    (tmp_path / transcript.NAME).write_bytes(line(1) + line(3))
    (tmp_path / progress.NAME).write_bytes(line(2) + line(4))
    assert numbers(RunTail(tmp_path).read()) == [1, 2, 3, 4]


def test_progress_stays_small_and_fails_nobody(tmp_path: Path) -> None:
    tail, seen, largest = RunTail(tmp_path), 0, 0
    for _ in range(700):
        progress.append(tmp_path, "output", text="x" * 100_000)
        seen += len(tail.read())
        path = tmp_path / progress.NAME
        largest = max(largest, path.stat().st_size if path.exists() else 0)
    assert 490_000 < largest < 510_000
    assert seen == 700
    progress.append(tmp_path / "nowhere", "output", text="x")
