"""A host whose issues are worked on by sprites."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.one_host import Host
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.site import Site
from tests.sprite.far_work import FIX
from tests.widgets import CHECK, FILES, REPO


@pytest.fixture
def make_host(
    gitea: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel]
) -> Callable[..., Host]:
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    model = model_server([])

    def make(name: str = "one", *, backend: dict[str, Any] | None = None, **worker: Any) -> Host:
        repo = worker.pop("repo", {})
        section = {"kind": "sprite", "agent": "command", "command": FIX, **worker}
        return Host(
            Site(
                workspaces / name,
                gitea,
                model,
                backends={"here": backend or {"kind": "local", "path": str(workspaces / "sprites")}},
                workers={"far": section},
                repos=[{"name": REPO, "checks": [CHECK], "worker": "far", **repo}],
            )
        )

    return make
