"""The kinds of coding agent there are."""

from __future__ import annotations

from sprint.config import (
    AgentWorkerConfig,
    ClaudeWorkerConfig,
    CodexWorkerConfig,
    HermesWorkerConfig,
    KimiCodeWorkerConfig,
    OpencodeWorkerConfig,
)
from sprint.worker.agents import claude, codex, hermes, kimi_code, opencode
from sprint.worker.agents.agent_kind import AgentKind

AGENTS: dict[type[AgentWorkerConfig], AgentKind] = {
    ClaudeWorkerConfig: claude,
    CodexWorkerConfig: codex,
    HermesWorkerConfig: hermes,
    KimiCodeWorkerConfig: kimi_code,
    OpencodeWorkerConfig: opencode,
}
