"""Puts an agent's program on a sprite where it is missing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sprint.clean_text import safe_line
from sprint.config import SpriteWorkerConfig, agent_of_kind
from sprint.sprite.backend import Backend, Done, Refused
from sprint.worker.agents.agent_kind import Install
from sprint.worker.agents.catalogue import AGENTS

SECONDS = 1800.0
SCRIPT = Path(__file__).with_name("install_agent.sh")


def how(section: SpriteWorkerConfig) -> Install | None:
    """How its agent is installed; None where it is a command, or the configuration says where it is."""
    agent = agent_of_kind(section.agent)
    return None if agent is None or section.program else AGENTS[type(agent)].INSTALL


def words(install: Install) -> list[str]:
    """The command line that installs it below ~/.local, or says that it is there."""
    argv = [install.command, install.package, install.node]
    return ["sh", "-c", SCRIPT.read_text(), "install", *argv]


def install_agent(backend: Backend, sprite: str, section: SpriteWorkerConfig) -> str:
    """What was done, in lines; "" where there is nothing to do. Raises Refused where it cannot be had."""
    install = how(section)
    if install is None:
        return ""
    done = run_there(backend, sprite, words(install), f"set-up of {section.agent}")
    return done.stdout.decode("utf-8", "replace")


def run_there(backend: Backend, sprite: str, argv: Sequence[str], what: str) -> Done:
    """A command of a set-up. Raises Refused where it fails."""
    done = backend.exec(sprite, argv, timeout=SECONDS)
    if done.exit_code:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        said = [line for line in lines if "A complete log of this run" not in line][-1:]
        raise Refused(f"sprite {sprite}: {what} failed: {safe_line(' '.join(said))[:300] or done.exit_code}")
    return done
