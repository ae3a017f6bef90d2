"""A hard night: ticks killed and told to stop at random moments, until every issue has its pull request."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sprint.claim import Claims
from sprint.domain import Secret
from sprint.git import Remote
from sprint.settle.pauses import MOST_CUT_SHORT, MOST_DEATHS
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel
from tests.servers.replies import Reply, finish
from tests.site import Site
from tests.widgets import CHECK, FILES, FIX, REPO

KILLS, TERMS = 100, 50  # on each of the two forges


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
        longest = _whole_tick(site, forge)
        landed = spared = 0
        while landed < len(hits):
            if _may_be_hit(site):
                landed += _hit(site, forge, hits[landed], dice.uniform(0.0, 1.2 * longest))
            else:
                spared += 1
                site.sprint("run", REPO)
        _calm(site, forge)
        return f"{kills} SIGKILLs and {terms} SIGTERMs, {spared} ticks spared: {_judge(site, forge, root)}"


def _may_be_hit(site: Site) -> bool:
    """The fifth stop in a row without a turn, or the tenth in all, ends a run by design: one is spared.

    A tick counts the kill before it when it takes the run up, and may then be hit itself: two at a time.
    """
    under_way = [run for run in site.runs() if run["phase"] != "settled"]
    return all(
        run.get("pauses", 0) < MOST_CUT_SHORT - 2 and run.get("continued", 0) < MOST_DEATHS - 2
        for run in under_way
    )


def _repo() -> dict[str, Any]:
    return {"name": REPO, "checks": [CHECK], "pick": {"max_open_prs": 10_000}}


def _whole_tick(site: Site, forge: DemoForge) -> float:
    """How long one takes on this machine, in seconds: the hits are to fall on all of it."""
    _add_issue(forge)
    start = time.monotonic()
    assert site.sprint("run", REPO).returncode == 0
    return time.monotonic() - start


def _add_issue(forge: DemoForge) -> None:
    forge.add_issue(REPO, "double() is off by one", "double(2) must be 4.")


def _hit(site: Site, forge: DemoForge, hit: signal.Signals, after: float) -> bool:
    """One tick on a backlog that is never empty; True where the signal found it alive."""
    if len(site.rows()) >= len(forge.issues(REPO)):
        _add_issue(forge)
    tick = site.start("run", REPO)
    if tick.poll(after) is not None:
        return False
    tick.send_signal(hit)
    tick.wait()
    return True


def _calm(site: Site, forge: DemoForge) -> None:
    for _ in range(len(forge.issues(REPO)) + 2):
        assert site.sprint("run", REPO).returncode == 0


def _judge(site: Site, forge: DemoForge, root: Path) -> str:
    issues, rows = forge.issues(REPO), site.rows()
    heads = sorted(pull.pull.head for pull in forge.pulls(REPO) if pull.pull)
    remote = Remote(f"{forge.url}/{REPO}.git", Secret(forge.token))
    claims = Claims(root / "judge.git", remote, "judge").read()
    attempts = Counter(claim.attempt for claim in claims.values())
    outcomes = Counter(row["outcome"] for row in rows)
    found = (
        f"{len(issues)} issues, {len(heads)} pull requests of {len(set(heads))} branches, {len(rows)} rows "
        f"for {len({row['issue'] for row in rows})} issues ({dict(outcomes)}), attempts {dict(attempts)}"
    )
    assert len(heads) == len(set(heads)) == len(issues) == len(rows), found
    assert len({row["issue"] for row in rows}) == len(issues), found
    assert set(outcomes) == {"pr_opened"}, found
    assert set(attempts) == {1}, found
    assert {claim.state for claim in claims.values()} == {"released"}, "no stale claim"
    assert not list((site.path / "results" / "active").iterdir())
    assert not list(site.workspaces.iterdir()), "nothing is left over"
    return found
