"""One ledger and one ceiling over hosts: real ticks, a real PostgreSQL."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fleet.postgres import query
from tests.fleet.sites import fixing, host
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.widgets import FILES

pytestmark = pytest.mark.machine


def test_two_hosts_have_one_report_and_one_ceiling(
    gitea: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel], database: str
) -> None:
    repos = ["acme/one", "acme/two", "acme/three"]
    for name in repos:
        gitea.add_repo(name, FILES)
        gitea.add_issue(name, "double() is off by one", "double(2) must be 4.")
    model = model_server(fixing)
    limits = {"usd": 1.0, "usd_per_day": 1.5}
    sites = [host(workspaces / name, gitea, model, database, repos, limits=limits) for name in ("a", "b")]
    assert sites[0].sprint("fleet", "init").returncode == 0
    for site, name in zip(sites, repos, strict=False):
        done = site.sprint("run", name)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
    found = query(database, "SELECT run_id, host_id, cost_usd FROM sprint_rows ORDER BY position")
    rows = [row for site in sites for row in site.rows()]
    assert [(run, f"{usd:.6f}") for run, _, usd in found] == [(r["run_id"], r["cost_usd"]) for r in rows]
    assert len({own for _, own, _ in found}) == 2
    assert query(database, "SELECT * FROM sprint_reservations") == [], "what was left is given back"
    (spent,) = query(database, "SELECT sum(usd) FROM sprint_spend")[0]
    assert spent >= sum(float(row["cost_usd"]) for row in rows) > 0

    report = json.loads(sites[1].sprint("monitor", "--json").stdout)
    assert report["ledger"]["rows"] == 2
    assert len(report["hosts"]) == 2
    assert report["spend"]["today_usd"] == pytest.approx(float(spent))
    assert {repo["repo"] for repo in report["repos"] if repo["ticked_at"]} == set(repos[:2])
    text = sites[0].sprint("monitor", "--prometheus", str(sites[0].path / "m.prom"))
    assert re.search(r"^HOSTS: \S+ \S+ \(.* ago\), \S+ \S+ \(.* ago\)$", text.stdout, re.MULTILINE), (
        text.stdout
    )
    assert (sites[0].path / "m.prom").read_text().count("sprint_host_seen_timestamp_seconds{") == 2

    # A run under way elsewhere keeps a dollar: there is no room for another one.
    query(
        database, "INSERT INTO sprint_reservations VALUES ('other', 'x', 1, '', now() + '1 hour') RETURNING 1"
    )
    refused = sites[0].sprint("run", repos[2])
    assert "ceiling is reached on all hosts" in refused.stdout, refused.stdout
    assert len(gitea.pulls(repos[2])) == 0
