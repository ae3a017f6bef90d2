"""Requests and time to reach the oldest issue of a large backlog."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from sprint.config import ForgeConfig
from sprint.domain import Secret
from sprint.forge import connect
from tests.bench import measure
from tests.servers.forge import DemoForge

ISSUES = 10_000


def bench(scratch: Path) -> Iterator[str]:
    for kind in ("gitea", "github"):
        yield _oldest(kind, scratch / kind)


def _oldest(kind: Literal["gitea", "github"], root: Path) -> str:
    with DemoForge(kind, root) as server:
        server.add_repo("acme/widgets", {"README.md": "widgets\n"})
        server.bulk_issues("acme/widgets", ISSUES)
        forge = connect(ForgeConfig(kind=kind, url=server.url), Secret(server.token))
        before = len(server.requests)
        found = []
        took = measure.seconds(lambda: found.append(next(forge.oldest_issues("acme/widgets"))))
        assert found[0].title == "Issue 1", found
        return (
            f"{kind}: oldest of {ISSUES} issues in {len(server.requests) - before} requests, "
            f"{took * 1000:.0f} ms (aim: at most 4 requests)"
        )
