"""What is an alarm, and when a person hears of it."""

from __future__ import annotations

import io
import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from sprint import health, heartbeat, spend
from sprint.config import Config
from sprint.domain import Endpoint, Secret
from sprint.errors import ModelTrouble
from sprint.health import RepositoryTrouble
from sprint.monitor import alarms
from sprint.monitor.monitor_command import Options, run
from sprint.runs import RunStore
from sprint.settle import pauses
from tests.around import around
from tests.monitor.installation import REPO, a_run, configured, monitor, now, recent, ticked
from tests.monitor.ledgers import write_ledger

MODEL = Endpoint("qwen3-coder", "http://127.0.0.1:9/v1", Secret(""))


def test_a_dead_cron_is_an_alarm_and_a_retired_repository_none(tmp_path: Path) -> None:
    config = configured(tmp_path)
    ticked(config, 90, 80, 70, 60)
    ticked(config, *(60 * 24 * 8 + n for n in (30, 20, 10, 0)), repo="octo/retired")
    code, text = monitor(config, quiet=True)
    assert code == 1
    assert text == "octo/widgets: cron looks dead: the last tick was 1 h ago, and they came every 10 min\n"
    ticked(config, 0)
    code, over = monitor(config, quiet=True)
    assert (code, over.startswith("over, after "), over.endswith(f": {text}")) == (0, True, True)
    assert monitor(config, quiet=True) == (0, "")


def test_a_cron_that_died_after_its_first_tick_is_late_by_the_configured_interval(tmp_path: Path) -> None:
    config = configured(tmp_path)
    ticked(config, 60)
    assert monitor(config, quiet=True) == (0, "")
    repos = tuple(replace(repo, every=15) for repo in config.repos)
    code, text = monitor(replace(config, repos=repos), quiet=True)
    assert code == 1
    assert text == "octo/widgets: cron looks dead: the last tick was 1 h ago, and they came every 15 min\n"


def test_failures_in_a_row(tmp_path: Path) -> None:
    config = configured(tmp_path)
    rows = [recent(9 - n, "limit") for n in range(4)]
    write_ledger(config.paths.results, *rows)
    assert monitor(config, quiet=True) == (0, "")
    write_ledger(config.paths.results, *rows, recent(2, "cancelled"), recent(1, "checks_failed"))
    assert monitor(config, quiet=True) == (
        1,
        "octo/widgets: 5 failures in a row, the last: checks_failed\n",
    )
    assert monitor(config, quiet=True, failures_in_a_row=6)[0] == 0
    write_ledger(config.paths.results, *(recent(300 - n, "limit") for n in range(9)))
    assert monitor(config, quiet=True)[0] == 0


def test_pass_rate_below(tmp_path: Path) -> None:
    config = configured(tmp_path)
    write_ledger(config.paths.results, recent(300), recent(3), recent(2, "limit"), recent(1, "needs_human"))
    assert monitor(config, quiet=True, fail_below=50.0) == (0, "")
    code, text = monitor(config, quiet=True, fail_below=50.1)
    assert (code, text) == (1, "pass rate 50% (1 of 2, 7 days), below 50.1%\n")
    code, text = monitor(config, quiet=True, fail_below=60.0, since="150m")
    assert text.startswith("pass rate 0% (0 of 1, since ")
    assert monitor(config, quiet=True, fail_below=60.0, since="30m") == (0, "")


def test_a_stuck_run_and_one_that_is_not(tmp_path: Path) -> None:
    config = configured(tmp_path)
    store, long = RunStore(config.paths.results), a_run(62, limit=60)
    store.create(long)
    assert monitor(config, quiet=True)[0] == 0
    store.create(a_run(66, limit=60, paused_since=now()))
    assert monitor(config, quiet=True)[0] == 0
    store.create(a_run(66, limit=60))
    code, text = monitor(config, quiet=True)
    assert code == 1
    assert text.count("stuck: working on burner since 1.1 h") == 1


def test_spend_near_the_ceiling(tmp_path: Path) -> None:
    config = configured(tmp_path)
    spend.record(config.paths.results, "a", 16.0)
    assert monitor(config, quiet=True)[0] == 0
    spend.record(config.paths.results, "b", 0.01)
    assert monitor(config, quiet=True) == (1, "spent $16.01 today, 80% of the ceiling of $20.00\n")


def test_what_happens_to_the_operator_again_and_again_counts(tmp_path: Path) -> None:
    config = configured(tmp_path)
    outcomes = ("limit", "interrupted", "interrupted", "worker_lost")
    rows = [recent(9 - n, outcome) for n, outcome in enumerate(outcomes)]
    write_ledger(config.paths.results, *rows, recent(1, "interrupted"))
    code, text = monitor(config, quiet=True)
    assert (code, text) == (1, "octo/widgets: 5 failures in a row, the last: interrupted\n")
    write_ledger(config.paths.results, *rows, recent(1, "needs_human"), recent(0.5, "cancelled"))
    assert monitor(config, quiet=True)[0] == 0


def failed(config: Config, exit_code: int, *minutes_ago: float, repo: str = REPO, says: str = "x") -> None:
    for minutes in minutes_ago:
        at = now() - timedelta(minutes=minutes)
        heartbeat.beat(config.paths.results, "home", repo, f"error: {says}", exit_code=exit_code, now=at)


@pytest.mark.parametrize("exit_code", [2, 3, 4, 5, 70, 130])
def test_ticks_that_fail_in_a_row(tmp_path: Path, exit_code: int) -> None:
    config = configured(tmp_path)
    ticked(config, 60)
    failed(config, 3, 50, 40, 30)
    failed(config, exit_code, 20)
    assert monitor(config, quiet=True) == (0, "")
    failed(config, exit_code, 10, says="no\x1b[31m way")
    said = f"the last with exit code {exit_code}: error: no way"
    assert monitor(config, quiet=True) == (1, f"octo/widgets: 5 ticks failed in a row, for 50 min, {said}\n")
    ticked(config, 0)
    code, text = monitor(config, quiet=True)
    assert (code, bool(re.match(r"over, after \d s: octo/widgets: 5 ticks failed", text))) == (0, True)


def test_two_failed_ticks_are_many_where_one_comes_a_day(tmp_path: Path) -> None:
    config = configured(tmp_path)
    failed(config, 3, 60 * 24 + 5)
    assert monitor(config, quiet=True)[0] == 0
    failed(config, 3, 5)
    assert "2 ticks failed in a row, for 1 d" in monitor(config, quiet=True)[1]


def test_a_busy_tick_says_nothing_of_the_ones_that_failed(tmp_path: Path) -> None:
    config = configured(tmp_path)
    failed(config, 3, 60, 50, 40, 30)
    heartbeat.beat(config.paths.results, "home", REPO, "busy", exit_code=None)
    failed(config, 3, 10)
    assert "5 ticks failed in a row" in monitor(config, quiet=True)[1]


def refused(config: Config, kind: ModelTrouble | None, minutes_ago: float, reason: str = "") -> None:
    at = now() - timedelta(minutes=minutes_ago)
    health.note_model(config.paths.results, MODEL, kind, reason, now=at)


def test_a_model_that_refuses_is_one_alarm_for_all_repositories(tmp_path: Path) -> None:
    config = configured(tmp_path)
    refused(config, ModelTrouble.QUOTA, 90, "its quota is used up\x1b[31m")
    refused(config, ModelTrouble.QUOTA, 5, "its quota is used up")
    failed(config, 5, 70, 60, 50, 40, 30, 20, 10)
    failed(config, 5, 70, 60, 50, 40, 30, 20, 10, repo="octo/gears")
    assert monitor(config, quiet=True) == (
        1,
        "the model qwen3-coder has refused for 1.5 h: its quota is used up\n",
    )
    assert "qwen3-coder refuses  since" not in monitor(config)[1]
    assert "  qwen3-coder refuses since 1.5 h ago: its quota is used up" in monitor(config)[1]
    refused(config, None, 0)
    ticked(config, 0)
    ticked(config, 0, repo="octo/gears")
    code, text = monitor(config, quiet=True)
    assert (code, text.count("\n"), text[:12]) == (0, 1, "over, after ")


def test_a_model_that_nobody_names_any_more_is_none(tmp_path: Path) -> None:
    config = configured(tmp_path)
    refused(config, ModelTrouble.UNKNOWN, 5, "no such model")
    assert monitor(config, quiet=True)[0] == 1
    text = (tmp_path / "sprint.yaml").read_text()
    named = configured(tmp_path, text.replace("name: qwen3-coder", "name: qwen3-coder-next"))
    code, said = monitor(named, quiet=True)
    assert (code, said[:12]) == (0, "over, after ")
    assert "refuses" not in monitor(named)[1]


@pytest.mark.parametrize(
    "text",
    [
        "model: {name: other, base_url: 'http://127.0.0.1:9/v1', fallbacks: [{name: qwen3-coder}]}",
        "model: {name: other, fallbacks: [{base_url: 'http://127.0.0.1:9/v1'}]}",  # which may have any
        "model: {name: other}\nworkers: {mine: {kind: claude, model: qwen3-coder}}",
        "model: {base_url: 'http://127.0.0.1:9/v1'}",
        "defaults: {worker: local}",
    ],
)
def test_a_model_that_may_be_in_use_is_one(tmp_path: Path, text: str) -> None:
    refused(configured(tmp_path), ModelTrouble.UNKNOWN, 5, "no such model")
    quiet = "repos: [octo/widgets]\nmonitor: {hermes_server: ''}\n"
    assert "the model qwen3-coder has refused" in monitor(configured(tmp_path, quiet + text), quiet=True)[1]


def test_a_busy_model_is_no_alarm_for_an_hour(tmp_path: Path) -> None:
    config = configured(tmp_path)
    refused(config, ModelTrouble.BUSY, 30, "busy")
    assert monitor(config, quiet=True)[0] == 0
    refused(config, ModelTrouble.BUSY, 90, "busy")
    health.note_model(config.paths.results, MODEL, None, now=now() - timedelta(minutes=100))
    for minutes in (90, 50, 10):
        refused(config, ModelTrouble.BUSY, minutes, "busy")
    assert monitor(config, quiet=True)[0] == 1


def test_a_refusal_that_nobody_asked_about_for_a_day_is_none(tmp_path: Path) -> None:
    config = configured(tmp_path)
    refused(config, ModelTrouble.REFUSED, 60 * 25, "the key")
    assert monitor(config, quiet=True) == (0, "")


def test_a_repository_whose_claims_are_stopped(tmp_path: Path) -> None:
    config = configured(tmp_path)
    said = "setup: pip install failed (exit code 1)"
    health.note_repository_fault(
        config.paths.results, "home", REPO, RepositoryTrouble.SETUP, said, issue=3, now=now()
    )
    code, text = monitor(config, quiet=True)
    until = now() + timedelta(hours=1)
    assert code == 1
    assert text == (
        f"octo/widgets: no issue is begun: the project's setup fails at the base: {said}; tried again after "
        f"{until:%Y-%m-%d %H:%M} UTC, or by `sprint run octo/widgets`\n"
    )
    assert monitor(config, quiet=True, repos=("octo/gears",))[0] == 0
    health.clear_repository(config.paths.results, "home", REPO, RepositoryTrouble.SETUP)
    assert re.match(r"over, after \d s: octo/widgets: no issue is begun", monitor(config, quiet=True)[1])


def test_one_refused_push_stops_nothing(tmp_path: Path) -> None:
    config = configured(tmp_path)
    for issue, code in ((3, 0), (3, 0), (4, 1)):
        health.note_repository_fault(
            config.paths.results, "home", REPO, RepositoryTrouble.PUSH, "hook", issue=issue
        )
        assert monitor(config, quiet=True)[0] == code


def test_a_run_that_is_paused_for_more_than_an_hour(tmp_path: Path) -> None:
    config = configured(tmp_path)
    store = RunStore(config.paths.results)
    paused = a_run(400, paused_since=now() - timedelta(minutes=59), paused_why="the model is away")
    store.create(paused)
    assert monitor(config, quiet=True) == (0, "")
    why = "the forge\x1b[31m is away"
    store.create(a_run(400, paused_since=now() - timedelta(minutes=90), paused_why=why))
    code, text = monitor(config, quiet=True)
    assert code == 1
    assert text.startswith("octo/widgets #12: paused for 1.5 h: the forge is away (run ")
    assert text.count("\n") == 1


def test_ticks_that_are_given_less_time_than_a_step_needs(tmp_path: Path) -> None:
    config = configured(tmp_path)
    store = RunStore(config.paths.results)
    cut_short = a_run(100, pauses=5, paused_since=now())
    store.create(cut_short)
    code, text = monitor(config, quiet=True)
    assert code == 1
    assert text == (
        "octo/widgets #12: paused 5 times without progress: the tick is given less time than the step needs; "
        f"let it run longer (run {cut_short.id})\n"
    )
    assert alarms.MOST_CUT_SHORT == pauses.MOST_CUT_SHORT


def test_a_run_given_up_for_short_ticks_is_an_alarm_until_another_one_ends(tmp_path: Path) -> None:
    config = configured(tmp_path)
    store = RunStore(config.paths.results)
    given_up = a_run(100, pauses=6, phase="settled")
    store.create(given_up)
    write_ledger(config.paths.results, recent(1, "interrupted", run_id=given_up.id))
    assert monitor(config, quiet=True)[0] == 1
    write_ledger(config.paths.results, recent(1, "interrupted", run_id=given_up.id), recent(0.1))
    code, text = monitor(config, quiet=True)
    assert (code, text.startswith("over, after")) == (0, True)


def test_more_than_eight_workspaces_of_runs_under_way(tmp_path: Path) -> None:
    config = configured(tmp_path, f"paths: {{workspaces: '{tmp_path / 'spaces'}'}}\nrepos: []\n")
    store = RunStore(config.paths.results)
    for n in range(12):
        space = config.paths.workspaces / f"sprint-run-{n:02}"
        space.mkdir(parents=True)
        (space / ".sprint").write_text("{}")
        if n < 8:
            store.create(a_run(12 - n, workspace=str(space)))
    assert monitor(config, quiet=True) == (0, "")
    store.create(a_run(1, workspace=str(config.paths.workspaces / "sprint-run-08")))
    code, text = monitor(config, quiet=True)
    assert code == 1
    assert text.startswith(
        f"9 workspaces are in use in {config.paths.workspaces}: are some of these runs stuck?"
    )
    names = set(text.split("The newest: ")[1].strip().split(", "))
    assert len(names) == 3
    assert names < {f"sprint-run-{n:02}" for n in range(9)}
    assert "WORKSPACES: 12 in" in monitor(config)[1]
    assert ", 9 in use; newest: sprint-run-" in monitor(config)[1]


# --- when a person hears of it -----------------------------------------------------------------


def test_quiet_tells_an_alarm_once_a_day_and_exits_1_all_along(tmp_path: Path) -> None:
    config = configured(tmp_path)
    RunStore(config.paths.results).create(a_run(100, limit=60))
    assert [code_and_lines(config) for _ in range(3)] == [(1, 1), (1, 0), (1, 0)]
    age(config, timedelta(hours=24))
    assert [code_and_lines(config) for _ in range(3)] == [(1, 1), (1, 0), (1, 0)]


def code_and_lines(config: Config, **options: Any) -> tuple[int, int]:
    code, text = monitor(config, quiet=True, **options)
    return code, text.count("\n")


def age(config: Config, by: timedelta) -> None:
    """As if it all had been told so long ago."""
    path = config.paths.results / "alarms.json"
    known = json.loads(path.read_text())
    for alarm in known.values():
        for name in ("since", "told_at"):
            alarm[name] = (datetime.fromisoformat(alarm[name]) - by).isoformat()
    path.write_text(json.dumps(known))


def test_a_person_at_a_terminal_sees_all_that_lasts(tmp_path: Path) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    config = configured(tmp_path)
    RunStore(config.paths.results).create(a_run(100, limit=60))
    for _ in range(2):
        out = Terminal()
        assert run(config, Options(quiet=True), around(tmp_path, out=out)) == 1
        assert out.getvalue().count("\n") == 1
    assert code_and_lines(config) == (1, 1), "cron has told nobody yet"


def test_a_part_of_the_whole_neither_begins_nor_ends_an_alarm(tmp_path: Path) -> None:
    config = configured(tmp_path)
    RunStore(config.paths.results).create(a_run(100, limit=60))
    assert code_and_lines(config, repos=(REPO,)) == (1, 1)
    assert code_and_lines(config) == (1, 1)
    assert code_and_lines(config, repos=("octo/gears",)) == (0, 0)
    assert code_and_lines(config) == (1, 0)
