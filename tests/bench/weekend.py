"""A weekend without a model: 400 ticks, ten minutes apart, and the monitor beside them, as cron has it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sprint.claim import Claims
from sprint.domain import Secret
from sprint.git import Remote
from tests.servers.forge import DemoForge, Fault
from tests.servers.model import DemoModel
from tests.servers.replies import Reply, finish
from tests.site import Site
from tests.widgets import CHECK, FILES, FIX, REPO

TICKS, APART, MONITOR_EACH = 400, 10, 3  # in number, minutes, ticks
_LIBRARIES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu")
_QUOTA = b'{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}'


@dataclass
class _Weekend:
    """Ticks at minutes of their own; `mails` is what cron would have sent: (minute, text)."""

    site: Site
    mails: list[tuple[int, str]] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)

    def tick(self, minute: int) -> None:
        # cron mails what a tick says on stderr; its stdout goes to results/cron.log.
        done = self._run(minute, "run", REPO)
        self.codes.append(done.returncode)
        if done.stderr:
            self.mails.append((minute, done.stderr))

    def monitor(self, minute: int) -> None:
        done = self._run(minute, "monitor", "--quiet")
        if said := done.stdout + done.stderr:
            self.mails.append((minute, said))

    def _run(self, minute: int, *args: str) -> subprocess.CompletedProcess[str]:
        clock = {"LD_PRELOAD": _faketime(), "FAKETIME": f"+{minute}m", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        return subprocess.run(
            [sys.executable, "-m", "sprint", *args],
            cwd=self.site.path,
            env={**self.site.environ, **clock},
            capture_output=True,
            text=True,
            timeout=300,
        )


def bench(scratch: Path) -> Iterator[str]:
    """Two issues: the first is under way when the quota ends, the second waits in the backlog."""
    ask = _Script()
    with DemoModel(ask) as model, DemoForge("gitea", scratch / "forge") as forge:
        forge.add_repo(REPO, FILES)
        for _ in range(2):
            forge.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
        repo = {"name": REPO, "checks": [CHECK], "pick": {"max_open_prs": 10}}
        hours = TICKS * APART // 60 + 24
        site = Site(scratch / "site", forge, model, repos=[repo], limits={"paused_hours": hours})
        weekend = _Weekend(site)
        away = Fault("/chat/completions", times=None, status=429, body=_QUOTA)
        ask.at_turn = lambda: model.faults.append(away)
        for number in range(TICKS):
            weekend.tick(number * APART)
            if number % MONITOR_EACH == 0:
                weekend.monitor(number * APART + 5)
        asked, codes = model.times_asked(), _counts(weekend.codes)
        yield f"in {TICKS} ticks a completion was asked for {asked} times; exit codes {codes}"
        yield f"rows {len(site.rows())}, runs {[(run['issue'], run['phase']) for run in site.runs()]}"
        model.faults.clear()
        for number in range(TICKS, TICKS + 15):
            weekend.tick(number * APART)
            weekend.monitor(number * APART + 5)
        yield from _judge(weekend, forge, scratch)


class _Script:
    """A model that has its quota taken away after the first turn that it answers with a change."""

    def __init__(self) -> None:
        self.at_turn: Any = None

    def __call__(self, request: dict[str, Any], _number: int) -> Reply:
        if any("n + n + 1" in str(message.get("tool_calls", "")) for message in request["messages"]):
            return finish("implemented", "Fixed.")
        if self.at_turn and len(request["messages"]) > 1 and _is_work(request):
            self.at_turn()
            self.at_turn = None
        return FIX


def _is_work(request: dict[str, Any]) -> bool:
    return len(request.get("tools", ())) > 1  # the question before a claim has one tool


def _judge(weekend: _Weekend, forge: DemoForge, scratch: Path) -> Iterator[str]:
    site = weekend.site
    rows = [(row["issue"], row["outcome"], row["turns"]) for row in site.rows()]
    claims = Claims(
        scratch / "judge.git", Remote(f"{forge.url}/{REPO}.git", Secret(forge.token)), "judge"
    ).read()
    attempts = {number: claim.attempt for number, claim in claims.items()}
    yield f"after it: rows {rows}, attempts {attempts}, pull requests {len(forge.pulls(REPO))}"
    yield f"{len(weekend.mails)} mails of cron:"
    for minute, text in weekend.mails:
        yield f"   {minute // 60:3} h {minute % 60:02} min: {text.strip()}"
    assert sorted(row[:2] for row in rows) == [("1", "pr_opened"), ("2", "pr_opened")], rows
    assert set(attempts.values()) == {1}, attempts
    assert len(forge.pulls(REPO)) == 2


def _counts(codes: list[int]) -> dict[int, int]:
    return {code: codes.count(code) for code in sorted(set(codes))}


def _faketime() -> str:
    for folder in _LIBRARIES:
        if (library := Path(folder, "faketime", "libfaketime.so.1")).exists():
            return str(library)
    raise SystemExit("install faketime: the weekend's clock is moved by it")
