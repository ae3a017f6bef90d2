"""Work that an operator sends to a sprite by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.site import Site
from tests.widgets import CHECK, FILES, REPO

FIX = "sed -i 's/n + n + 1/n + n/' widgets.py && echo 'double() adds once.' >\"$SPRINT_SUMMARY\""
Make = Callable[..., Site]


@pytest.fixture
def make(gitea: DemoForge, workspaces: Path, model_server: Callable[..., DemoModel]) -> Make:
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(
        REPO, "double() is off by one", "double(2) must be 4.\n\n- [ ] a test shows that it is, too"
    )
    model = model_server([])

    def at(*, backend: dict[str, Any] | None = None, command: str = FIX, **worker: Any) -> Site:
        section = {"kind": "sprite", "agent": "command", "command": command, **worker}
        return Site(
            workspaces / "one",
            gitea,
            model,
            backends={"here": backend or {"kind": "local", "path": str(workspaces / "sprites")}},
            workers={"far": section},
            repos=[{"name": REPO, "checks": [CHECK]}],
        )

    return at


def said(site: Site, *args: str, code: int = 0) -> str:
    done = site.sprint("sprite", *args)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr
