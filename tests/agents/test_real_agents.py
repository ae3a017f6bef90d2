"""The real programs, each through a whole tick to a pull request, and through what a model does wrong."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sprint.config import load
from sprint.run_command import Options, run_command
from sprint.worker.agents import way
from tests.agents.model import ScriptedModel
from tests.agents.standin import HostRoute
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import Reply, call, say
from tests.site import Site
from tests.test_tick import CHECK, FILES, REPO

FIX = "sed -i 's/n + n + 1/n + n/' widgets.py && echo Fixed it. >../tmp/handover/summary.md"
AGENTS = {"claude": "claude", "codex": "codex", "hermes": "hermes", "opencode": "opencode"}
_SHELLS = {
    "Bash": "command",
    "shell": "command",
    "shell_command": "command",
    "exec_command": "cmd",
    "terminal": "command",
    "bash": "command",
}

WELL_KNOWN = pytest.mark.parametrize("bed", ["claude", "codex"], indirect=True)


def shell(asked: dict[str, Any], command: str) -> Reply:
    """A call of whatever runs commands in the agent that asks."""
    for tool in asked["tools"]:
        name = tool.get("name") or tool.get("function", {}).get("name")
        if name in _SHELLS:
            words: Any = ["bash", "-lc", command] if name == "shell" else command
            more = {"description": "x"} if name.lower() == "bash" else {}
            return call(name, {_SHELLS[name]: words, **more})
    raise AssertionError(f"no tool runs commands: {json.dumps(asked['tools'])[:2000]}")


def fixing(asked: dict[str, Any], number: int) -> Reply:
    """A look, a command that fails, the fix, and last words."""
    commands = ("cat widgets.py", "python3 -c 'import widgets; assert widgets.double(2) == 4'", FIX)
    return shell(asked, commands[number]) if number < len(commands) else say("Fixed the doubling.")


class Bed:
    """One repository, one issue, one agent, ticks in this process."""

    def __init__(self, kind: str, site: Site, forge: DemoForge, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kind = kind
        self.site = site
        self.forge = forge
        self._patch = monkeypatch

    def use(self, model: ScriptedModel) -> HostRoute:
        route = HostRoute(model)
        self._patch.setattr(way, "route", lambda endpoints: route)
        return route

    def limit(self, **limits: float) -> None:
        self.site.settings["defaults"]["limits"].update(limits)
        self.site.write()

    def left_over(self, uid: int | None) -> str:
        """The processes of the agent's user that are still there; a runner that is not root has no such."""
        if uid is None:
            return ""
        listed = subprocess.run(
            ["ps", "-o", "stat=,args=", "-u", str(uid)], capture_output=True, text=True
        ).stdout.splitlines()
        return "\n".join(line for line in listed if not line.startswith("Z"))

    def tick(self) -> int:
        path = self.site.path
        config = load(path / "sprint.yaml", environ={}, cwd=path, home=path)
        return run_command(config, Options(repos=(REPO,)), self.site.environ, path)


@pytest.fixture(params=AGENTS)
def bed(
    request: pytest.FixtureRequest,
    program: Callable[[str], str],
    gitea: DemoForge,
    workspaces: Path,
    model_server: Callable[..., DemoModel],
    monkeypatch: pytest.MonkeyPatch,
) -> Bed:
    kind = request.param
    found = program(AGENTS[kind])
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    site = Site(
        workspaces / "site",
        gitea,
        model_server([]),
        workers={"careful": {"kind": kind, "program": found}},
        repos=[{"name": REPO, "checks": [CHECK], "worker": "careful"}],
        limits={"minutes": 4},
    )
    return Bed(kind, site, gitea, monkeypatch)


def test_a_whole_tick_to_a_pull_request(bed: Bed, serve: Callable[..., ScriptedModel]) -> None:
    model = serve(fixing)
    bed.use(model)
    assert bed.tick() == 0
    (row,) = bed.site.rows()
    assert (row["outcome"], row["worker"], row["model"]) == ("pr_opened", "careful", "scripted"), row
    assert row["worker_version"]
    assert (int(row["prompt_tokens"]), int(row["completion_tokens"])) == (
        model.sent.prompt,
        model.sent.completion,
    )
    assert "Fixed it." in bed.forge.pulls(REPO)[0].body
    if folder := os.environ.get("RECORD_STREAMS"):  # for test_streams.py
        log = bed.site.path / "results" / "runs" / row["run_id"] / "agent.log"
        shutil.copyfile(log, Path(folder) / f"{bed.kind}-{row['worker_version']}.log")


ERROR = json.dumps({"error": {"type": "server_error", "message": "not now"}})
FAULTS = {
    "401": Reply(status=401, body=ERROR),
    "429": Reply(status=429, body=ERROR),
    "500": Reply(status=500, body=ERROR),
    "garbage": Reply(status=200, body="<html>Welcome to the captive portal</html>"),
    "no headers": Reply(hang=60),
    "a cut stream": say("I will now look at all of it. " * 20, keep=4),
    "silence": say("I will now look at all of it. " * 20, keep=4, then="silence"),
}


@WELL_KNOWN
@pytest.mark.parametrize("what", FAULTS)
def test_a_failing_model_costs_no_attempt(bed: Bed, serve: Callable[..., ScriptedModel], what: str) -> None:
    bed.limit(first_token_seconds=8.0, silence_seconds=4.0)
    replies = {"now": lambda asked, number: FAULTS[what]}
    model = serve(lambda asked, number: replies["now"](asked, number))
    bed.use(model)
    assert bed.tick() == 5
    assert bed.site.rows() == []
    (run,) = bed.site.runs()
    assert run["paused_since"]
    assert bed.left_over(run["uid"]) == ""
    numbers = itertools.count()
    replies["now"] = lambda asked, number: fixing(asked, next(numbers))
    assert bed.tick() == 0
    (row,) = bed.site.rows()
    assert (row["outcome"], row["attempt"]) == ("pr_opened", "1"), row
    assert len(bed.forge.pulls(REPO)) == 1


@WELL_KNOWN
def test_malformed_arguments_are_judged_by_the_repository(
    bed: Bed, serve: Callable[..., ScriptedModel]
) -> None:
    def broken(asked: dict[str, Any], number: int) -> Reply:
        if number > 2:
            return say("It is all done.")
        good = shell(asked, "ls").tool_calls[0]
        return call(good.name, good.arguments[:-4])

    bed.use(serve(broken))
    assert bed.tick() == 0
    (row,) = bed.site.rows()
    assert row["outcome"] == "no_change", row


@WELL_KNOWN
def test_an_endless_loop_is_stopped(bed: Bed, serve: Callable[..., ScriptedModel]) -> None:
    model = serve(lambda asked, number: shell(asked, "ls"))
    bed.use(model)
    bed.limit(turns=25)
    assert bed.tick() == 0
    (row,) = bed.site.rows()
    assert row["outcome"] in ("off_rails", "limit"), row
    assert len(model.asked) < 40
    assert bed.left_over(bed.site.runs()[0]["uid"]) == ""
