from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from sprint.domain import (
    CheckComparison,
    CheckResult,
    CheckStatus,
    Ending,
    Phase,
    Proof,
    Purpose,
    Usage,
    WorkerResult,
    replace,
)
from sprint.errors import SprintError
from sprint.runs import RunStore, new_id
from tests.some_run import NOON, a_run, settled


def test_a_task_is_under_way_as_any_run_is(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    store.create(a_run())
    store.create(replace(a_run(1), id=new_id(NOON, "octo/widgets", None), issue=None, purpose=Purpose.TASK))
    assert {run.issue for run in store.under_way("home", "burner")} == {12, None}
    assert {run.purpose for run in store.active()} == {Purpose.ISSUE, Purpose.TASK}


def test_names_sort_by_time_and_are_safe_as_file_names() -> None:
    first = new_id(NOON, "octo/widgets", 12)
    assert first.startswith("20261121T120000Z-octo-widgets-12-")
    assert first < new_id(NOON + timedelta(seconds=1), "a/b", 1)
    assert first != new_id(NOON, "octo/widgets", 12)
    assert len(new_id(NOON, "o" * 300 + "/../\n", 1)) < 200
    assert "/" not in new_id(NOON, "../..", 1)


def test_a_run_is_read_as_it_was_saved(tmp_path: Path) -> None:
    check = CheckResult("pytest -q", CheckStatus.FAILED, 1, 3.5, ("test_a",), "E   assert")
    run = a_run(
        phase=Phase.VERIFIED,
        result=WorkerResult(Ending.IMPLEMENTED, "done", usage=Usage(3, 100, 50, 10, 0.25)),
        proof=Proof((CheckComparison("pytest -q", check, check),)),
        leftovers=("build/",),
        base_checks=(check,),
    )
    store = RunStore(tmp_path)
    folder = store.create(run)
    assert store.load(run.id) == run
    assert folder == store.folder(run.id) == tmp_path / "runs" / run.id
    assert folder.stat().st_mode & 0o777 == 0o700
    store.save(settled(run))
    assert store.load(run.id) == settled(run)


def test_an_older_and_a_newer_record_can_be_read(tmp_path: Path) -> None:
    store, run = RunStore(tmp_path), a_run()
    path = store.create(run) / "run.json"
    record = json.loads(path.read_text())
    assert record["version"] == 1
    path.write_text(json.dumps({**record, "version": 9, "mood": {"glum": True}}))
    assert store.load(run.id) == run
    path.write_text(
        json.dumps({k: v for k, v in record.items() if k not in ("version", "leftovers", "tree")})
    )
    assert store.load(run.id) == run


def test_a_title_that_is_no_text_is_saved(tmp_path: Path) -> None:
    store, run = RunStore(tmp_path), a_run(title="half a pair: \ud83d, \x00")
    store.create(run)
    assert store.load(run.id).title == "half a pair: ?, \x00"


def test_runs_under_way_are_this_hosts_and_this_forges_oldest_first(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    late, early = a_run(5), a_run(1)
    others = [a_run(3, host="other"), a_run(3, forge="github")]
    for run in (late, early, *others):
        store.create(run)
    store.create(done := a_run(4))
    store.save(settled(done))
    assert store.under_way("home", "burner") == [early, late]
    assert {run.id for run in store.active()} == {run.id for run in (late, early, *others)}


def test_the_index_heals(tmp_path: Path) -> None:
    store, run, done = RunStore(tmp_path), a_run(1), a_run(2)
    store.create(run)
    store.create(done)
    store.save(settled(done))
    (tmp_path / "active" / done.id).touch()  # killed between saving and unmarking
    unmade = tmp_path / "active" / a_run(3).id  # killed between marking and saving
    unmade.touch()
    assert store.under_way("home", "burner") == [run]
    assert unmade.exists()  # its maker may still be at it
    os.utime(unmade, (time.time() - 300, time.time() - 300))
    assert store.under_way("home", "burner") == [run]
    assert [path.name for path in (tmp_path / "active").iterdir()] == [run.id]

    (tmp_path / "active" / run.id).unlink()
    (tmp_path / "active").rmdir()
    assert store.active() == [run]
    assert store.under_way("home", "burner") == [run]
    assert not list(tmp_path.glob(".active.*"))


def test_a_broken_record_is_logged_and_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, good, bad = RunStore(tmp_path), a_run(1), a_run(2)
    store.create(good)
    path = store.create(bad) / "run.json"
    for broken in (b"", b'{"id": "x"}', b"\xff\xfe", b"[" * 100_000, b'{"phase": 3'):
        path.write_bytes(broken)
        with caplog.at_level(logging.WARNING):
            assert store.under_way("home", "burner") == [good]
        assert str(path) in caplog.text
        caplog.clear()
        assert [run.id for run in store.all()] == [good.id]
        with pytest.raises(SprintError, match=r"cannot read .*run\.json"):
            store.load(bad.id)
        store.clean(keep=0)
        assert path.read_bytes() == broken


def test_a_run_is_found_by_the_start_of_its_name_or_its_issue(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    first, second, other = a_run(1), a_run(2), a_run(3, repo="octo/gears", issue=7)
    for run in (first, second, other):
        store.create(run)
    assert store.find(first.id) == first
    assert store.find("20261121T1201") == first
    assert store.find("octo/widgets#12") == second
    assert store.find("#7") == other
    pull = replace(first, pr_number=41)
    store.save(pull)
    assert store.find("octo/widgets#41") == pull, "where no issue has the number, a pull request's"
    store.create(a_run(4, repo="octo/gears"))
    for reference, reason in {
        "2026": "begins the names of 4 runs",
        "2027": "no run '2027'",
        "": "no run ''",
        "../../etc": "no run",
        "#12": "an issue or pull request of octo/gears, octo/widgets",
        "octo/widgets#13": "no run for octo/widgets#13",
    }.items():
        with pytest.raises(SprintError, match=reason):
            store.find(reference)


def test_no_path_leaves_the_folder(tmp_path: Path) -> None:
    for name in ("..", "../x", "/etc", "", ".hidden", "a\nb"):
        with pytest.raises(SprintError, match="no run's name"):
            RunStore(tmp_path).folder(name)


def test_an_existing_run_is_not_made_again(tmp_path: Path) -> None:
    store, run = RunStore(tmp_path), a_run()
    store.create(run)
    with pytest.raises(SprintError, match="File exists"):
        store.create(replace(run, title="another"))
    assert store.load(run.id) == run


def test_a_run_that_never_began_is_forgotten(tmp_path: Path) -> None:
    store, run = RunStore(tmp_path), a_run()
    (store.create(run) / "log").touch()
    store.discard(run.id)
    store.discard(run.id)
    assert not store.folder(run.id).exists()
    assert list(store.all()) == store.active() == []


def test_cleaning_keeps_the_newest_and_those_under_way(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    runs = [a_run(n) for n in range(6)]
    for run in runs:
        store.create(run)
    for run in runs[1:]:
        store.save(settled(run))
    (tmp_path / "runs" / ".gone-half").mkdir()
    assert store.clean(keep=2) == [runs[n].id for n in (3, 2, 1)]
    assert [run.id for run in store.all()] == [runs[n].id for n in (5, 4, 0)]
    assert not list((tmp_path / "runs").glob(".gone-*"))
    assert RunStore(tmp_path / "nothing").clean() == []


def test_nothing_is_there_yet(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "results")
    assert store.active() == list(store.all()) == []
    assert not (tmp_path / "results").exists()
    assert store.under_way("home", "burner") == []
    with pytest.raises(SprintError, match="no run"):
        store.load("20261121T120102Z-octo-widgets-12-3f9c")


SAVER = """
import sys
from sprint.domain import replace
from pathlib import Path
from sprint.runs import RunStore
from tests.some_run import some_run
store = RunStore(Path(sys.argv[1]))
run = store.load(sys.argv[2])
print("ready", flush=True)
for n in range(1000000):
    store.save(replace(run, title="x" * 200_000 + str(n), rounds=n))
"""


def test_a_kill_while_saving_leaves_a_whole_record(tmp_path: Path) -> None:
    store, run = RunStore(tmp_path), a_run()
    store.create(run)
    for kills in range(3):
        saver = subprocess.Popen(
            [sys.executable, "-c", SAVER, str(tmp_path), run.id],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
        )
        assert saver.stdout is not None
        with saver.stdout as out:
            out.readline()
            while (rounds := store.load(run.id).rounds) < 2 + kills:
                pass
        saver.kill()
        saver.wait()
        assert store.load(run.id).rounds >= rounds


def test_results_that_cannot_be_written_are_a_sentence() -> None:
    with pytest.raises(SprintError, match="cannot write in /proc/self: No such file"):  # not even as root
        RunStore(Path("/proc/self")).under_way("home", "host")
