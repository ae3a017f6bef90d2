"""What is to be done on which sprite: seen to hold before anything is done, and shown step by step."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from msgspec import structs

from sprint.config import Config, RepoConfig, SpriteAgent, SpriteWorkerConfig, resolve
from sprint.config.values import is_branch
from sprint.errors import ConfigError
from sprint.sprite.backend import SpriteState, checked
from sprint.sprite.validation import check_repository, read_env_file, refuse_secrets

_AGAINST = {"opencode": "deprecated on sprites, where it is known to stall; prefer claude or codex"}


@dataclass(frozen=True)
class Order:
    """As on the command line. `minutes` and `iterations` None: as configured, and the supervisor's own."""

    sprite: str
    repo: str
    prompt: str = ""
    issue: int | None = None
    agent: str = ""
    model: str = ""
    branch: str = ""
    minutes: float | None = None
    ralph: bool = False
    iterations: int | None = None
    env_file: Path | None = None

    def validated(self) -> Order:
        """Itself. Raises ConfigError for what no run may begin with."""
        checked(self.sprite)
        check_repository(self.repo)
        if self.issue is None and not self.prompt.strip():
            raise ConfigError("there is nothing to do: give a prompt, or - for one on stdin, or --issue N")
        own = (self.prompt, self.ralph, self.branch, self.agent, self.model, self.minutes, self.env_file)
        if self.issue is not None and any(own):
            raise ConfigError(
                "--issue goes alone: what is said and who works on it stands there and in sprint.yaml"
            )
        if self.iterations is not None and not self.ralph:
            raise ConfigError("--max-iterations goes with --ralph")
        if self.branch and not is_branch(self.branch):
            raise ConfigError(f"--branch: {self.branch!r} is no name that git accepts")
        refuse_secrets(self.prompt, "the prompt")
        if self.env_file:
            read_env_file(self.env_file)
        return self

    @property
    def remark(self) -> str:
        """What speaks against the agent that is asked for here, "" for nothing."""
        return _AGAINST.get(self.agent, "")

    def repo_config(self, config: Config) -> RepoConfig:
        found = resolve(config, self.repo)
        if self.minutes is None:
            return found
        return structs.replace(found, limits=structs.replace(found.limits, minutes=self.minutes))

    def worker(self, config: Config, backend: str) -> tuple[str, SpriteWorkerConfig]:
        """The first worker of kind sprite on that backend, on this sprite alone; its defaults where there is
        none."""
        fitting = [
            (name, one)
            for name, one in config.workers.items()
            if isinstance(one, SpriteWorkerConfig) and one.backend in ("", backend)
        ]
        name, one = fitting[0] if fitting else ("sprite", SpriteWorkerConfig())
        if self.agent and self.agent not in get_args(SpriteAgent):
            raise ConfigError(f"--agent: {self.agent!r} is none of {', '.join(get_args(SpriteAgent))}")
        changes = {"agent": self.agent, "model": self.model}
        chosen = {key: value for key, value in changes.items() if value}
        section = structs.replace(
            one, backend=backend, sprites=(self.sprite,), composition="", mode="persistent", **chosen
        )
        return name, section


def minutes_of(text: str) -> float:
    """Minutes of a duration as Go and the supervisor write it: 90s, 30m, 1h30m. Raises ConfigError."""
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    if not text or parts is None:
        raise ConfigError(f"--timeout: {text!r} is no duration: write it as 90s, 30m or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in parts.groups())
    if not hours + minutes + seconds:
        raise ConfigError("--timeout: that is no time at all")
    return hours * 60 + minutes + seconds / 60


def steps(order: Order, section: SpriteWorkerConfig, repo: RepoConfig, state: SpriteState) -> Iterator[str]:
    """The workflow in its order, a line each, as it would go."""
    size = f"{len(order.prompt)} characters of prompt" if order.issue is None else f"issue #{order.issue}"
    yield f"1 validate    {order.sprite}, {order.repo}, {size}: sound, no secret in it"
    yield f"2 exists?     {order.sprite} is {state.value}"
    if state is SpriteState.GONE:
        boot = f", {len(section.bootstrap)} commands of bootstrap" if section.bootstrap else ""
        yield f"3 provision   make it (managed_by=sprint){boot}, keep its clean state"
    else:
        yield "3 provision   nothing to do"
    yield "4 repository  a bundle of what is missing there, at exactly the newest commit of its base"
    yield f"5 prompt      {'PROMPT.md' if order.ralph else '.dispatch-prompt.md'}, which is never published"
    yield "6 status      STATUS.json: repository, mode, task, since when"
    mode = f"ralph, at most {order.iterations or 50} iterations" if order.ralph else "one-shot"
    model = f" with {section.model}" if section.model else ""
    yield f"7 agent       {section.agent}{model}, {mode}, {repo.limits.minutes:g} minutes in all"
    if order.issue is None:
        yield "then: policy, checks, a pull request, by the next tick or `sprint sprite collect`"
