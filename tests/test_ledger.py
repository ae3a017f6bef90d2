from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sprint import ledger
from sprint.domain import LedgerRow, Outcome
from sprint.errors import SprintError
from sprint.ledger import BadLine, OldRow
from sprint.ledger.rows import COLUMNS
from tests.some_row import ROW, row


def lines(results: Path) -> list[str]:
    return ledger.path_of(results).read_text("utf-8").split("\n")


def test_a_row_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert ledger.append(tmp_path, ROW)
    assert list(ledger.read(tmp_path)) == [ROW]
    header, line, end = lines(tmp_path)
    assert header == ",".join(COLUMNS)
    assert line.startswith("2026-11-21T12:00:00Z,20261121T115000Z-octo-widgets-12-3f9c21aa,octo/widgets,12,")
    assert end == ""


def test_an_unknown_price_is_not_zero(tmp_path: Path) -> None:
    ledger.append(tmp_path, row("a", cost_usd=None))
    ledger.append(tmp_path, row("b", cost_usd=0.0))
    assert [r.cost_usd for r in ledger.read(tmp_path) if isinstance(r, LedgerRow)] == [None, 0.0]


def test_a_run_is_written_once(tmp_path: Path) -> None:
    assert ledger.append(tmp_path, ROW)
    assert not ledger.append(tmp_path, ROW)
    assert len(lines(tmp_path)) == 3


def test_a_run_with_a_folder_is_written_once_however_many_rows_came_since(tmp_path: Path) -> None:
    (tmp_path / "runs" / ROW.run_id).mkdir(parents=True)
    ledger.append(tmp_path, row("before"))
    assert ledger.append(tmp_path, ROW)
    for n in range(50):
        ledger.append(tmp_path, row(f"after-{n}"))
    assert not ledger.append(tmp_path, ROW)
    assert [r.run_id for r in ledger.read(tmp_path) if isinstance(r, LedgerRow)].count(ROW.run_id) == 1


def test_a_first_append_does_not_read_what_is_there(tmp_path: Path) -> None:
    ledger.append(tmp_path, ROW)
    path = ledger.path_of(tmp_path)
    with path.open("ab") as file:
        file.truncate(1 << 33)  # a hole of 8 GB, which takes seconds to read
        file.seek(0, os.SEEK_END)
        file.write(b"\n")
    (tmp_path / "runs" / "new").mkdir(parents=True)
    started = time.process_time()
    assert ledger.append(tmp_path, row("new"))
    assert not ledger.append(tmp_path, row("new"))
    assert time.process_time() - started < 0.5


def test_an_append_killed_after_its_note_is_done_again(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / ROW.run_id
    folder.mkdir(parents=True)
    (folder / "row-offset").write_text("0")
    assert ledger.append(tmp_path, ROW)
    assert not ledger.append(tmp_path, ROW)


def test_a_file_cut_since_the_first_try_is_read_whole(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / ROW.run_id
    folder.mkdir(parents=True)
    ledger.append(tmp_path, ROW)
    (folder / "row-offset").write_text("123456789")
    assert not ledger.append(tmp_path, ROW)


def test_a_name_within_another_runs_detail_is_not_its_row(tmp_path: Path) -> None:
    ledger.append(tmp_path, row("other", detail=f"see {ROW.run_id}"))
    assert ledger.append(tmp_path, ROW)


@pytest.mark.parametrize(
    "torn",
    [
        b"2026-11-21T11:00:00Z,torn,octo/wid",
        b'2026-11-21T11:00:00Z,torn,octo/widgets,1,error,1,,"half a de',
        b"\0\0\0\0",
    ],
)
def test_a_torn_last_line_costs_itself_and_no_other(tmp_path: Path, torn: bytes) -> None:
    ledger.append(tmp_path, row("first"))
    with ledger.path_of(tmp_path).open("ab") as file:
        file.write(torn)
    ledger.append(tmp_path, row("second"))
    found = list(ledger.read(tmp_path))
    assert [r.run_id for r in found if isinstance(r, LedgerRow)] == ["first", "second"]
    assert len([r for r in found if isinstance(r, BadLine)]) == (0 if torn == b"\0\0\0\0" else 1)
    assert torn + b"\n" in ledger.path_of(tmp_path).read_bytes()


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "'=", "''@", "'"])
def test_no_spreadsheet_computes_a_field_and_reading_gives_it_back(tmp_path: Path, start: str) -> None:
    hostile = f"{start}HYPERLINK(\"http://evil.example\",'x')"
    ledger.append(tmp_path, row("a", detail=hostile, model=hostile))
    with ledger.path_of(tmp_path).open(newline="") as file:
        written = next(iter(csv.DictReader(file)))
    assert written["detail"][0] not in "=+-@"
    assert written["model"][0] not in "=+-@"
    (found,) = ledger.read(tmp_path)
    assert isinstance(found, LedgerRow)
    assert (found.detail, found.model) == (hostile, hostile)


def test_a_row_is_one_line_whatever_is_in_it(tmp_path: Path) -> None:
    hostile = 'a\nb\r\nc\0d\x1b[31me\u2028f\x85g\ud800h, "i"'
    ledger.append(tmp_path, row("a", detail=hostile))
    assert len(lines(tmp_path)) == 3
    (found,) = ledger.read(tmp_path)
    assert isinstance(found, LedgerRow)
    assert found.detail == 'a b c d [31me f g h, "i"'


def test_rows_of_the_system_before_are_read_beside_the_new_ones(tmp_path: Path) -> None:
    ledger.path_of(tmp_path).write_text("1713047520|Timmy_Foundation/timmy-home|#101|0\nwhat is this\n")
    ledger.append(tmp_path, ROW)
    old, bad, new = ledger.read(tmp_path)
    assert old == OldRow(datetime(2024, 4, 13, 22, 32, tzinfo=UTC), "Timmy_Foundation/timmy-home", 101, 0)
    assert bad == BadLine(2, "what is this", "1 fields where 18 are expected")
    assert new == ROW


def test_a_header_of_other_columns_is_kept_and_understood(tmp_path: Path) -> None:
    header = "outcome,mood,run_id,finished_at,repo,issue\n"
    ledger.path_of(tmp_path).write_text(header + "limit,glum,old,2026-11-01T00:00:00Z,octo/widgets,3\n")
    ledger.append(tmp_path, ROW)
    old, new = ledger.read(tmp_path)
    assert isinstance(old, LedgerRow)
    assert (old.run_id, old.outcome, old.issue, old.cost_usd) == ("old", Outcome.LIMIT, 3, None)
    assert new == ROW
    assert lines(tmp_path)[0] + "\n" == header
    assert not ledger.append(tmp_path, ROW)


def test_byte_order_mark_and_foreign_line_ends(tmp_path: Path) -> None:
    ledger.append(tmp_path, ROW)
    path = ledger.path_of(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    ledger.append(tmp_path, row("second"))
    assert [getattr(r, "run_id", r) for r in ledger.read(tmp_path)] == [ROW.run_id, "second"]


def test_two_files_pasted_together(tmp_path: Path) -> None:
    ledger.append(tmp_path, ROW)
    path = ledger.path_of(tmp_path)
    path.write_bytes(path.read_bytes() + b"run_id,finished_at,outcome,repo,issue\nb,2026-11-01,error,o/r,1\n")
    ledger.append(tmp_path, row("c"))
    assert [getattr(r, "run_id", r) for r in ledger.read(tmp_path)] == [ROW.run_id, "b", "c"]


@pytest.mark.parametrize(
    "line",
    [
        ",".join(["x"] * 18),
        "2026-11-21T12:00:00Z,a,o/r,1,no_such_outcome,0" + "," * 12,
        "2026-11-21T12:00:00Z,a,o/r,1,error,0" + "," * 9 + ",nan,,",
        "2026-11-21T12:00:00Z,a,o/r," + "9" * 5000 + ",error,0" + "," * 12,
        "0001-01-01T00:00:00+23:00,a,o/r,1,error,0" + "," * 12,
        '"' * 3,
        "x" * 3_000_000,
        "\0" * 10 + "y",
    ],
)
def test_a_line_that_is_no_row_is_reported_and_stays(tmp_path: Path, line: str) -> None:
    ledger.append(tmp_path, row("a"))
    with ledger.path_of(tmp_path).open("a") as file:
        file.write(f"{line}\n")
    before = ledger.path_of(tmp_path).read_bytes()
    ledger.append(tmp_path, row("b"))
    one, bad, two = ledger.read(tmp_path)
    assert isinstance(bad, BadLine)
    assert bad.number == 3
    assert bad.reason
    assert [getattr(r, "run_id", r) for r in (one, two)] == ["a", "b"]
    assert ledger.path_of(tmp_path).read_bytes().startswith(before)


def test_nothing_to_read(tmp_path: Path) -> None:
    assert list(ledger.read(tmp_path / "missing")) == []
    ledger.path_of(tmp_path).touch()
    assert list(ledger.read(tmp_path)) == []
    assert ledger.append(tmp_path, ROW)
    assert lines(tmp_path)[0] == ",".join(COLUMNS)


def test_what_cannot_be_read_or_written_is_one_sentence(tmp_path: Path) -> None:
    ledger.path_of(tmp_path).mkdir()
    with pytest.raises(SprintError, match=r"^cannot write \S+/results\.csv: Is a directory; "):
        ledger.append(tmp_path, ROW)
    with pytest.raises(SprintError, match=r"^cannot read \S+/results\.csv: Is a directory; "):
        list(ledger.read(tmp_path))


FULL_DISK = """
import resource, sys
from pathlib import Path
from sprint import ledger
from sprint.errors import SprintError
from tests.some_row import row
results = Path(sys.argv[1])
size = ledger.path_of(results).stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, size + 40))
try:
    ledger.append(results, row("does-not-fit"))
except SprintError as error:
    print(error)
"""


def run_python(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    here = Path(__file__).parent.parent
    return subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, cwd=here, timeout=60, check=False
    )


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    ledger.append(tmp_path, ROW)
    before = ledger.path_of(tmp_path).read_bytes()
    done = run_python(FULL_DISK, str(tmp_path))
    assert done.stdout.startswith("cannot write "), done.stderr
    assert "free some space" in done.stdout
    assert ledger.path_of(tmp_path).read_bytes() == before
    assert ledger.append(tmp_path, row("does-not-fit"))


def test_a_stuck_holder_of_the_lock_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.append(tmp_path, ROW)
    monkeypatch.setattr(ledger, "LOCK_SECONDS", 0.05)
    with ledger._locked(ledger.path_of(tmp_path), 1.0), pytest.raises(SprintError, match="cannot lock"):
        ledger.append(tmp_path, row("b"))
    assert ledger.append(tmp_path, row("b"))


WRITER = """
import sys
from pathlib import Path
from sprint import ledger
from tests.some_row import row
results, name = Path(sys.argv[1]), sys.argv[2]
with (results / f"acks-{name}").open("ab", buffering=0) as acks:
    for n in range(1000000):
        ledger.append(results, row(f"{name}-{n}", detail="x, " * 300))
        acks.write(b"%d\\n" % n)
"""


def test_twenty_writers_killed_at_random_lose_and_tear_no_row(tmp_path: Path) -> None:
    names = [f"writer{n}" for n in range(20)]
    here = Path(__file__).parent.parent
    writers = {
        name: subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name], cwd=here)
        for name in names
    }

    def acknowledged(name: str) -> int:
        acks = tmp_path / f"acks-{name}"
        return acks.read_bytes().count(b"\n") if acks.exists() else 0

    try:
        chance = random.Random(7)
        due = {name: chance.randint(1, 12) for name in names}
        deadline = time.monotonic() + 60
        while due and time.monotonic() < deadline:
            for name in [name for name, count in due.items() if acknowledged(name) >= count]:
                writers[name].send_signal(signal.SIGKILL)
                del due[name]
            list(ledger.read(tmp_path))
    finally:
        for writer in writers.values():
            writer.kill()
            writer.wait()
    assert not due
    # What each was at when it was killed is done again, as the next tick would.
    for name in names:
        ledger.append(tmp_path, row(f"{name}-{acknowledged(name)}"))
    found = list(ledger.read(tmp_path))
    assert not [bad for bad in found if isinstance(bad, BadLine)]
    counts = Counter(r.run_id for r in found if isinstance(r, LedgerRow))
    expected = {f"{name}-{n}" for name in names for n in range(acknowledged(name) + 1)}
    assert counts == dict.fromkeys(expected, 1)


def test_a_reader_never_sees_half_a_row(tmp_path: Path) -> None:
    here = Path(__file__).parent.parent
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), f"writer{n}"], cwd=here)
        for n in range(3)
    ]
    try:
        seen, deadline = 0, time.monotonic() + 60
        while seen < 60 and time.monotonic() < deadline:
            found = list(ledger.read(tmp_path))
            assert all(isinstance(r, LedgerRow) for r in found)
            assert len(found) >= seen
            seen = len(found)
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert seen >= 60
