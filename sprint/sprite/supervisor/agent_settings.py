"""What is asked of a supervisor, in its types."""

from __future__ import annotations

import argparse
import dataclasses
import re
import shlex
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from sprint.sprite.supervisor.agent_program import SECRET, agent_env, command
from sprint.sprite.supervisor.fault import Fault
from sprint.sprite.supervisor.given_flags import KINDS, Given
from sprint.sprite.supervisor.pid_file import lock_of, patience_of

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclasses.dataclass(frozen=True)
class Settings:
    """Times in seconds; paths absolute."""

    sprite: str
    repo_dir: Path
    agent: str
    command: tuple[str, ...]
    fallback_commands: tuple[tuple[str, ...], ...]
    model: str
    env: Mapping[str, str] = dataclasses.field(repr=False)
    prompt: str = dataclasses.field(repr=False)
    title: str
    repo: str
    branch: str
    issue_url: str
    event_log: Path
    output_log: Path
    pid_file: Path
    state_file: Path
    heartbeat: float
    progress: float
    stall: float
    restart_delay: float
    grace: float
    timeout: float
    ralph: bool
    iteration_timeout: float
    max_iterations: int
    max_restarts: int
    max_tokens: int
    max_usd: float
    prices: tuple[float, float, float]
    callback: str
    callback_secret: Path | None
    session: str
    foreground: bool

    @property
    def folder(self) -> Path:
        return self.state_file.parent

    @property
    def written(self) -> tuple[Path, ...]:
        """What the supervisor writes where it is told to."""
        given = (self.event_log, self.output_log, self.state_file, self.pid_file)
        return (*given, lock_of(self.pid_file), patience_of(self.pid_file), self.errors)

    @property
    def errors(self) -> Path:
        return self.folder / "supervisor.log"


def settings_of(args: argparse.Namespace, environ: Mapping[str, str]) -> Settings:
    """Raises Fault where something does not hold, before anything is started."""
    given = Given(args, environ)
    text = given.text
    repo_dir = Path(text("--repo-dir")).absolute()
    if not repo_dir.is_dir():
        raise Fault(f"{repo_dir} is no folder: name the repository's with --repo-dir")
    if text("--agent") not in KINDS and not text("--agent-command"):
        raise Fault(f"--agent: {text('--agent')!r} is none of {', '.join(KINDS)}; or give --agent-command")
    prompt = _prompt(text("--task-file"), text("--task-prompt"))
    secret = text("--callback-secret-file")
    return Settings(
        sprite=text("--name") or socket.gethostname(),
        repo_dir=repo_dir,
        agent=text("--agent"),
        command=command(given, prompt),
        fallback_commands=tuple(tuple(shlex.split(one)) for one in text("--fallback-commands").splitlines()),
        model=text("--model"),
        env=agent_env(given),
        prompt=prompt,
        title=text("--task-title"),
        repo=text("--task-repo"),
        branch=text("--task-branch"),
        issue_url=text("--task-issue-url"),
        event_log=repo_dir / text("--event-log"),
        output_log=repo_dir / text("--output-log"),
        pid_file=repo_dir / text("--pid-file"),
        state_file=repo_dir / text("--state-file"),
        heartbeat=duration(text("--heartbeat-interval")),
        progress=duration(text("--progress-interval")),
        stall=duration(text("--stall-timeout")),
        restart_delay=duration(text("--restart-delay")),
        grace=duration(text("--shutdown-grace")),
        timeout=duration(text("--timeout")),
        ralph=given.is_on("--ralph"),
        iteration_timeout=duration(text("--iteration-timeout")),
        max_iterations=_count(text("--max-iterations")),
        max_restarts=_count(text("--max-restarts")),
        max_tokens=_count(text("--max-tokens")),
        max_usd=_dollars(text("--max-usd")),
        prices=_prices(text("--prices")),
        callback=text("--callback"),
        callback_secret=Path(secret).absolute() if secret else None,
        session=text("--session"),
        foreground=given.is_on("--foreground"),
    )


def duration(text: str) -> float:
    """Seconds of a duration as Go writes it: 30s, 5m, 1h30m, 250ms; a bare number is seconds."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise Fault(f"{text!r} is no duration: write it as 30s, 5m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _count(text: str) -> int:
    if not text.isdigit():
        raise Fault(f"{text!r} is no number")
    return int(text)


def _dollars(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Fault(f"{text!r} is no number") from None


def _prices(text: str) -> tuple[float, float, float]:
    parts = text.split(",")
    if len(parts) != 3:
        raise Fault(f"--prices: {text!r}: write three numbers with commas between them")
    return _dollars(parts[0]), _dollars(parts[1]), _dollars(parts[2])


def _prompt(file: str, given: str) -> str:
    if file == "-":
        given = sys.stdin.read()
    elif file:
        try:
            given = Path(file).read_text("utf-8")
        except OSError as error:
            raise Fault(f"cannot read {file}: {error.strerror}") from None
    if not given.strip():
        raise Fault("there is nothing to do: give --task-file FILE, or the text on stdin with --task-file -")
    if found := SECRET.search(given):
        raise Fault(f"the prompt holds what looks like a secret ({found[0][:7]}...): take it out")
    return given
