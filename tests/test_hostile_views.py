"""Terminal escapes and marks that turn text around, from everybody who can write something, in every view."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers.forge import DemoForge, Fault
from tests.servers.model import DemoModel
from tests.servers.replies import Reply, call, finish
from tests.site import Site

REPO = "acme/widgets"
EVIL = "ev\x1b]0;owned\x07\x1b[2Ji\u202el\u200b\x9b31m\rx"
ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
FILE = "no\x1b[2Jte.txt"


@pytest.fixture
def site(gitea: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel]) -> Site:
    workflow = json.dumps({"name": EVIL, "on": "push"})
    gitea.add_repo(REPO, {"a.py": "one = 1\n", FILE: "x\n", ".gitea/workflows/x.yml": workflow})
    gitea.add_user(EVIL)
    gitea.add_issue(REPO, f"Passed over {EVIL}", EVIL, author=EVIL)
    gitea.add_issue(REPO, f"Taken up {EVIL}", EVIL, comments=[(EVIL, EVIL)], labels=[f"l{EVIL}"])
    return Site(workspaces / "site", gitea, model_server(answers), repos=[{"name": REPO, "checks": [CHECK]}])


SAYS = f"printf %s '{EVIL}'; ls"
CHECK = f"{SAYS}; false"


def answers(request: dict[str, Any], number: int) -> Reply:
    if number == 0:
        return call("run_command", {"command": SAYS}, text=EVIL)
    if number == 1:
        return call("write_file", {"path": f"x{EVIL}.py", "content": f"y = {EVIL!r}\n{EVIL}\n"})
    return finish("question", EVIL, question=f"Which {EVIL}?")


def test_nothing_that_others_wrote_acts_in_any_view(site: Site, gitea: DemoForge) -> None:
    runs = [site.sprint("run", REPO, "--dry-run"), site.sprint("run", REPO)]
    (row,) = site.rows()
    assert row["outcome"] == "needs_human", runs
    body = json.dumps({"message": f"the server says {EVIL}"}).encode()
    gitea.faults.append(Fault(path="/issues", times=None, status=403, body=body))
    refused = site.sprint("run", REPO)
    assert refused.returncode == 3
    views = {
        "dry run": runs[0].stdout + runs[0].stderr,
        "run": runs[1].stdout + runs[1].stderr,
        "error": refused.stdout + refused.stderr,
        "run as JSON": site.sprint("run", REPO, "--json").stdout,
        "verbose": site.sprint("-v", "run", REPO).stderr,
        "show": site.sprint("show", row["run_id"]).stdout,
        "monitor": site.sprint("monitor").stdout,
        "monitor as JSON": site.sprint("monitor", "--json").stdout,
        "doctor": site.sprint("doctor").stdout,
        "log": "".join(path.read_text() for path in (site.path / "results").rglob("run.log")),
    }
    for name, arguments in {"run.html": ("show", row["run_id"]), "all.html": ("monitor",)}.items():
        made = site.sprint(*arguments, "--html", name)
        assert made.returncode in (0, 1), made.stderr
        views[name] = (site.path / name).read_text()
    for name, text in views.items():
        assert (found := ACTS.search(text)) is None, (
            name,
            text[max(found.start() - 60, 0) : found.end() + 20],
        )
        assert "ev" in text, f"the control: {name} shows what was written"
