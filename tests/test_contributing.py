"""CONTRIBUTING's recipes, carried out as they stand there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sprint import forge
from sprint.config import ForgeConfig, load, schema
from sprint.credentials import forge_token
from sprint.domain import Secret
from sprint.outcomes import FACTS, Outcome
from sprint.run_command import Options, run_command
from sprint.worker import kinds
from sprint.worker.local import toolbox, tools
from tests.around import around
from tests.servers import replies
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.site import Site
from tests.widgets import FILES, REPO
from tests.worker.conftest import bench

__all__ = ["bench"]
TEXT = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text()
RECIPES = dict(re.findall(r"```python ([\w-]+)\n(.*?)```", TEXT, re.DOTALL))


def follow(name: str, into: dict[str, Any]) -> None:
    exec(compile(RECIPES[name], f"CONTRIBUTING.md: {name}", "exec", dont_inherit=True), into)


def test_a_worker(
    gitea: DemoForge,
    workspaces: Path,
    model_server: Callable[..., DemoModel],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schema, "WORKER_KINDS", known := dict(schema.WORKER_KINDS))
    monkeypatch.setattr("sprint.config.sections.WORKER_KINDS", known)
    monkeypatch.setattr(kinds, "KINDS", makers := dict(kinds.KINDS))
    place: dict[str, Any] = {**vars(schema), **vars(kinds), "WORKER_KINDS": known, "KINDS": makers}
    for name in ("worker", "worker-config", "worker-kind"):
        follow(name, place)
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "A word is missing", "Please.")
    site = Site(
        workspaces / "site",
        gitea,
        model_server([]),
        workers={"w": {"kind": "worded", "word": "hello"}},
        repos=[{"name": REPO, "worker": "w", "checks": []}],
    )
    config = load(site.path / "sprint.yaml", around(site.path))
    assert run_command(config, Options(repos=(REPO,)), around(site.path, site.environ)) == 0
    assert [(row["outcome"], row["worker"]) for row in site.rows()] == [("pr_opened", "w")]
    assert gitea.file(REPO, "feat/issue-1", "word.txt") == "hello\n"


def test_a_forge(gitea: DemoForge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forge, "KINDS", known := dict(forge.KINDS))
    follow("forge", {**vars(forge), "KINDS": known})
    gitea.add_repo(REPO, FILES)
    blocked, other = (gitea.add_issue(REPO, f"Issue {n}") for n in range(2))
    gitea.add_dependency(REPO, blocked, other)
    config = ForgeConfig(kind="woodpile", url=gitea.url)  # type: ignore[arg-type]
    made = forge.connect(config, Secret(gitea.token))
    assert made.kind == "woodpile"
    assert [issue.number for issue in made.oldest_issues(REPO)] == [blocked, other]
    assert made.open_blockers(REPO, made.issue(REPO, blocked)) == []
    assert made.rights(REPO).can_push
    assert forge_token("x", config, around(tmp_path, {"GITEA_TOKEN": "not its own"})) is None


def test_a_tool(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "TOOLS", offered := dict(tools.TOOLS))
    monkeypatch.setattr(toolbox, "_ACTIONS", actions := dict(toolbox._ACTIONS))
    place = {**vars(tools), **vars(toolbox), "TOOLS": offered, "_ACTIONS": actions}
    for name in ("tool", "tool-action"):
        follow(name, place)
    bench.file("a.txt").write_text("1\n2\n3\n")
    script = [replies.call("count_lines", {"path": "a.txt"}), replies.call("count_lines", {"path": "b.txt"})]
    bench.run([*script, replies.finish("question", question="?")])
    assert [event["text"] for event in bench.events("tool")][:2] == ["3", "There is no file 'b.txt'."]
    names = [tool["function"]["name"] for tool in bench.server.asked[0].body["tools"]]
    assert "count_lines" in names


def test_every_outcome_has_its_row() -> None:
    assert list(FACTS) == list(Outcome)
