"""A hard night: ticks killed and told to stop at random moments, until every issue has its pull request."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sprint.claim import Claims
from sprint.domain import Secret
from sprint.git import Remote
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import Reply, finish
from tests.site import Site
from tests.test_tick import CHECK, FILES, FIX, REPO

KILLS, TERMS = 200, 100
_LONGEST = 5.0  # seconds until a tick is hit: a whole one takes about three


def _script(request: dict[str, Any], _number: int) -> Reply:
    fixed = any("n + n + 1" in str(message.get("tool_calls", "")) for message in request["messages"])
    return finish("implemented", "Fixed.") if fixed else FIX


def bench(scratch: Path) -> Iterator[str]:
    for kind in ("gitea", "github"):
        yield f"{kind}: {storm(kind, scratch / kind)}"


def storm(kind: Any, root: Path, kills: int = KILLS, terms: int = TERMS, seed: int = 1) -> str:
    """What became of it, in words. Raises AssertionError where a promise did not hold."""
    dice = random.Random(seed)
    hits = [signal.SIGKILL] * kills + [signal.SIGTERM] * terms
    dice.shuffle(hits)
    root.mkdir(mode=0o711)
    with DemoModel(_script) as model, DemoForge(kind, root / "forge") as forge:
        forge.add_repo(REPO, FILES)
        site = Site(root / "site", forge, model, repos=[_repo()], limits={"minutes": 600})
        landed = sum(_hit(site, forge, hit, dice.uniform(0.0, _LONGEST)) for hit in hits)
        _calm(site, forge)
        return _judge(site, forge, landed, root)


def _repo() -> dict[str, Any]:
    return {"name": REPO, "checks": [CHECK], "pick": {"max_open_prs": 10_000}}


def _hit(site: Site, forge: DemoForge, hit: signal.Signals, after: float) -> bool:
    """One tick on a backlog that is never empty; True where the signal found it alive."""
    if len(site.rows()) >= len(forge.issues(REPO)):
        forge.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    tick = subprocess.Popen(
        [sys.executable, "-m", "sprint", "run", REPO],
        cwd=site.path,
        env=site.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        tick.wait(after)
        return False
    except subprocess.TimeoutExpired:
        tick.send_signal(hit)
        tick.wait(60)
        return True


def _calm(site: Site, forge: DemoForge) -> None:
    for _ in range(len(forge.issues(REPO)) + 2):
        assert site.sprint("run", REPO).returncode == 0


def _judge(site: Site, forge: DemoForge, landed: int, root: Path) -> str:
    issues, rows = forge.issues(REPO), site.rows()
    heads = [pull.pull.head for pull in forge.pulls(REPO) if pull.pull]
    assert len(heads) == len(set(heads)) == len(issues), "one pull request for each issue"
    numbers = sorted(issue.number for issue in issues)
    assert sorted(int(row["issue"]) for row in rows) == numbers, "one row for each issue"
    outcomes = {row["outcome"] for row in rows}
    remote = Remote(f"{forge.url}/{REPO}.git", Secret(forge.token))
    claims = Claims(root / "judge.git", remote, "judge").read()
    assert {claim.state for claim in claims.values()} == {"released"}, "no stale claim"
    attempts = [claim.attempt for claim in claims.values()]
    assert not list((site.path / "results" / "active").iterdir())
    assert not list(site.workspaces.iterdir()), "nothing is left over"
    return (
        f"{landed} signals hit a tick; {len(issues)} issues, {len(heads)} pull requests, {len(rows)} rows "
        f"({', '.join(sorted(outcomes))}), attempts {min(attempts)} to {max(attempts)}"
    )
