"""What sweeps leave, in bytes: of runs' folders, of workspaces, and of a run's own files."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from sprint import cli, retention, run_command, transcript
from sprint.config import Config, Paths, RepoConfig
from sprint.domain import Outcome, Phase, Run, Usage, replace
from sprint.retention import sweep, usage
from sprint.runs import RunStore, new_id
from sprint.workspace.removal import MARKER
from tests.around import around

NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
MEGABYTE = b"x" * 1_000_000


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "spaces").mkdir(mode=0o711)
    paths = Paths(
        results=tmp_path / "results",
        cache=tmp_path / "cache",
        workspaces=tmp_path / "spaces",
        results_mb=5,
        workspaces_mb=5,
    )
    return Config(forges={}, model=None, repos=(), defaults=RepoConfig(name=""), paths=paths)


def started(config: Config, minute: int) -> Run:
    at = NOON + timedelta(minutes=minute)
    run = Run(new_id(at, "octo/widgets", 1), "home", "octo/widgets", 1, "", 1, "host-0", 1, at, at, "local")
    RunStore(config.paths.results).create(run)
    return run


def settle(config: Config, run: Run) -> None:
    over = replace(run, phase=Phase.SETTLED, outcome=Outcome.NO_CHANGE, finished_at=NOON)
    RunStore(config.paths.results).save(over)


def fill(folder: Path, megabytes: int) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    for number in range(megabytes):
        (folder / str(number)).write_bytes(MEGABYTE)
    return folder


def space(config: Config, name: str, megabytes: int, age: float) -> Path:
    root = fill(config.paths.workspaces / f"sprint-{name}", megabytes)
    (root / MARKER).touch()
    os.utime(root / MARKER, (1e9 - age, 1e9 - age))
    return root


def test_runs_beyond_their_bytes_go_the_oldest_first_and_never_one_under_way(config: Config) -> None:
    runs = [started(config, minute) for minute in range(5)]
    for run in runs:
        fill(config.paths.results / "runs" / run.id / "outputs", 2)
    for run in runs[1:]:
        settle(config, run)
    ledger = config.paths.results / "results.csv"
    ledger.write_bytes(MEGABYTE * 6)
    assert sorted(sweep(config)) == [runs[1].id, runs[2].id]
    assert sorted(path.name for path in (config.paths.results / "runs").iterdir()) == [
        run.id for run in (runs[0], *runs[3:])
    ]
    assert ledger.stat().st_size == 6_000_000
    assert sweep(config) == []


def test_ticks_tidy_up_after_a_run_and_else_once_an_hour(config: Config, tmp_path: Path) -> None:
    here, done = around(tmp_path), config.paths.cache / "housekeeping"
    config = structs.replace(config, paths=structs.replace(config.paths, workspaces_mb=0))

    def is_swept_after(at: float | None = None) -> bool:
        old = space(config, "old", 1, 500)
        if at is not None:
            os.utime(done, (at, at))
        run_command._keep_house(config, here)
        return not old.exists()

    assert is_swept_after(), "the first time"
    now = time.time()
    assert [is_swept_after(now - minutes * 60) for minutes in (0, 59, 61, -1)] == [False, False, True, True]
    started(config, 0)
    assert is_swept_after(now - 60)
    assert not is_swept_after()


def test_of_too_many_runs_some_are_left_for_the_next_time(config: Config) -> None:
    for minute in range(3):
        settle(config, started(config, minute))
    store = RunStore(config.paths.results)
    assert store.clean(keep=1, seconds=-1) == []
    assert len(store.clean(keep=1)) == 2


def test_so_do_workspaces_and_each_is_measured_once(config: Config, measured: list[str]) -> None:
    run = started(config, 0)
    busy, proof = space(config, run.id, 4, 900), space(config, f"{run.id}-proof", 4, 800)
    old, new = space(config, "b", 3, 500), space(config, "c", 3, 10)
    assert sweep(config) == [str(old)]
    assert sorted(config.paths.workspaces.iterdir()) == sorted([busy, proof, new])
    assert measured == ["sprint-c", "sprint-b"]
    assert sweep(config) == []
    assert measured == ["sprint-c", "sprint-b"]
    settle(config, run)
    assert sorted(sweep(config)) == sorted([str(busy), str(proof)])


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    seen: list[str] = []
    real: Callable[[Path], tuple[int, int]] = retention.used

    def used(path: Path) -> tuple[int, int]:
        seen.append(path.name)
        return real(path)

    monkeypatch.setattr(retention, "used", used)
    return seen


def test_what_is_used_is_told(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(config.paths.cache / "environments/home/octo/widgets", 60)
    space(config, "a", 20, 1)
    told = {use.what: (use.bytes // 10_000_000, use.most_bytes) for use in usage(config)}
    assert told == {
        "results": (0, 5_000_000),
        "workspaces": (2, 5_000_000),
        "environments": (6, 20_000_000_000),
        "mirrors": (0, None),
    }
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sprint.yaml").write_text("paths: {cache: cache, workspaces: spaces}\n")
    assert cli.main(["clean"]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.startswith(
        "kept: results 0.0 of 10.0 GB, workspaces 0.0 of 50.0 GB, environments 0.1 of 20.0"
    )


def test_a_transcript_stops_growing_and_what_counts_is_written_all_the_same(tmp_path: Path) -> None:
    transcript.append(tmp_path, "assistant", content="y" * 1000, usage={"prompt_tokens": 1})
    with (tmp_path / transcript.NAME).open("ab") as file:
        file.truncate(64_000_000)
    before = (tmp_path / transcript.NAME).stat().st_size
    arguments = json.dumps({"content": "x" * 10_000_000})
    for _ in range(3):
        calls = [{"id": "1", "name": "write_file", "arguments": arguments}]
        transcript.append(
            tmp_path, "assistant", content="y" * 9_000_000, tool_calls=calls, usage={"prompt_tokens": 7}
        )
        transcript.append(tmp_path, "tool", text="z" * 9_000_000, exit_code=1)
    assert (tmp_path / transcript.NAME).stat().st_size < before + 20_000
    counted, _ = transcript.usage(tmp_path)
    assert counted == Usage(turns=4, prompt_tokens=22)
    last = list(transcript.read(tmp_path))[-1]
    assert (last["text"][:3], last["exit_code"]) == ("zzz", 1)
    assert len(last["text"]) < 600
