"""Codex: `codex exec --json`, the prompt on stdin, JSON lines on stdout, OpenAI's Responses to the model.

Its own sandbox cannot start inside ours, so it is switched off. It knows no limit of turns.
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
    Remarked,
    Said,
    Seen,
    Session,
)
from sprint.worker.agents.by_lines import closing as closing
from sprint.worker.agents.by_lines import read_text as read_text
from sprint.worker.agents.programs import Program

NAME = "codex"
DIALECT: Dialect = "responses"
TRIED = "0.171.0"
TELLS_STEPS = True
REMARK = ""

_PACKAGE = "@openai/codex"
_REMEDY = f"install it with `npm install -g {_PACKAGE}`"
INSTALL = Install("codex", _PACKAGE, "18")
_CALLS = frozenset({"command_execution", "file_change", "mcp_tool_call", "web_search"})


def find(config: AgentWorkerConfig) -> Program:
    program = programs.located(NAME, config.program, _REMEDY)
    binary = programs.binary_of_npm(program, _PACKAGE, NAME) if program.suffix == ".js" else program
    return programs.native(binary, NAME, programs.version_near(binary, _PACKAGE))


def launch(work: Assignment) -> Launch:
    provider = "model_providers.sprint"
    settings = {
        "model_provider": "sprint",
        f"{provider}.name": "sprint",
        f"{provider}.base_url": f"{work.base_url}/v1",
        f"{provider}.env_key": "SPRINT_GATEWAY_KEY",
        f"{provider}.wire_api": "responses",
    }
    argv = [*work.program, "exec"]
    if work.session:
        argv += ["resume", work.session]
    argv += ["--json", "--dangerously-bypass-approvals-and-sandbox", "--ignore-user-config"]
    argv += ["--skip-git-repo-check", "-m", work.model]
    for key, value in settings.items():
        argv += ["-c", f'{key}="{value}"']
    argv += ["-c", f"{provider}.request_max_retries=2", "-c", f"{provider}.stream_max_retries=2"]
    # Where it cannot send its figures, it would try for 5 s before it ends.
    argv += ["-c", "check_for_update_on_startup=false", "-c", "analytics.enabled=false"]
    argv += ["-c", 'web_search="disabled"', "-"]
    return Launch(tuple(argv), {"SPRINT_GATEWAY_KEY": work.key}, stdin=work.prompt)


def read(record: Mapping[str, Any]) -> Iterator[Seen]:
    kind = str(record.get("type"))
    item = fields.mapping(record.get("item"))
    if kind == "thread.started":
        yield Session(str(record.get("thread_id") or ""))
    elif kind == "item.started" and item.get("type") in _CALLS:
        yield _called(item)
    elif kind == "item.completed":
        yield from _completed(item)
    elif kind == "turn.completed":
        yield Ended()
    elif kind == "turn.failed":
        yield Ended(fields.text_of(record.get("error")) or "the turn failed")
    elif kind == "error":
        yield Remarked(fields.text_of(record.get("message")))


def _called(item: Mapping[str, Any]) -> Called:
    kind = str(item.get("type"))
    if kind == "command_execution":
        return Called(str(item.get("id")), "shell", fields.text_of(item.get("command")))
    if kind == "file_change":
        changes = fields.arguments(item.get("changes"))
        paths = [fields.text_of(change.get("path")) for change in fields.blocks(item.get("changes"))]
        return Called(str(item.get("id")), "apply_patch", changes, paths[0] if paths else "")
    given = item.get("arguments") or item.get("query") or ""
    return Called(str(item.get("id")), str(item.get("tool") or kind), fields.arguments(given))


def _completed(item: Mapping[str, Any]) -> Iterator[Seen]:
    match item.get("type"):
        case "agent_message":
            yield Said(fields.text_of(item.get("text")))
        case "reasoning":
            yield Said(reasoning=fields.text_of(item.get("text")))
        case "error":
            yield Remarked(fields.text_of(item.get("message")))
        case kind if kind in _CALLS:
            yield _called(item)
            yield _answered(item)


def _answered(item: Mapping[str, Any]) -> Answered:
    text = fields.text_of(item.get("aggregated_output")) or fields.text_of(item.get("result"))
    code = fields.whole(item.get("exit_code"))
    failed = str(item.get("status")) in ("failed", "declined") or bool(code)
    return Answered(str(item.get("id")), text, failed, code)
