"""The demo's story: its script, played against the repository it is written for."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sprint.demo.project import CHECK
from sprint.demo.scenario import BUG, EPIC, FEATURE, REPO, build, policy, write_config
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import say


@pytest.fixture
def checkout(gitea: DemoForge, tmp_path: Path) -> Path:
    build(gitea)
    subprocess.run(["git", "clone", "-q", gitea.path(REPO), tmp_path / "checkout"], check=True)
    return tmp_path / "checkout"


def run(command: str, cwd: Path) -> str:
    done = subprocess.run(["bash", "-c", command], cwd=cwd, capture_output=True, text=True, timeout=60)
    return f"{done.stdout}{done.stderr}\nexit code: {done.returncode}"


def use(checkout: Path, name: str, arguments: dict[str, Any]) -> str:
    """The tools, in their simplest form."""
    path = checkout / arguments.get("path", "")
    if name == "run_command":
        return run(arguments["command"], checkout)
    if name == "write_file":
        path.write_text(arguments["content"])
    elif name == "edit_file":
        assert path.read_text().count(arguments["old"]) == 1
        path.write_text(path.read_text().replace(arguments["old"], arguments["new"]))
    return path.read_text()


def play(checkout: Path, title: str) -> tuple[list[str], dict[str, Any]]:
    """What each command said, and the arguments of finish."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": f"Please solve this:\n{title}"}]
    said = []
    for number in range(20):
        reply = policy({"messages": messages}, number)
        (made,) = reply.tool_calls
        arguments = json.loads(made.arguments)
        if made.name == "finish":
            return said, arguments
        result = use(checkout, made.name, arguments)
        if made.name == "run_command":
            said.append(result)
        messages += [
            {"role": "assistant", "content": reply.text, "tool_calls": [{"id": str(number)}]},
            {"role": "tool", "tool_call_id": str(number), "content": result},
        ]
    raise AssertionError("the script has no end")


def test_its_tests_pass_at_the_start_and_need_nothing_installed(checkout: Path) -> None:
    said = run(CHECK.replace("python3", "python3 -S -B"), checkout)
    assert "Ran 4 tests" in said
    assert said.endswith("exit code: 0")


def test_the_bug_is_seen_shown_and_solved(checkout: Path) -> None:
    said, end = play(checkout, BUG)
    assert "Take a discount off a line" in said[0]
    assert "Ben Example" in said[0]
    assert "2990 != 2700" in said[1]
    assert said[-1].endswith("exit code: 0")
    assert end["status"] == "implemented"
    assert run("git status --porcelain", checkout).splitlines()[:2] == [
        " M stocktake/prices.py",
        " M tests/test_prices.py",
    ]


def test_the_feature_is_built_with_its_test(checkout: Path) -> None:
    said, end = play(checkout, FEATURE)
    assert "Ran 6 tests" in said[-1]
    assert end["status"] == "implemented"


def test_the_script_does_not_claim_what_the_tests_deny(checkout: Path) -> None:
    (checkout / "tests/test_broken.py").write_text("raise SystemError\n")
    assert play(checkout, BUG)[1]["status"] == "question"
    assert play(checkout, "Something else")[1]["status"] == "question"


def test_the_epic_is_the_oldest(forge_server: DemoForge) -> None:
    build(forge_server)
    oldest_first = sorted(forge_server.issues(REPO), key=lambda issue: issue.created_at)
    assert [issue.title for issue in oldest_first] == [EPIC, BUG, FEATURE]
    assert oldest_first[0].labels == ["epic"]


def test_the_configuration_holds_no_secret(
    gitea: DemoForge, model_server: Callable[..., DemoModel], tmp_path: Path
) -> None:
    model = model_server([say("hi")])
    path = write_config(tmp_path, gitea, model, tmp_path / "workspaces")
    text = path.read_text()
    assert gitea.token not in text
    assert model.key not in text
    document = yaml.safe_load(text)
    assert (document["repos"], document["paths"]["workspaces"]) == ([REPO], str(tmp_path / "workspaces"))
    for name, secret in (("forge.token", gitea.token), ("model.key", model.key)):
        assert (path.parent / name).read_text().strip() == secret
        assert (path.parent / name).stat().st_mode & 0o777 == 0o600
