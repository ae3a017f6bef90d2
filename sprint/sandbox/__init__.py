"""Where commands that an agent or a project wrote may run, and the kinds there are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sprint.config import SandboxConfig, SandboxKind
from sprint.sandbox.bwrap import Bwrap
from sprint.sandbox.none import Unconfined
from sprint.sandbox.protocol import Command as Command
from sprint.sandbox.protocol import Sandbox as Sandbox

KINDS: dict[SandboxKind, Callable[[SandboxConfig, Path | None], Sandbox]] = {
    "bwrap": Bwrap,
    "none": Unconfined,
}


def make(config: SandboxConfig, cache: Path | None = None) -> Sandbox:
    """The configured kind of sandbox. Nothing is run: see `probe`, whose yes is remembered below `cache`."""
    return KINDS[config.kind](config, cache)
