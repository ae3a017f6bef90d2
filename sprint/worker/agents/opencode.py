"""OpenCode: `opencode run --format json`, JSON lines on stdout, chat completions to the model. Deprecated.

It takes its prompt as an argument and in no other way. After a cut stream it asks again without end: only the
detector and the limits stop it. It enforces no limit of turns.
"""

from __future__ import annotations

import json
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

NAME = "opencode"
DIALECT: Dialect = "chat"
TRIED = "1.18.33"
TELLS_STEPS = True
REMARK = "deprecated; prefer another agent"

_PACKAGE = "opencode"
_REMEDY = "install it with `npm install -g opencode-ai`"
INSTALL = Install("opencode", "opencode-ai", "18")
_EDITS = frozenset({"edit", "write", "patch"})


def find(config: AgentWorkerConfig) -> Program:
    program = programs.located(NAME, config.program, _REMEDY)
    binary = programs.binary_of_npm(program, "opencode-ai", NAME) if program.suffix else program
    return programs.native(binary, NAME, programs.version_near(binary, _PACKAGE))


def launch(work: Assignment) -> Launch:
    options = {"baseURL": f"{work.base_url}/v1", "apiKey": work.key, "timeout": 600_000}
    settings = {
        "provider": {
            "sprint": {
                "npm": "@ai-sdk/openai-compatible",
                "options": options,
                "models": {work.model: {"name": work.model}},
            }
        },
        "model": f"sprint/{work.model}",
        "small_model": f"sprint/{work.model}",
        "autoupdate": False,
        "share": "disabled",
    }
    argv = [*work.program, "run", "--format", "json", "--auto"]
    if work.session:
        argv += ["--session", work.session]
    files = {".config/opencode/opencode.json": json.dumps(settings)}
    return Launch((*argv, work.prompt), {"OPENCODE_DISABLE_MODELS_FETCH": "1"}, files=files)


def read(record: Mapping[str, Any]) -> Iterator[Seen]:
    part = fields.mapping(record.get("part"))
    if session := record.get("sessionID"):
        yield Session(str(session))
    turn = str(part.get("messageID") or "")
    match record.get("type"):
        case "text":
            yield Said(fields.text_of(part.get("text")), turn=turn)
        case "tool_use":
            yield Said(turn=turn)
            yield from _tool(part)
        case "step_finish" if part.get("reason") == "stop":
            yield Ended()
        case "error":
            yield Ended(fields.text_of(record.get("error")) or "it failed")


def _tool(part: Mapping[str, Any]) -> Iterator[Seen]:
    state = fields.mapping(part.get("state"))
    name, given = str(part.get("tool")), fields.mapping(state.get("input"))
    call = str(part.get("callID") or part.get("id"))
    path = fields.text_of(given.get("filePath")) if name in _EDITS else ""
    yield Called(call, name, fields.arguments(state.get("input")), path)
    code = fields.whole(fields.mapping(state.get("metadata")).get("exit"))
    text = fields.text_of(state.get("output")) or fields.text_of(state.get("error"))
    yield Answered(call, text, state.get("status") == "error" or bool(code), code)
