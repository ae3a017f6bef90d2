"""An operator's folder for the monitor's tests: configuration, runs, ticks, and the command itself."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sprint import heartbeat
from sprint.config import Config, load
from sprint.domain import Phase, Run
from sprint.monitor.monitor_command import Options, run
from tests.around import around
from tests.monitor.ledgers import a_row
from tests.some_run import some_run

REPO = "octo/widgets"
# A port that nobody listens on: everything is down at once unless a test says otherwise.
QUIET = "http://127.0.0.1:9"


def configured(folder: Path, text: str = "") -> Config:
    (folder / "sprint.yaml").write_text(
        text
        or f"forges: {{home: {{kind: gitea, url: '{QUIET}'}}}}\n"
        f"model: {{name: qwen3-coder, base_url: '{QUIET}/v1'}}\n"
        f"monitor: {{hermes_server: '{QUIET}/health'}}\n"
        f"repos: [{REPO}]\n"
    )
    return load(None, around(folder))


def monitor(config: Config, **options: Any) -> tuple[int, str]:
    out = io.StringIO()
    code = run(config, Options(**options), around(config.paths.results.parent, out=out))
    return code, out.getvalue()


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def recent(hours_ago: float, outcome: str = "pr_opened", **changes: Any) -> Any:
    return a_row(hours_ago, outcome, finished_at=now() - timedelta(hours=hours_ago), **changes)


def a_run(minutes_ago: float, limit: float = 60.0, **changes: Any) -> Run:
    started = now() - timedelta(minutes=minutes_ago)
    deadline = started + timedelta(minutes=limit)
    usual = {"repo": REPO, "started_at": started, "deadline": deadline, "phase": Phase.WORKING}
    return some_run(**{**usual, **changes})


def ticked(config: Config, *minutes_ago: float, repo: str = REPO) -> None:
    for minutes in minutes_ago:
        at = now() - timedelta(minutes=minutes)
        heartbeat.beat(config.paths.results, "home", repo, "idle: no open issues", now=at)
