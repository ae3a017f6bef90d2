"""Ticks that fail: what cron mails of them, what it does not, and what the monitor knows."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest
from msgspec.structs import replace

from sprint import first_look, health, heartbeat, run_command
from sprint.config import Config, ModelConfig, load
from sprint.domain import Endpoint, Secret
from sprint.errors import ForgeError, ModelError, ModelTrouble, SandboxError, Stopped
from sprint.heartbeat import Heartbeat
from sprint.run_command import Options
from tests.around import around
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.site import Site

REPO, OTHER = "octo/widgets", "octo/gears"


def test_cron_mails_a_failure_when_it_begins_and_when_it_is_over(
    gitea: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path
) -> None:
    """As cron does it: all that a tick prints to stdout goes to a log, everything else is mailed."""
    gitea.add_repo(REPO, {"README": "one\n"})
    site = Site(workspaces / "site", gitea, model_server([]), repos=[REPO])
    token = site.path / "forge.token"
    away = token.rename(site.path / "away")
    first = site.sprint("run", REPO)
    assert "forge.token" in first.stderr
    assert first.stdout == ""
    again = site.sprint("run", REPO)
    assert (again.returncode, again.stderr) == (first.returncode, "")
    assert again.stdout.startswith(f"{REPO}: ")
    assert "forge.token" in again.stdout
    as_json = site.sprint("run", REPO, "--json")
    assert (as_json.returncode, as_json.stderr) == (first.returncode, "")
    assert json.loads(as_json.stdout)["exit_code"] == first.returncode
    assert site.sprint("run", REPO, "--issue", "1").stderr, "somebody waits for an answer"
    quiet = site.sprint("monitor", "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    site.sprint("run", REPO)
    quiet = site.sprint("monitor", "--quiet")
    assert (quiet.returncode, quiet.stdout) == (1, ""), "five in a row, and told already"
    away.rename(token)
    done = site.sprint("run", REPO)
    assert (done.returncode, done.stderr) == (0, "")
    quiet = site.sprint("monitor", "--quiet")
    assert quiet.returncode == 0
    assert quiet.stdout.startswith("over, after ")
    assert quiet.stdout.count("\n") == 1


def test_a_failing_repository_is_named_once(
    gitea: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path
) -> None:
    gitea.add_repo(REPO, {})
    site = Site(workspaces / "site", gitea, model_server([]), repos=[REPO])
    says = f"{REPO}: it has no commits yet; push a first one\n"
    assert site.sprint("run", REPO).stderr == f"sprint: {says}"
    assert site.sprint("run", REPO).stdout == says


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "sprint.yaml").write_text(
        f"forges: {{home: {{kind: gitea, url: 'http://127.0.0.1:9'}}}}\nrepos: [{REPO}, {OTHER}]\n"
    )
    return load(None, around(tmp_path))


@pytest.fixture
def failing(
    config: Config, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Callable[..., tuple[int, int]]:
    """Ticks that fail with an error: the exit code, and how many lines went to stderr."""

    def ticks(error: BaseException, *repos: str, config: Config = config, **options: bool) -> tuple[int, int]:
        def fail(*_: object, **__: object) -> NoReturn:
            raise error

        monkeypatch.setattr(first_look, "look", fail)
        monkeypatch.setattr(run_command, "_keep_house", lambda *_: None)
        caplog.clear()
        with caplog.at_level(logging.ERROR):
            here = around(config.paths.results.parent)
            code = run_command.run_command(config, Options(repos=repos or (REPO,), **options), here)
        return code, len(caplog.records)

    return ticks


def beat_of(config: Config, repo: str = REPO) -> Heartbeat:
    (found,) = (beat for beat in heartbeat.read(config.paths.results) if beat.repo == repo)
    return found


@pytest.mark.parametrize(
    "error",
    [
        ForgeError("away"),
        SandboxError("none"),
        ModelError("gone"),
        Stopped("told to stop"),
        ZeroDivisionError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_each_kind_of_failure_is_counted_and_told_once(
    config: Config, failing: Callable[..., tuple[int, int]], error: Exception
) -> None:
    code = getattr(error, "exit_code", 70)
    assert [failing(error) for _ in range(3)] == [(code, 1), (code, 0), (code, 0)]
    beat = beat_of(config)
    assert (beat.exit_code, beat.failed_ticks) == (code, 3)
    assert beat.failing_since is not None
    assert beat.failing_since <= beat.ticked_at - timedelta(0)
    assert failing(error, by_hand=True) == (code, 1), "a person looks on"


def test_a_model_that_nobody_names_any_more_is_not_what_a_tick_fails_of(
    config: Config, failing: Callable[..., tuple[int, int]]
) -> None:
    results, told = config.paths.results, config.paths.results / "alarms.json"
    for name in ("mistyped", "mended"):
        endpoint = Endpoint(name, "http://127.0.0.1:9/v1", Secret("k"))
        health.note_model(results, endpoint, ModelTrouble.UNKNOWN, "no such model")
    named = replace(config, model=ModelConfig(name="mended"))
    assert failing(ModelError("no usable model"), config=named) == (5, 1)
    assert list(json.loads(told.read_text())) == ["model mended"]


def test_an_interrupted_tick_has_failed(config: Config, failing: Callable[..., tuple[int, int]]) -> None:
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            failing(KeyboardInterrupt())
    assert (beat_of(config).exit_code, beat_of(config).failed_ticks) == (130, 2)


def test_a_dry_run_leaves_no_trace(
    config: Config, failing: Callable[..., tuple[int, int]], slept: list[float]
) -> None:
    for error in (ForgeError("away"), ZeroDivisionError()):
        for _ in range(2):
            assert failing(error, dry_run=True)[1] == 1
    assert not config.paths.results.exists()


def test_a_model_that_refuses_is_told_once_for_all_repositories(
    config: Config, failing: Callable[..., tuple[int, int]]
) -> None:
    endpoint = Endpoint("qwen3-coder", "http://127.0.0.1:9/v1", Secret(""))
    now = datetime.now(UTC)
    health.note_model(config.paths.results, endpoint, ModelTrouble.QUOTA, "its quota is used up", now=now)
    error = ModelError("its quota is used up", ModelTrouble.QUOTA)
    assert failing(error, REPO, OTHER) == (5, 1)
    assert failing(error, REPO, OTHER) == (5, 0)
    known = json.loads((config.paths.results / "alarms.json").read_text())
    assert list(known) == ["model qwen3-coder"]
    assert failing(ForgeError("away"), REPO, OTHER) == (3, 2)


def test_a_tick_that_did_its_job_ends_the_row(config: Config, tmp_path: Path) -> None:
    results = config.paths.results
    for code in (3, 70, None, 3):
        heartbeat.beat(results, "home", REPO, "x", exit_code=code)
    assert beat_of(config).failed_ticks == 3
    heartbeat.beat(results, "home", REPO, "idle: no open issues")
    beat = beat_of(config)
    assert (beat.exit_code, beat.failed_ticks, beat.failing_since) == (0, 0, None)
    assert len(beat.ticks) == 5
