"""Large backlogs: a thousand issues that are all parked, and ten thousand claims."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from sprint.claim import Claims
from sprint.domain import Secret
from sprint.git import Remote
from tests.bench import measure
from tests.parked import MANY, park_all, released, write_claims
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.site import Site
from tests.widgets import FILES, REPO

CLAIMS = 10_000


def bench(scratch: Path) -> Iterator[str]:
    yield from _parked(scratch)
    yield from _claims(scratch / "claims")


def _parked(scratch: Path) -> Iterator[str]:
    with DemoForge("gitea", scratch / "forge") as forge, DemoModel([]) as model:
        forge.add_repo(REPO, FILES)
        park_all(forge, MANY)
        site = Site(scratch / "site", forge, model)
        argv = [sys.executable, "-m", "sprint", "run", REPO]
        for what in ("the first", "a later"):
            before = len(forge.requests)
            cost = measure.command(argv, cwd=site.path, env=site.environ)
            count = sum("/api/" in seen.path for seen in forge.requests[before:])
            yield f"{what} tick over {MANY} parked issues: {count} requests (aim: 30), {cost}"


def _claims(root: Path) -> Iterator[str]:
    """In a process of its own, for the server's work is none of a read's."""
    with DemoForge("gitea", root) as forge:
        forge.add_repo(REPO, FILES)
        forge.add_issue(REPO, "Issue 1")
        state = released(forge, 1)
        write_claims(forge, {number: {**state, "run": f"run-{number}"} for number in range(1, CLAIMS + 1)})
        remote = Remote(f"{forge.url}/{REPO}.git", Secret(forge.token))
        claims = Claims(root / "claims.git", remote, "me")
        for what in ("the first", "a later"):
            (cost,) = measure.as_user(os.geteuid(), lambda: [str(measure.spent(claims.read))])
            assert len(claims.read()) == CLAIMS
            yield f"{what} read of {CLAIMS} claims: {cost} (aim: 0.4 s CPU)"
