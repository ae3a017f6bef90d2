"""The flags of `start`, each with its BB_ variable and its default."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, NoReturn

KINDS = ("claude", "codex", "kimi-code", "opencode")
_FLAGS: tuple[tuple[str, str, str, str], ...] = (
    # flag, variable, default, help
    ("--name", "BB_SPRITE", "", "what this machine is called (the host's name)"),
    ("--repo-dir", "BB_REPO_DIR", ".", "where the agent works"),
    ("--agent", "BB_AGENT", "codex", f"one of {', '.join(KINDS)}"),
    ("--agent-command", "BB_AGENT_COMMAND", "", "the program in place of the kind's own, with arguments"),
    (
        "--fallback-commands",
        "BB_AGENT_FALLBACKS",
        "",
        "others, a line each, tried in turn after failures",
    ),
    ("--agent-flags", "BB_AGENT_FLAGS", "", "more arguments: separated by commas, or as in a shell"),
    ("--model", "BB_AGENT_MODEL", "", "the model that the agent is to use"),
    ("--agent-env", "BB_AGENT_ENV", "", "KEY=VALUE,KEY=VALUE for the agent; no secrets: see --env-file"),
    ("--pass-env", "BB_AGENT_PASS_ENV", "", "names of variables that the agent gets from here"),
    ("--env-file", "BB_AGENT_ENV_FILE", "", "KEY=VALUE lines for the agent, in a file of mode 0600"),
    ("--task-prompt", "BB_TASK_PROMPT", "", "what to do; others can read it: better --task-file"),
    ("--task-file", "BB_TASK_FILE", "", "a file with what to do, or - for stdin"),
    ("--task-title", "BB_TASK_TITLE", "", "what `status` calls it; else the prompt's beginning"),
    ("--task-repo", "BB_TASK_REPO", "", "OWNER/REPO, for those who look"),
    ("--task-branch", "BB_TASK_BRANCH", "", "the branch to be on"),
    ("--task-issue-url", "BB_TASK_ISSUE_URL", "", "the issue's address, for those who look"),
    ("--event-log", "BB_EVENT_LOG", ".bb-agent/events.jsonl", "what happened, a line of JSON each"),
    ("--output-log", "BB_OUTPUT_LOG", ".bb-agent/agent.log", "what the agent printed"),
    ("--pid-file", "BB_PID_FILE", ".bb-agent/supervisor.pid", ""),
    ("--state-file", "BB_STATE_FILE", ".bb-agent/state.json", ""),
    ("--heartbeat-interval", "BB_HEARTBEAT_INTERVAL", "30s", ""),
    ("--progress-interval", "BB_PROGRESS_INTERVAL", "10s", ""),
    ("--stall-timeout", "BB_STALL_TIMEOUT", "5m", "an agent that does nothing for so long is ended"),
    ("--restart-delay", "BB_RESTART_DELAY", "5s", "doubled at each restart"),
    ("--shutdown-grace", "BB_SHUTDOWN_GRACE", "10s", "from SIGTERM to SIGKILL"),
    ("--timeout", "BB_TIMEOUT", "30m", "for all of it"),
    ("--iteration-timeout", "BB_ITERATION_TIMEOUT", "15m", "with --ralph, for one iteration"),
    ("--max-iterations", "BB_MAX_ITERATIONS", "50", "with --ralph"),
    ("--max-restarts", "BB_MAX_RESTARTS", "5", "in a row, nothing done in between"),
    ("--max-tokens", "BB_MAX_TOKENS", "0", "by the agent's own count; 0: as many as it likes"),
    ("--max-usd", "BB_MAX_USD", "0", "the same in dollars, by --prices"),
    ("--prices", "BB_PRICES", "0,0,0", "dollars per million tokens: read, read from a cache, written"),
    ("--callback", "WEBHOOK_URL", "", "an address that is told how it ended"),
    ("--callback-secret-file", "WEBHOOK_SECRET_FILE", "", "signs that; mode 0600"),
    ("--session", "BB_SESSION", "", "what the call-back calls this"),
)


_SWITCHES = (
    ("--yolo", "BB_AGENT_YOLO", "the agent may do everything without asking"),
    ("--full-auto", "BB_AGENT_FULL_AUTO", "the same: this machine is the agent's sandbox"),
    ("--foreground", "BB_AGENT_FOREGROUND", "stay, and end as the agent does"),
    ("--ralph", "BB_RALPH", "again and again, until the agent says that it is complete or blocked"),
)


_TEXTS = {flag: (variable, default) for flag, variable, default, _ in _FLAGS}
_VARIABLES = {flag: variable for flag, variable, _ in _SWITCHES}


def add_start_flags(parser: argparse.ArgumentParser) -> None:
    for flag, variable, default, text in _FLAGS:
        about = f"{text} [{variable}{f', {default}' if default else ''}]"
        others = ("--sprite",) if flag == "--name" else ()  # as bb calls it
        parser.add_argument(flag, *others, metavar="X", help=about.strip())
    parser.add_argument("--env", type=_seen_by_all, help=argparse.SUPPRESS)  # else it is short for --env-file
    for flag, variable, text in _SWITCHES:
        parser.add_argument(flag, action="store_true", default=None, help=f"{text} [{variable}]")


def _seen_by_all(_values: str) -> NoReturn:
    raise argparse.ArgumentTypeError(
        "all users of this machine see what stands here: put KEY=VALUE lines into a file of mode 0600, and "
        "name it with --env-file; --agent-env is for what is no secret"
    )


class Given:
    """What was given for a flag: by itself, else by its variable, else its default."""

    def __init__(self, args: argparse.Namespace, environ: Mapping[str, str]) -> None:
        self._args, self.environ = args, environ

    def text(self, flag: str) -> str:
        variable, default = _TEXTS[flag]
        by_flag = self._of(flag)
        return str(by_flag if by_flag is not None else self.environ.get(variable) or default)

    def is_on(self, flag: str) -> bool:
        by_variable = self.environ.get(_VARIABLES[flag], "").strip().lower()
        return bool(self._of(flag)) or by_variable in ("1", "true", "yes", "on")

    @property
    def is_free(self) -> bool:
        """Whether the agent may do everything without asking."""
        return self.is_on("--yolo") or self.is_on("--full-auto")

    def _of(self, flag: str) -> Any:
        return getattr(self._args, flag[2:].replace("-", "_"))
