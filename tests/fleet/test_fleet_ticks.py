"""Ticks as jobs: real workers, a real PostgreSQL, the embedded forge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.fleet import storm
from tests.fleet.postgres import PASSWORD, query
from tests.fleet.sites import ended, fixing, host
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.waiting import wait_until
from tests.widgets import FILES, REPO

pytestmark = pytest.mark.machine


def test_a_worker_ticks_and_drains(
    gitea: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel], database: str
) -> None:
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    site = host(workspaces / "one", gitea, model_server(fixing), database, [REPO])
    not_yet = site.sprint("fleet", "worker")
    assert (not_yet.returncode, "sprint fleet init" in not_yet.stderr) == (2, True), not_yet.stderr
    for _ in range(2):
        assert site.sprint("fleet", "init").returncode == 0
    done = site.sprint("fleet", "run", REPO)
    assert "a tick is put in" in done.stdout
    worker = site.start("fleet", "worker", "--jobs", "1")
    assert wait_until(lambda: bool(site.runs()))
    said = ended(worker)
    assert said == ""
    assert [row["outcome"] for row in site.rows()] == ["pr_opened"], "what was under way came to its end"
    assert query(database, "SELECT status FROM procrastinate_jobs WHERE status = 'doing'") == []
    for path in site.path.rglob("*"):
        if path.is_file() and path.name != "database.url":
            assert PASSWORD.encode() not in path.read_bytes(), path


def test_a_hard_night_in_short(workspaces: Path) -> None:
    """`python -m tests.bench fleet` has the long one."""
    said = storm(workspaces / "storm", repos=3, hosts=2, hits=("worker", "database", "worker"))
    assert "3 pull requests of 3 branches for 3 issues" in said
