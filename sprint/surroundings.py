"""What a command finds around it: made once, in `cli/`, and passed down."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from msgspec import Struct, field


class Surroundings(Struct, frozen=True):
    """The environment, which may hold secrets; home and working directory, absolute; where answers go."""

    environ: Mapping[str, str]
    home: Path
    cwd: Path
    out: TextIO = field(default_factory=lambda: sys.stdout)

    def __repr__(self) -> str:
        return f"Surroundings(home={self.home}, cwd={self.cwd})"  # no word of the environment

    def get(self, variable: str) -> str:
        """The variable's value without white space around it; "" where it is not set."""
        return self.environ.get(variable, "").strip()

    @property
    def user_config(self) -> Path:
        """Where this user's programs have their configuration."""
        xdg = Path(self.environ.get("XDG_CONFIG_HOME") or "-")
        return xdg if xdg.is_absolute() else self.home / ".config"


def of_this_process() -> Surroundings:
    return Surroundings(os.environ, Path.home(), Path.cwd(), sys.stdout)
