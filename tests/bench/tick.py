"""Ticks that find nothing to do: this is what cron starts all day."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from sprint.lock import lock, lock_path
from tests.bench import measure
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.site import Site

TIMES = 11
REPOS = 20

_BARE = """
import requests, sys
requests.get(sys.argv[1], headers={"Authorization": f"token {sys.argv[2]}"}).raise_for_status()
"""


def bench(scratch: Path) -> Iterator[str]:
    names = [f"acme/widgets-{number}" for number in range(REPOS)]
    with DemoForge("gitea", scratch / "forge") as forge, DemoModel([]) as model:
        for name in names:
            forge.add_repo(name, {"README.md": "widgets"})
        site = Site(scratch / "site", forge, model, repos=names)
        sprint = [sys.executable, "-m", "sprint", "run"]
        url = f"{forge.api_url}/repos/{names[0]}"

        def cost(argv: list[str]) -> measure.Cost:
            return measure.command(argv, cwd=site.path, env=site.environ)

        cost([*sprint, "--all"])  # the first one tidies up
        pairs = [
            (cost([*sprint, names[0]]), cost([sys.executable, "-c", _BARE, url, forge.token]))
            for _ in range(TIMES)
        ]
        empty, bare = (measure.median(costs) for costs in zip(*pairs, strict=True))
        yield f"empty tick, median of {TIMES}: {empty} (aim: 0.2 s CPU)"
        yield f"python with requests, which asks for the repository: {bare}"
        yield f"ratio: {empty.cpu / bare.cpu:.2f} of CPU (aim: 1.4)"
        before = len(forge.requests)
        with lock(lock_path(site.path / "cache", "home", names[0])):
            busy = measure.median([cost([*sprint, names[0]]) for _ in range(TIMES)])
        yield f"busy tick: {busy}, {len(forge.requests) - before} requests (aim: 0.15 s CPU, none)"
        together = cost([*sprint, "--all", "--jobs", "8"])
        yield f"{REPOS} empty repositories in one process with --jobs 8: {together}"
        apart = [cost([*sprint, name]) for name in names]
        yield f"ratio to {REPOS} processes: {together.cpu / sum(one.cpu for one in apart):.2f} of CPU"
        epic = forge.add_issue(names[0], "A long story", labels=["epic"])
        passed = measure.median([cost([*sprint, names[0]]) for _ in range(TIMES)])
        yield f"tick that passes #{epic} over: {passed}"
