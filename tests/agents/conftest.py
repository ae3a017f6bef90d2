"""Agents' real programs where they are, and jobs for them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.agents.bed import bed as bed  # a fixture
from tests.agents.model import ScriptedModel
from tests.worker.conftest import bench as bench  # a fixture

INSTALLED = Path(__file__).parents[2] / ".venv" / "agents"  # by `./dev test --agents`
PLACES = {
    "claude": "npm/node_modules/.bin/claude",
    "codex": "npm/node_modules/.bin/codex",
    "hermes": "hermes/bin/hermes",
}


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Where an agent's program is; the test is skipped where it is not, unless they had to be installed."""

    def find(name: str) -> str:
        own = INSTALLED / PLACES.get(name, name)
        found = str(own) if own.exists() else shutil.which(name)
        if not found and os.environ.get("WITH_AGENTS") and name in PLACES:
            pytest.fail(f"{name} is not installed")
        if not found:
            pytest.skip(f"{name} is not here; `./dev test --agents` installs it")
        return found

    return find


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedModel]]:
    with ExitStack() as stack:
        yield lambda script, **options: stack.enter_context(ScriptedModel(script, **options))
