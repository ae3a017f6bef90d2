"""What doctor says of agents, with a script in an agent's place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sprint import sandbox
from sprint.config import ClaudeWorkerConfig, HermesWorkerConfig, SandboxConfig
from sprint.domain import Finding, Grade, Secret
from sprint.errors import ModelError
from sprint.worker.agents.examine import examine
from tests.agents.hermes_agent_server import Act, HermesAgentServer
from tests.agents.model import ScriptedModel
from tests.agents.standin import HostRoute

RESULT = json.dumps({"type": "result", "subtype": "success", "is_error": False, "result": "done"})
SAID = json.dumps(
    {"type": "assistant", "message": {"id": "1", "content": [{"type": "text", "text": "done"}]}}
)


@pytest.fixture
def route(serve: Callable[..., ScriptedModel]) -> HostRoute:
    return HostRoute(serve(lambda asked, number: None))


def found(config: Any, route: HostRoute, **how: Any) -> list[Finding]:
    return list(examine("careful", config, sandbox.make(SandboxConfig()), route, **how))


def program(folder: Path, does: str) -> ClaudeWorkerConfig:
    path = folder / "claude"
    path.write_text(f"#!/bin/sh\n[ \"$1\" = --version ] && exit 0\n{does}\necho '{SAID}'\necho '{RESULT}'\n")
    path.chmod(0o755)
    return ClaudeWorkerConfig(program=str(path))


def test_what_it_costs_to_start_is_told_in_seconds_and_megabytes(workspaces: Path, route: HostRoute) -> None:
    version, start, billing = found(program(workspaces, "true"), route)
    assert (version.grade, start.grade) == (Grade.WARNING, Grade.OK)
    assert "tried was" in version.says
    told = re.fullmatch(
        r"starts in the sandbox; (\d+\.\d) s of CPU and (\d+) MB to say its version", start.says
    )
    assert told, start.says
    assert int(told[2]) > 0
    assert "billed at the API's rates since June 2026" in billing.says


def test_one_that_does_not_start_is_a_fault_and_is_not_set_to_work(
    workspaces: Path, route: HostRoute
) -> None:
    config = program(workspaces, "true")
    Path(config.program).write_text("#!/bin/sh\necho no such library >&2\nexit 127\n")
    faults = [one.says for one in found(config, route, deep=True) if one.grade is Grade.FAULT]
    assert faults == ["does not start in the sandbox: no such library; install it again"]


def test_deep_has_it_do_one_thing_with_its_model(workspaces: Path, route: HostRoute) -> None:
    fine = found(program(workspaces, "cat >/dev/null; echo sprint-was-here > trial.txt"), route, deep=True)[
        -1
    ]
    assert (fine.grade, fine.what) == (Grade.OK, "worker careful deep")
    assert "did as it was told through the gateway" in fine.says
    idle = found(program(workspaces, "cat >/dev/null"), route, deep=True)[-1]
    assert (idle.grade, idle.says.endswith(": done")) == (Grade.FAULT, True)
    route.away = ModelError("no usable model: it refuses the key")
    away = found(program(workspaces, "true"), route, deep=True)[-1]
    assert (away.grade, away.what) == (Grade.FAULT, "worker careful model")


def test_hermes_own_server_is_told_with_what_is_given_up(route: HostRoute) -> None:
    with HermesAgentServer([Act()]) as server:
        config = HermesWorkerConfig(via="server", outside_sandbox=True, server=server.url)
        up, given_up = found(config, route, server_key=Secret(server.key))
        assert (up.grade, up.says) == (Grade.OK, f"hermes' server 0.19.0 is up at {server.url}")
        assert "what it costs is unknown" in given_up.says
        assert "to stop it is to close the request" in given_up.says
        assert "API_SERVER_KEY" in found(config, route)[0].says
    assert found(config, route, server_key=Secret("x"))[0].grade is Grade.FAULT
    auto = HermesWorkerConfig(outside_sandbox=True, server=server.url)
    down = found(auto, route, server_key=Secret("x"))[0]
    assert (down.grade, down.says.endswith("until then its command line works")) == (Grade.WARNING, True)
    assert not [one for one in found(HermesWorkerConfig(), route) if "server" in one.says]
