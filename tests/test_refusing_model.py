"""Ticks while the model refuses: no claim, no attempt, exit 5, and nothing that costs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sprint import health
from sprint.errors import ModelTrouble
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import Reply, call, finish, no_quota
from tests.site import Site

REPO = "acme/widgets"
# What a tick imports, and how it ends.
TICK = (
    "import sys\nfrom sprint.cli import main\n"
    "code = main(['run', 'acme/widgets'])\n"
    "print(code, *{'openai', 'jinja2', 'detect_secrets'} & set(sys.modules))"
)


@pytest.fixture
def site(gitea: DemoForge, model_server: Callable[..., DemoModel], workspaces: Path) -> Site:
    gitea.add_repo(REPO, {"README.md": "widgets\n"})
    gitea.add_issue(REPO, "It breaks", "Mend it.")
    return Site(
        workspaces / "site", gitea, model_server(lambda asked, n: no_quota(), is_fit=False), repos=[REPO]
    )


def test_ticks_while_the_model_refuses_ask_it_once_and_claim_nothing(site: Site, gitea: DemoForge) -> None:
    first = site.sprint("run", REPO)
    assert first.returncode == 5
    assert "out of quota" in first.stderr
    assert len(first.stderr.splitlines()) == 1
    asked = len(site.model.requests)
    assert site.python(TICK).splitlines()[-1] == "5"
    assert [site.sprint("run", REPO).returncode for _ in range(2)] == [5, 5]
    assert len(site.model.requests) == asked == 1
    assert site.rows() == []
    assert site.runs() == []
    assert gitea.comments(REPO, 1) == []
    (known,) = health.read(site.path / "results").models
    assert (known.name, known.kind) == ("scripted", ModelTrouble.QUOTA)


def test_the_model_is_not_asked_where_there_is_nothing_to_claim(site: Site, gitea: DemoForge) -> None:
    gitea.close_issue(REPO, 1)
    done = site.sprint("run", REPO)
    assert done.returncode == 0, done.stderr
    assert site.model.requests == []


def test_who_asks_by_hand_is_not_told_what_was_so_before_it_was_mended(site: Site) -> None:
    assert site.sprint("run", REPO).returncode == 5
    assert site.sprint("run", f"{REPO}#1").returncode == 5
    (known,) = health.read(site.path / "results").models
    assert (known.refusals, len(site.model.requests)) == (1, 2), "it is asked, and no refusal is counted"
    site.model.script = well
    assert site.sprint("run", f"{REPO}#1").returncode == 0
    (row,) = site.rows()
    assert (row["outcome"], row["attempt"]) == ("needs_human", "1")


def well(asked: dict[str, Any], number: int) -> Reply:
    if wanted := re.search(r"number (\d+) with the tool report_number", str(asked["messages"])):
        return call("report_number", {"number": int(wanted[1])})
    return finish("question", "?", question="Which?")


def test_once_it_works_again_the_issue_is_worked_on_as_if_nothing_had_been(
    site: Site, gitea: DemoForge
) -> None:
    assert site.sprint("run", REPO).returncode == 5
    site.model.script = well
    assert site.sprint("run", REPO).returncode == 5, "it is remembered"
    for file in (site.path / "results" / "health").glob("model-*.json"):
        file.write_text(json.dumps({**json.loads(file.read_text()), "until": "2026-01-01T00:00:00Z"}))
    assert site.sprint("run", REPO).returncode == 0
    (row,) = site.rows()
    assert (row["outcome"], row["attempt"]) == ("needs_human", "1")
