"""A tick on an empty backlog: this is what cron starts all day."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench import measure
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.site import Site

TIMES = 7


def bench(scratch: Path) -> Iterator[str]:
    with DemoForge("gitea", scratch / "forge") as forge, DemoModel([]) as model:
        forge.add_repo("acme/widgets", {"README.md": "widgets"})
        site = Site(scratch / "site", forge, model)
        argv = [sys.executable, "-m", "sprint", "run", "acme/widgets"]
        costs = [measure.command(argv, cwd=site.path, env=site.environ) for _ in range(TIMES)]
        bare = [
            measure.command([sys.executable, "-c", "import requests, yaml"], cwd=site.path, env=site.environ)
            for _ in range(TIMES)
        ]
        yield f"empty tick, median of {TIMES}: {measure.median(costs)} (aim: 0.4 s CPU, 60 MB)"
        yield f"python with requests and yaml imported: {measure.median(bare)}"
        epic = forge.add_issue("acme/widgets", "A long story", labels=["epic"])
        costs = [measure.command(argv, cwd=site.path, env=site.environ) for _ in range(TIMES)]
        yield f"tick that passes #{epic} over, median of {TIMES}: {measure.median(costs)}"
