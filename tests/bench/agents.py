"""What each agent costs before it does anything: to say its version, and one turn that says a word.

Not in the sandbox: what is measured is the agent. Agents are taken from .venv/agents, else from the PATH.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from sprint.config import AgentWorkerConfig
from sprint.config.schema import WORKER_KINDS
from sprint.errors import SprintError
from sprint.worker.agents.agent_kind import AgentKind, Assignment
from sprint.worker.agents.catalogue import AGENTS
from sprint.worker.agents.programs import Program
from tests.agents.conftest import INSTALLED, PLACES
from tests.agents.model import ScriptedModel
from tests.bench import measure
from tests.servers.replies import say

TIMES = 3
_NOWHERE = "http://127.0.0.1:9"


def bench(scratch: Path) -> Iterator[str]:
    for name, config in WORKER_KINDS.items():
        if not issubclass(config, AgentWorkerConfig):
            continue
        kind = AGENTS[config]
        own = INSTALLED / PLACES.get(kind.NAME, kind.NAME)
        try:
            found = kind.find(config(program=str(own) if own.exists() else shutil.which(kind.NAME) or ""))
        except SprintError as error:
            yield f"{name}: not here ({error})"
            continue
        yield from _costs(name, kind, found, scratch / name)


def _costs(name: str, kind: AgentKind, program: Program, scratch: Path) -> Iterator[str]:
    argv = tuple(_outside(word, program) for word in program.argv)
    env = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(scratch / "home"),
        "HTTPS_PROXY": _NOWHERE,
        "NO_PROXY": "127.0.0.1",
    }
    (scratch / "home").mkdir(parents=True)
    versions = [
        measure.command([*argv, "--version"], cwd=scratch, env=env, is_quiet=True) for _ in range(TIMES)
    ]
    yield f"{name} {program.version}, its version: {measure.median(versions)}"
    with ScriptedModel(lambda asked, number: say("done")) as model:
        work = Assignment(
            program=argv,
            prompt="Say done.",
            base_url=model.url,
            key=model.key,
            model=model.name,
            home=env["HOME"],
            max_turns=2,
        )
        launch = kind.launch(work)
        for path, text in launch.files.items():
            target = scratch / "home" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        given = scratch / "prompt"
        given.write_text(launch.stdin)
        turns = [
            measure.command(launch.argv, cwd=scratch, env={**env, **launch.env}, stdin=given)
            for _ in range(TIMES)
        ]
        assert model.sent.answers >= TIMES, "it asked no model"
    yield f"{name} {program.version}, one turn: {measure.median(turns)}"


def _outside(word: str, program: Program) -> str:
    """A path inside the sandbox as it is on this machine."""
    for path, inside in program.read_only.items():
        if word == inside or word.startswith(f"{inside}/"):
            return str(path) + word[len(inside) :]
    return word
