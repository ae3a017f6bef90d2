"""Claude Code: `claude -p`, the prompt on stdin, JSON lines on stdout, Anthropic's Messages to the model.

Its exit code is 0 also after a cut stream, and its last event's `subtype` "success" after an API failure:
`is_error` counts, and then the repository.
"""

from __future__ import annotations

import re
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
    Retried,
    Said,
    Seen,
    Session,
)
from sprint.worker.agents.by_lines import closing as closing
from sprint.worker.agents.by_lines import read_text as read_text
from sprint.worker.agents.programs import Program

NAME = "claude"
DIALECT: Dialect = "messages"
TRIED = "2.1.332"
TELLS_STEPS = True
REMARK = "without a terminal, a subscription is billed at the API's rates since June 2026"

_PACKAGE = "@anthropic-ai/claude-code"
_REMEDY = f"install it with `npm install -g {_PACKAGE}`"
INSTALL = Install("claude", _PACKAGE, "18")
_OF_NPM = (".exe", ".cjs", ".js")
_EDITS = frozenset({"Edit", "MultiEdit", "Write", "NotebookEdit"})
_EXIT_CODE = re.compile(r"(?:Error: )?Exit code (\d+)")


def find(config: AgentWorkerConfig) -> Program:
    program = programs.located(NAME, config.program, _REMEDY)
    binary = programs.binary_of_npm(program, _PACKAGE, NAME) if program.suffix in _OF_NPM else program
    return programs.native(binary, NAME, programs.version_near(binary, _PACKAGE))


def launch(work: Assignment) -> Launch:
    argv = [*work.program, "-p", "--output-format", "stream-json", "--verbose"]
    argv += ["--dangerously-skip-permissions", "--strict-mcp-config", "--model", work.model]
    argv += ["--max-turns", str(work.max_turns)]
    if work.session:
        argv += ["--resume", work.session]
    env = {
        "ANTHROPIC_BASE_URL": work.base_url,
        "ANTHROPIC_AUTH_TOKEN": work.key,
        "ANTHROPIC_MODEL": work.model,
        "ANTHROPIC_SMALL_FAST_MODEL": work.model,
        "CLAUDE_CODE_SUBAGENT_MODEL": work.model,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": work.model,
        "ANTHROPIC_DEFAULT_SONNET_MODEL": work.model,
        "ANTHROPIC_DEFAULT_OPUS_MODEL": work.model,
        "IS_SANDBOX": "1",  # it refuses to work as root elsewhere
        "CLAUDE_CODE_MAX_RETRIES": "2",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
    }
    return Launch(tuple(argv), env, stdin=work.prompt)


def read(record: Mapping[str, Any]) -> Iterator[Seen]:
    kind = record.get("type")
    if kind == "system":
        if record.get("subtype") == "init" and (session := record.get("session_id")):
            yield Session(str(session))
        elif record.get("subtype") == "api_retry":
            yield Retried(fields.text_of(record.get("error")))
    elif kind == "assistant":
        yield from _assistant(fields.mapping(record.get("message")))
    elif kind == "user":
        for block in fields.blocks(fields.mapping(record.get("message")).get("content")):
            if block.get("type") == "tool_result":
                yield _answered(block)
    elif kind == "result":
        yield _ended(record)


def _assistant(message: Mapping[str, Any]) -> Iterator[Seen]:
    turn = str(message.get("id") or "")
    for block in fields.blocks(message.get("content")):
        match block.get("type"):
            case "text":
                yield Said(fields.text_of(block), turn=turn)
            case "thinking":
                yield Said(reasoning=fields.text_of(block.get("thinking")), turn=turn)
            case "tool_use":
                name, given = str(block.get("name")), fields.mapping(block.get("input"))
                path = fields.text_of(given.get("file_path")) if name in _EDITS else ""
                yield Said(turn=turn)
                yield Called(str(block.get("id")), name, fields.arguments(block.get("input")), path)


def _answered(block: Mapping[str, Any]) -> Answered:
    text = fields.text_of(block.get("content"))
    failed = bool(block.get("is_error"))
    code = _EXIT_CODE.match(text) if failed else None
    return Answered(str(block.get("tool_use_id")), text, failed, int(code[1]) if code else None)


def _ended(record: Mapping[str, Any]) -> Ended:
    text = fields.text_of(record.get("result")) or fields.text_of(record.get("errors"))
    subtype = str(record.get("subtype") or "")
    failure = ""
    if record.get("is_error") or subtype.startswith("error"):
        failure = text if subtype in ("", "success") else f"{subtype}: {text}".rstrip(": ")
    return Ended(failure or ("it failed" if record.get("is_error") else ""), text, _usd(record))


def _usd(record: Mapping[str, Any]) -> float | None:
    return fields.number(record.get("total_cost_usd"))
