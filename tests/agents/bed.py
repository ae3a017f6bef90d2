"""One agent in its bed: a repository, an issue, and a model behind the gateway."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from sprint.config import load
from sprint.gateway.models import route as routes
from sprint.run_command import Options, run_command
from tests.agents.model import ScriptedModel
from tests.around import around
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import Reply, call
from tests.site import Site
from tests.widgets import CHECK, FILES, REPO

_SHELLS = {
    "Bash": "command",
    "shell": "command",
    "shell_command": "command",
    "exec_command": "cmd",
    "terminal": "command",
    "bash": "command",
}


def shell(asked: dict[str, Any], command: str) -> Reply:
    """A call of whatever runs commands in the agent that asks."""
    for tool in asked["tools"]:
        name = tool.get("name") or tool.get("function", {}).get("name")
        if name in _SHELLS:
            words: Any = ["bash", "-lc", command] if name == "shell" else command
            more = {"description": "x"} if name.lower() == "bash" else {}
            return call(name, {_SHELLS[name]: words, **more})
    raise AssertionError(f"no tool runs commands: {json.dumps(asked['tools'])[:2000]}")


class Bed:
    """One repository, one issue, one agent, ticks in this process, the model behind the gateway."""

    def __init__(self, kind: str, site: Site, forge: DemoForge) -> None:
        self.kind = kind
        self.site = site
        self.forge = forge

    def use(self, model: ScriptedModel) -> None:
        (self.site.path / "model.key").write_text(model.key)
        self.site.settings["model"]["base_url"] = f"{model.url}/v1"
        self.site.write()

    def limit(self, **limits: float) -> None:
        self.site.settings["defaults"]["limits"].update(limits)
        self.site.write()

    def forget_health(self) -> None:
        """As if so much time had passed that the model is asked again."""
        shutil.rmtree(self.site.path / "results" / "health", ignore_errors=True)

    def counted(self, row: Mapping[str, str]) -> tuple[int, int]:
        return int(row["prompt_tokens"]), int(row["completion_tokens"])

    def metered(self, row: Mapping[str, str]) -> tuple[tuple[int, int], tuple[int, int]]:
        """What the server told of its tokens, and what was guessed where the agent was ended in an answer."""
        path = self.site.path / "results" / "runs" / row["run_id"] / "model.jsonl"
        answers = [json.loads(line) for line in path.read_text().splitlines()]
        sums = [
            tuple(
                sum(one[key] for one in answers if one["estimated"] is guess)
                for key in ("prompt", "completion")
            )
            for guess in (False, True)
        ]
        return sums[0], sums[1]  # type: ignore[return-value]

    def is_all_metered(self, row: Mapping[str, str], model: ScriptedModel) -> bool:
        """Whether each answer that the server sent was counted as it told, or guessed: the last one may have
        been sent when the agent was ended, and not have been read."""
        (prompt, completion), guessed = self.metered(row)
        answers, sent = model.sent.answers, (model.sent.prompt, model.sent.completion)
        last = (sent[0] // answers, sent[1] // answers)  # all are of one size
        without_last = (sent[0] - last[0], sent[1] - last[1])
        return (prompt, completion) in ((sent, without_last) if guessed[0] else (sent,))

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
        config = load(path / "sprint.yaml", around(path))
        return run_command(config, Options(repos=(REPO,)), around(path, self.site.environ))


AGENTS = {
    "claude": "claude",
    "codex": "codex",
    "hermes": "hermes",
    "kimi-code": "kimi",
    "opencode": "opencode",
}


@pytest.fixture(params=AGENTS)
def bed(
    request: pytest.FixtureRequest,
    program: Callable[[str], str],
    gitea: DemoForge,
    workspaces: Path,
    model_server: Callable[..., DemoModel],
    monkeypatch: pytest.MonkeyPatch,
) -> Bed:
    monkeypatch.setattr(routes, "BACKOFF_SECONDS", 0.01)
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
        limits={"minutes": 15},
    )
    return Bed(kind, site, gitea)
