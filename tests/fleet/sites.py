"""Hosts of one fleet: an operator's directory each, with the same repositories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.commands import Command
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import Reply, finish
from tests.site import Site
from tests.widgets import CHECK, FIX


def fixing(request: dict[str, Any], _number: int) -> Reply:
    """A model that fixes what it is shown, however many ask at once."""
    fixed = any("n + n + 1" in str(message.get("tool_calls", "")) for message in request["messages"])
    return finish("implemented", "Fixed.") if fixed else FIX


def host(folder: Path, forge: DemoForge, model: DemoModel, url: str, repos: list[str], **more: Any) -> Site:
    """A site whose `database_file` holds `url`."""
    fleet = {"database_file": "database.url", **more.pop("fleet", {})}
    listed = [{"name": name, "checks": [CHECK], "every": 60} for name in repos]
    site = Site(folder, forge, model, repos=listed, fleet=fleet, **more)
    (site.path / "database.url").write_text(f"{url}\n")
    (site.path / "database.url").chmod(0o600)
    return site


def ended(worker: Command, timeout: float = 60) -> str:
    """What a worker said, once it ended as it was told to."""
    worker.send_signal(15)
    assert worker.wait(timeout) == 0, worker.err.read_text()
    return worker.err.read_text()
