"""Kimi Code: `kimi -p`, JSON lines on stdout, chat completions to the model. Needs Node.js 22.19.

It takes its prompt as an argument and in no other way. Its exit code is 0 also after a cut stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sprint.config import AgentWorkerConfig
from sprint.gateway.models.dialect import Dialect
from sprint.worker.agents import fields, programs
from sprint.worker.agents.agent_kind import (
    Answered,
    Assignment,
    Called,
    Ended,
    Install,
    Launch,
    Said,
    Seen,
    Session,
)
from sprint.worker.agents.by_lines import closing as closing
from sprint.worker.agents.by_lines import read_text as read_text
from sprint.worker.agents.programs import Program

NAME = "kimi-code"
DIALECT: Dialect = "chat"
TRIED = "2.1.0"
TELLS_STEPS = True
REMARK = ""

_PACKAGE = "@moonshot-ai/kimi-code"
_REMEDY = f"install it with `npm install -g {_PACKAGE}`"
INSTALL = Install("kimi", _PACKAGE, "22.19")


def find(config: AgentWorkerConfig) -> Program:
    program = programs.located(INSTALL.command, config.program, _REMEDY)
    folder, version = programs.npm_package(program, _PACKAGE)
    node, shown = programs.shown(programs.node((22, 19)), f"{programs.INSIDE}/node")
    # What npm put beside it is what it was installed with: its dependencies.
    modules = next((parent for parent in folder.parents if parent.name == "node_modules"), folder)
    inside = f"{programs.INSIDE}/{NAME}/node_modules"
    argv = (node, f"{inside}/{program.relative_to(modules)}")
    return Program(argv, {modules: inside, **shown}, version)


def launch(work: Assignment) -> Launch:
    argv = [*work.program, "-p", work.prompt, "--output-format", "stream-json"]
    if work.session:
        argv += ["--session", work.session]
    env = {
        "KIMI_MODEL_NAME": work.model,
        "KIMI_MODEL_API_KEY": work.key,
        "KIMI_MODEL_BASE_URL": f"{work.base_url}/v1",
        "KIMI_MODEL_PROVIDER_TYPE": "openai",
        "KIMI_LOOP_MAX_ATTEMPTS_PER_STEP": "2",
        "KIMI_LOOP_MAX_STEPS_PER_TURN": str(work.max_turns),
    }
    return Launch(tuple(argv), env)


def read(record: Mapping[str, Any]) -> Iterator[Seen]:
    role = record.get("role")
    if role == "assistant":
        yield Said(fields.text_of(record.get("content")), fields.text_of(record.get("reasoning_content")))
        for call in fields.blocks(record.get("tool_calls")):
            made = fields.mapping(call.get("function")) or call
            given = fields.arguments(made.get("arguments") or "")
            yield Called(str(call.get("id")), str(made.get("name")), given)
    elif role == "tool":
        yield Answered(
            str(record.get("tool_call_id")),
            fields.text_of(record.get("content")),
            bool(record.get("is_error")),
        )
    elif role == "meta" and (session := record.get("session_id")):
        yield Session(str(session))
    elif role == "meta" and "error" in str(record.get("type")):
        yield Ended(fields.text_of(record) or "it failed")
