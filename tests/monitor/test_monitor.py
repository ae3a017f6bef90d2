"""The whole command, its renderers and its alarms."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sprint import ledger
from sprint.cli import main
from sprint.config import Config
from sprint.errors import ConfigError
from sprint.monitor import pull_states
from sprint.monitor.monitor_command import Options, run, since_of
from sprint.monitor.units import ago, dollars, percent, span
from sprint.runs import RunStore
from tests.around import around
from tests.monitor.installation import REPO, a_run, configured, monitor, recent, ticked
from tests.monitor.ledgers import NOW, write_ledger
from tests.servers.forge import DemoForge

SITE = "https://git.example.org/octo/widgets"


def test_the_report_says_everything(tmp_path: Path) -> None:
    config = configured(tmp_path)
    store = RunStore(config.paths.results)
    done = a_run(200, title="Gears grind")
    store.create(done)
    write_ledger(
        config.paths.results,
        "1713047520|octo/widgets|#101|0\nnonsense\n",
        recent(30, "checks_failed", detail="pytest -q: 3 new failures"),
        recent(
            4, "pr_updated", purpose="follow_up", round=1, trigger="ci", issue=7, pr_url=f"{SITE}/pulls/8"
        ),
        recent(3, run_id=done.id, issue=7, pr_url=f"{SITE}/pulls/8"),
    )
    store.create(a_run(10))
    ticked(config, 32, 22, 12, 2)
    code, text = monitor(config)
    assert code == 1  # the run of 200 minutes ago was never settled: it is stuck
    for part in (
        "ALARM  octo/widgets #12: stuck: working on burner since 3.3 h",
        "ACTIVE RUNS: 2",
        "octo/widgets #12 Widgets wobble",
        "last 4 runs  PFPP  3 passed, 1 failed, 0 neither",
        "#7 Gears grind  pr_opened  3 h ago\n",
        f"{done.id}  {SITE}/pulls/8",
        "follow-ups pushed: 1 for 1 pull request; begun: 1 for ci",
        "open issues  unreachable",
        "2 min ago, every 10 min  idle: no open issues",
        "LEDGER: 4 rows, 1 of the system before",
        "1 line is no row",
        "line 3: 1 fields where 24 are expected: nonsense",
        "75% 3/4",
        "1  checks_failed  pytest -q: N new failures",
        "MEDIAN RUN: 5 min, 30 turns, $0.50",
        "SPENT TODAY: $0.00 of $20.00 (0%)",
        "HERMES SERVER: down  http://127.0.0.1:9/health unreachable; sprints use the CLI",
        "MODEL QWEN3-CODER: down",
    ):
        assert part in text
    assert "\x1b" not in text


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    config = configured(tmp_path)
    title = "[red]x[/red] \x1b[31m\x1b]0;owned\x07\u202e\n line two 日本語"
    RunStore(config.paths.results).create(a_run(1, title=title))
    write_ledger(config.paths.results, recent(1, "error", detail=title))
    _, text = monitor(config)
    assert "[red]x[/red]" in text
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert not [line for line in text.split("\n") if line.startswith(" line two")]


def on_terminal(config: Config, width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    main, other = pty.openpty()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(width))
    read: list[bytes] = []

    def drain() -> None:
        while True:
            try:
                data = os.read(main, 65536)
            except OSError:
                return
            if not data:
                return
            read.append(data)

    reader = threading.Thread(target=drain)
    reader.start()
    with os.fdopen(other, "w") as out:
        run(config, Options(), around(config.paths.results.parent, out=out))
    reader.join(10)
    os.close(main)
    return b"".join(read).decode()


def test_colour_and_width_follow_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured(tmp_path)
    write_ledger(config.paths.results, recent(1, "error", detail="a long reason " * 8))
    text = on_terminal(config, 60, monkeypatch)
    assert "\x1b[31m" in text
    plain = "".join(part.partition("m")[2] if n else part for n, part in enumerate(text.split("\x1b[")))
    assert max(len(line.rstrip()) for line in plain.split("\r\n")) <= 60
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in on_terminal(config, 60, monkeypatch)


@pytest.mark.parametrize(
    "wrong", [["--watch", "0"], ["--watch", "-1"], ["--watch", "nan"], ["--fail-below", "nan"]], ids=" ".join
)
def test_numbers_that_mean_nothing_are_wrong_usage(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["monitor", *wrong])
    assert left.value.code == 2
    assert "is not a number between" in capsys.readouterr().err


def test_more_than_eight_at_once_is_a_warning(tmp_path: Path) -> None:
    config = configured(tmp_path)
    for n in range(9):
        RunStore(config.paths.results).create(a_run(n))
    assert "WARNING: 9 runs at once" in monitor(config)[1]


def test_a_ledger_that_cannot_be_read(tmp_path: Path) -> None:
    config = configured(tmp_path)
    ledger.path_of(config.paths.results).mkdir(parents=True)
    code, text = monitor(config)
    assert code == 1
    assert "ALARM  the ledger cannot be read: cannot read " in text
    assert json.loads(monitor(config, as_json=True)[1])["ledger"]["unreadable"]


def test_nothing_at_all_is_a_report_too(tmp_path: Path) -> None:
    config = configured(tmp_path, "{}")
    code, text = monitor(config)
    assert code == 0
    assert "LEDGER: 0 rows" in text
    assert not config.paths.results.exists()


def test_json_is_the_documented_shape(tmp_path: Path) -> None:
    config = configured(tmp_path)
    write_ledger(
        config.paths.results, "1713047520|octo/widgets|#101|0\n", recent(3, detail="=1"), recent(1, "limit")
    )
    RunStore(config.paths.results).create(a_run(10))
    ticked(config, 32, 22, 12, 2)
    code, text = monitor(config, as_json=True)
    data = json.loads(text)
    assert code == 0
    assert data["schema"] == 1
    assert list(data) == [
        "schema", "made_at", "since", "results", "alarms", "active", "repos", "windows", "days", "causes",
        "period", "medians", "usage", "spend", "fates", "health", "workspaces", "services", "hosts",
        "fleet_problem", "latest", "asking", "asking_count", "ledger",
    ]  # fmt: skip
    assert data["windows"][0]["total"] == {
        "passed": 1, "failed": 1, "neither": 0, "unproven": 0, "pass_rate": 0.5,
        "pass_rate_without_unproven": 0.5,
    }  # fmt: skip
    assert data["repos"][0]["latest"]["outcome"] == "limit"
    assert data["repos"][0]["interval_s"] == 600.0
    assert data["latest"][1]["detail"] == "=1"
    assert data["latest"][2]["exit_code"] == 0
    assert data["spend"] == {"usd": 1.0, "unpriced_runs": 0, "today_usd": 0.0, "ceiling_usd": 20.0}
    assert data["fates"]["share_merged"] is None
    assert data["ledger"]["old_rows"] == 1


def test_repo_leaves_the_others_out(tmp_path: Path) -> None:
    config = configured(tmp_path)
    write_ledger(config.paths.results, recent(3), recent(1, "limit", repo="octo/gears"))
    RunStore(config.paths.results).create(a_run(1))
    data = json.loads(monitor(config, as_json=True, repos=("octo/gears",))[1])
    assert [repo["repo"] for repo in data["repos"]] == ["octo/gears"]
    assert data["active"] == []
    assert data["windows"][3]["total"]["failed"] == 1
    assert data["windows"][3]["total"]["passed"] == 0


def test_a_repository_that_nobody_knows_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = configured(tmp_path)
    write_ledger(config.paths.results, recent(3), recent(1, repo="octo/gears"))
    monitor(config, repos=("octo/gears", "octo/gaers"))
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["--repo octo/gaers"]


@pytest.mark.machine
def test_promtool_accepts_the_metrics(tmp_path: Path) -> None:
    config = configured(tmp_path)
    write_ledger(config.paths.results, recent(3), recent(1, "limit", repo="octo/gears", cost_usd=None))
    ticked(config, 32, 22, 12, 2)
    file = tmp_path / "sprint.prom"
    file.write_text("old")
    assert monitor(config, prometheus=file, quiet=True) == (0, "")
    text = file.read_text()
    assert 'sprint_runs_total{repo="octo/gears",verdict="failed"} 1.0' in text
    assert "sprint_spend_dollars_total 0.5" in text
    assert 'sprint_pass_ratio{window="24 hours"} 0.5' in text
    assert 'sprint_tick_late{forge="home",repo="octo/widgets"} 0.0' in text
    assert "sprint_open_questions 0.0" in text
    assert file.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.glob("*.prom*")] == ["sprint.prom"]
    promtool = shutil.which("promtool") or shutil.which("promtool", path=str(Path(sys.executable).parent))
    assert promtool, "install Debian's package prometheus"
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_servers_are_asked_all_at_once_and_not_for_long(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        config = configured(
            tmp_path,
            f"forges: {{home: {{kind: gitea, url: '{url}'}}}}\n"
            f"model: {{name: m, base_url: '{url}/v1'}}\n"
            f"monitor: {{hermes_server: '{url}/health'}}\n"
            f"repos: [o/a, o/b, o/c, o/d]\n",
        )
        started = time.monotonic()
        _, text = monitor(config)
        assert time.monotonic() - started < 4.5
    assert text.count("open issues  unreachable") == 4
    assert "HERMES SERVER: down" in text
    assert "MODEL: down  unreachable" in text or "MODEL M: down" in text


def test_servers_that_answer(
    tmp_path: Path, forge_server: DemoForge, model_server: Callable[..., Any]
) -> None:
    forge_server.add_repo(REPO, {"a": "b"})
    for n in range(3):
        forge_server.add_issue(REPO, f"Issue {n}")
    forge_server.commit(REPO, "topic", "x", {"c": "d"})
    forge_server.add_pull(REPO, "topic")  # GitHub counts it as an issue; nobody else does
    model = model_server([])
    for name, secret in {"token": forge_server.token, "key": model.key}.items():
        (tmp_path / name).write_text(secret)
        (tmp_path / name).chmod(0o600)
    hermes = model_server([], ollama=True)
    config = configured(
        tmp_path,
        f"forges: {{home: {{kind: {forge_server.kind}, url: '{forge_server.url}', token_file: token}}}}\n"
        f"model: {{name: m, base_url: '{model.base_url}', api_key_file: key}}\n"
        f"monitor: {{gateway: '{hermes.base_url}/models'}}\n"
        f"repos: [{REPO}]\n",
    )
    data = json.loads(monitor(config, as_json=True)[1])
    assert data["repos"][0]["open_issues"] == 3
    assert [(service["name"], service["is_up"]) for service in data["services"]] == [
        ("hermes server", True),
        ("model m", True),
    ]


def test_refresh_asks_the_forge(tmp_path: Path, gitea: DemoForge) -> None:
    gitea.add_repo(REPO, {"a": "b"})
    gitea.commit(REPO, "topic", "x", {"c": "d"})
    number = gitea.add_pull(REPO, "topic")
    gitea.merge(REPO, number)
    (tmp_path / "token").write_text(gitea.token)
    (tmp_path / "token").chmod(0o600)
    config = configured(
        tmp_path,
        f"forges: {{home: {{kind: gitea, url: '{gitea.url}', token_file: token}}}}\nrepos: [{REPO}]\n",
    )
    write_ledger(
        config.paths.results,
        recent(2, pr_url=f"{gitea.url}/{REPO}/pulls/{number}", cost_usd=2.5),
        recent(1, "needs_human", issue=77, detail="asked: two or three?", cost_usd=0.0),
    )
    text = monitor(config)[1]
    assert "PULL REQUESTS: 1 open  (not asked yet: --refresh)" in text
    assert re.search(
        rf"WAITING FOR PEOPLE: 1 pull request, 1 question\n +{REPO} #77  asked: two or three\?\n", text
    )
    text = monitor(config, refresh=True)[1]
    assert "WAITING FOR PEOPLE: 1 question\n" in text
    assert "PULL REQUESTS: 1 merged  (as of " in text
    assert (
        "100% of those decided were merged, merged after 2 h (median), $2.50 per merged pull request" in text
    )
    assert pull_states.load(config.paths.results).pulls[0].state == "merged"


def test_watch_reports_until_it_is_interrupted(tmp_path: Path) -> None:
    config = configured(tmp_path)

    class Out(io.StringIO):
        def write(self, text: str) -> int:
            if self.getvalue().count("\n") == 3:
                raise KeyboardInterrupt
            return super().write(text)

    out = Out()
    assert run(config, Options(watch=0.01, as_json=True), around(tmp_path, out=out)) == 0
    assert [json.loads(line)["schema"] for line in out.getvalue().splitlines()] == [1, 1, 1]


def test_since_is_a_length_or_a_date() -> None:
    assert since_of("", NOW) is None
    assert since_of("7d", NOW) == NOW - timedelta(days=7)
    assert since_of("90m", NOW) == NOW - timedelta(minutes=90)
    assert since_of("2026-11-01", NOW) == datetime(2026, 11, 1, tzinfo=UTC)
    assert since_of("2026-11-01T02:00+02:00", NOW) == datetime(2026, 11, 1, tzinfo=UTC)
    for text in ("yesterday", "7", "d", "-7d", "99999999d", "999999w"):
        with pytest.raises(ConfigError, match="--since"):
            since_of(text, NOW)


def test_figures_in_words() -> None:
    assert [span(s) for s in (0, 59.4, 60, 90, 3600, 12600, 86400, 999999)] == [
        "0 s", "59 s", "1 min", "1.5 min", "1 h", "3.5 h", "1 d", "12 d",
    ]  # fmt: skip
    assert ago(NOW - timedelta(minutes=5), NOW) == "5 min ago"
    assert ago(NOW + timedelta(minutes=5), NOW) == "in 5 min"
    assert [percent(p) for p in (None, 0.0, 0.001, 0.5, 0.999, 1.0)] == [
        "-",
        "0%",
        "1%",
        "50%",
        "99%",
        "100%",
    ]
    assert [dollars(d) for d in (None, 0.0, 0.0123, 0.5, 1234.5)] == [
        "unknown", "$0.00", "$0.0123", "$0.50", "$1,234.50",
    ]  # fmt: skip
