"""The supervisor with the real programs, as by hand on a machine of its own; the model is scripted."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sprint.domain import Phase
from tests.agents.bed import shell
from tests.agents.model import ScriptedModel
from tests.one_host import Host
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import Reply, say
from tests.site import Site
from tests.sprite.far_work import ticked_to_the_end
from tests.sprite.machine import Machine
from tests.widgets import CHECK, FILES, REPO

CODEX = """
model_provider = "here"
check_for_update_on_startup = false
[model_providers.here]
name = "here"
base_url = "{url}/v1"
env_key = "HERE_KEY"
wire_api = "responses"
"""


@pytest.fixture(params=["claude", "codex"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def machine(tmp_path: Path, kind: str, program: Callable[[str], str]) -> Machine:
    found = Machine(tmp_path)
    found.environ["PATH"] = f"{Path(program(kind)).parent}:{found.environ['PATH']}"
    return found


def started(machine: Machine, kind: str, model: ScriptedModel, *more: str) -> int:
    """By its own flags and a key in a file, as an operator would."""
    (machine.folder / ".codex").mkdir()
    (machine.folder / ".codex/config.toml").write_text(CODEX.format(url=model.url))
    env = {"claude": f"ANTHROPIC_BASE_URL={model.url}\nANTHROPIC_AUTH_TOKEN={model.key}\n"}
    env_file = machine.folder / "agent.env"
    env_file.write_text(env.get(kind, f"HERE_KEY={model.key}\n"))
    env_file.chmod(0o600)
    args = ("--agent", kind, "--yolo", "--model", model.name, "--env-file", str(env_file), "--timeout", "90s")
    return machine.call("start", "--foreground", "--task-file", "-", *args, *more).returncode


def test_a_task_is_done_and_counted(machine: Machine, kind: str, serve: Callable[..., ScriptedModel]) -> None:
    def working(asked: dict[str, Any], number: int) -> Reply:
        return shell(asked, "echo 2 >new.txt") if number == 0 else say("Wrote the file.")

    with serve(working) as model:
        code = started(machine, kind, model)
        state = machine.state
        assert (code, state["outcome"]) == (0, "completed"), machine.call("logs").stdout
        assert (machine.repo / "new.txt").read_text() == "2\n"
        assert (state["agent"], state["has_work"], state["restarts"]) == (kind, True, 0)
        assert "Wrote the file." in state["detail"]
        assert state["stats"]["outputTokens"] > 0
        assert model.key not in (machine.repo / ".bb-agent/agent.log").read_text()


def test_one_that_goes_in_circles_is_ended(
    machine: Machine, kind: str, serve: Callable[..., ScriptedModel]
) -> None:
    asked_for = itertools.count()

    def circling(asked: dict[str, Any], _number: int) -> Reply:
        next(asked_for)
        return shell(asked, "cat nowhere.txt")

    with serve(circling) as model:
        code = started(machine, kind, model)
    assert (code, machine.state["outcome"]) == (4, "off_rails"), machine.state
    assert next(asked_for) < 15
    assert machine.events("agent.restart") == []


def test_ralph_begins_it_again(machine: Machine, kind: str, serve: Callable[..., ScriptedModel]) -> None:
    """Two lives: the second finds the first one's work, and says that all is done."""
    command = "echo x >>rounds.txt; [ $(wc -l <rounds.txt) -lt 2 ] || echo done >TASK_COMPLETE.md"

    def going_on(asked: dict[str, Any], number: int) -> Reply:
        return shell(asked, command) if number % 2 == 0 else say("One more.")

    with serve(going_on) as model:
        code = started(machine, kind, model, "--ralph", "--max-iterations", "5")
    assert (code, machine.state["outcome"], machine.state["iteration"]) == (0, "completed", 2)


@pytest.mark.parametrize("kind", ["claude", "codex", "hermes"])
def test_an_issue_becomes_a_pull_request_from_a_sprite(
    kind: str,
    program: Callable[[str], str],
    serve: Callable[..., ScriptedModel],
    gitea: DemoForge,
    workspaces: Path,
    model_server: Callable[..., DemoModel],
) -> None:
    """By whole ticks, on a sprite of this machine: the key is the gateway's, and each token is counted."""

    def working(asked: dict[str, Any], number: int) -> Reply:
        return shell(asked, "sed -i 's/n + n + 1/n + n/' widgets.py") if number == 0 else say("It adds once.")

    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    site = Site(
        *(workspaces / "one", gitea, model_server([])),
        backends={"here": {"kind": "local", "path": str(workspaces / "sprites")}},
        workers={"far": {"kind": "sprite", "agent": kind, "program": program(kind)}},
        repos=[{"name": REPO, "checks": [CHECK], "worker": "far"}],
    )
    host = Host(site)
    with serve(working) as model:
        (site.path / "model.key").write_text(model.key)
        site.settings["model"]["base_url"] = f"{model.url}/v1"
        site.write()
        ticked_to_the_end(host)
        assert host.run().phase is Phase.SETTLED
        (row,) = site.rows()
        assert (row["outcome"], row["proof"]) == ("pr_opened", "proven"), row
        assert int(row["prompt_tokens"]) == model.sent.prompt + model.sent.cached
        found = subprocess.run(
            ["grep", "-rl", model.key, workspaces / "sprites"], capture_output=True, text=True
        )
        assert found.stdout == ""
    assert "It adds once." in gitea.pulls(REPO)[0].body
