"""The one issue that says what is done in a repository."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sprint import dashboard, prompts
from sprint.config import load, resolve
from sprint.context import Context, open_context
from sprint.domain import Claim, PassedOver
from sprint.tick_report import TickReport
from tests.around import around
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import call, finish
from tests.site import Site

REPO = "acme/widgets"
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
FIX = [call("write_file", {"path": "README", "content": "two\n"}), finish("implemented", "Says two.")]

MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(forge_server: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel]) -> MakeSite:
    forge_server.add_repo(REPO, {"README": "one\n"})

    def make(name: str, script: list[object]) -> Site:
        repo = {"name": REPO, "dashboard": True, "checks": ["grep . README"]}
        return Site(workspaces / name, forge_server, model_server(script), repos=[repo])

    return make


def context_of(site: Site) -> Context:
    here = around(site.path, site.environ, cwd=site.path)
    config = load(site.path / "sprint.yaml", here)
    return open_context(config, resolve(config, REPO), here)


def boards(forge: DemoForge) -> list[tuple[int, str]]:
    issues = forge.store.repos[REPO].issues.values()
    return [(issue.number, issue.body) for issue in issues if issue.title == prompts.DASHBOARD_TITLE]


def test_a_tick_keeps_one_issue_that_none_picks(forge_server: DemoForge, make_site: MakeSite) -> None:
    forge_server.add_issue(REPO, "Epic | [link](//evil) @bob", "All of it.", labels=["epic"])
    bug = forge_server.add_issue(REPO, "Say two", "It must say two.")
    site, other = make_site("site", FIX), make_site("other", [])
    assert site.sprint("run", REPO).returncode == 0
    ((number, body),) = boards(forge_server)
    assert prompts.is_dashboard(body)
    (pull,) = forge_server.pulls(REPO)
    assert f"## Waiting for people\n\n- #{pull.number}\n" in body
    assert "- `#1` Epic \\| \\[link\\](//evil) @ bob: labelled epic\n" in body
    assert "1 run ended, 1 passed, for $0.00, by the ledger" in body
    before = len(forge_server.requests)
    again = site.sprint("run", REPO)
    assert "none of the 3 open issues is fit" in again.stdout
    assert f"/issues/{number}" not in " ".join(seen.path for seen in forge_server.requests[before:])
    assert other.sprint("run", REPO).returncode == 0, "within the hour another host writes none either"
    assert boards(forge_server) == [(number, body)]
    assert "out of" not in body
    assert str(bug) in json.dumps(site.rows())


def test_it_is_written_anew_each_hour_until_a_person_closes_it(
    forge_server: DemoForge, make_site: MakeSite
) -> None:
    context = context_of(make_site("site", []))
    said = 'no run begins: no answer (connection to server at "10.1.2.3", port 5432 failed)'
    report = TickReport(REPO, idle=said)
    later = [NOW + timedelta(minutes=61 * hour) for hour in range(5)]
    dashboard.keep(context, report, NOW)
    ((number, first),) = boards(forge_server)
    assert "Nothing: no run begins." in first
    assert "10.1.2.3" not in first
    dashboard.keep(context, report, NOW + timedelta(minutes=59))
    assert boards(forge_server) == [(number, first)]
    dashboard.keep(context, report, later[1])
    ((_, second),) = boards(forge_server)
    assert second == first.replace("12:00", "13:01")
    issue = forge_server.store.repos[REPO].issues[number]
    issue.state = "closed"
    dashboard.keep(context, report, later[2])
    assert boards(forge_server) == [(number, second)]
    issue.state = "open"
    dashboard.keep(context, report, later[3])
    assert "15:03" in boards(forge_server)[0][1]
    issue.body = f"Mine now.\n{issue.body}"
    dashboard.keep(context, report, later[4])
    assert len(boards(forge_server)) == 1
    assert boards(forge_server)[0][1].startswith("Mine now.")


def test_one_that_could_not_be_noted_is_found_again(
    forge_server: DemoForge, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_of(make_site("site", []))
    moved = dashboard._move

    def dies(*arguments: object) -> None:
        monkeypatch.setattr(dashboard, "_move", moved)
        raise KeyboardInterrupt

    def once(*arguments: object) -> str | None:
        monkeypatch.setattr(dashboard, "_move", dies)
        return moved(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(dashboard, "_move", once)
    with pytest.raises(KeyboardInterrupt):
        dashboard.keep(context, TickReport(REPO), NOW)
    assert len(boards(forge_server)) == 1
    dashboard.keep(context, TickReport(REPO), NOW + timedelta(hours=2))
    assert len(boards(forge_server)) == 1
    assert "14:00" in boards(forge_server)[0][1]


def test_a_strangers_issue_with_our_mark_is_an_issue(forge_server: DemoForge, make_site: MakeSite) -> None:
    body = f"{prompts.DASHBOARD_MARKER}\nSay two."
    forge_server.add_issue(REPO, prompts.DASHBOARD_TITLE, body, author="mallory")
    site = make_site("site", FIX)
    seen = site.sprint("run", REPO, "--dry-run").stdout
    assert "our own dashboard" not in seen


def test_a_forge_that_refuses_costs_the_tick_nothing(
    forge_server: DemoForge, make_site: MakeSite, caplog: pytest.LogCaptureFixture
) -> None:
    context = context_of(make_site("site", []))
    forge_server.store.repos[REPO].has_issues = False
    dashboard.keep(context, TickReport(REPO), NOW)
    assert "the dashboard of acme/widgets is not written" in caplog.text
    caplog.clear()
    dashboard.keep(context, TickReport(REPO), NOW + timedelta(minutes=5))
    assert caplog.text == ""


def test_what_runs_and_who_is_asked_is_in_it() -> None:
    claim = Claim(7, "claimed", "run-7", "host", 2, NOW, paused=True, purpose="follow_up")
    text = prompts.dashboard(
        prompts.DashboardFacts(
            at=NOW,
            running=[claim],
            pulls=[(9, "waits for a review by @bob")],
            asking=[3],
            passed_over=[PassedOver(4, "x", "blocked by #2")],
            more=12,
            usd=1.5,
            unpriced=2,
            address="https://sprint.example.org",
        )
    )
    assert "- #7: attempt 2, a follow-up, resting, run `run-7` ([what it does](https://sprint" in text
    assert "- #9: waits for a review by @ bob\n- #3: a question has to be answered there first\n" in text
    assert "- `#4` x: blocked by # 2\n- and 12 more\n" in text
    assert "for $1.50; the price of 2 is unknown" in text
