"""What the version before left behind is understood: runs under way, claims, ledger, configuration.

older_files/ was written by 0.1.0 on a loopback forge: one run that asked a question, one that was killed.
"""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sprint import git, ledger
from sprint.claim import Claims, _parse
from sprint.config import load, resolve
from sprint.domain import LedgerRow, Outcome, Phase, Purpose, Secret
from sprint.git import Remote
from sprint.runs import RunStore
from tests.around import around
from tests.kills import assert_one_of_each, killed_at
from tests.kills import site as site  # a fixture
from tests.servers.forge import DemoForge
from tests.site import Site
from tests.widgets import REPO

__all__ = ["site"]
OLDER = Path(__file__).parent / "older_files"


def older_run(name: str) -> dict[str, Any]:
    run: dict[str, Any] = json.loads((OLDER / name).read_text())
    return run


def test_runs_and_ledger_are_read(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    for name in ("settled.json", "working.json"):
        run_id = older_run(name)["id"]
        (tmp_path / "runs" / run_id).mkdir(parents=True)
        shutil.copy(OLDER / name, tmp_path / "runs" / run_id / "run.json")
    (working,) = store.under_way("home", "vm")
    assert (working.phase, working.purpose, working.pauses) == (Phase.WORKING, Purpose.ISSUE, 0)
    assert working.base_checks[0].ran == 1
    shutil.copy(OLDER / "results.csv", tmp_path / "results.csv")
    (row,) = ledger.read(tmp_path)
    assert isinstance(row, LedgerRow)
    assert (row.outcome, row.turns) == (Outcome.NEEDS_HUMAN, 1)


def test_the_configuration_is_read(tmp_path: Path) -> None:
    shutil.copy(OLDER / "sprint.yaml", tmp_path)
    config = load(None, around(tmp_path))
    assert resolve(config, REPO).worker in config.workers


def test_claims_are_read() -> None:
    lines = (OLDER / "claims.jsonl").read_text().splitlines()
    released, claimed = (_parse(number, "", line) for number, line in enumerate(lines, 1))
    assert (released.state, released.outcome, released.attempt) == ("released", "needs_human", 1)
    assert (claimed.state, claimed.paused, claimed.attempt) == ("claimed", False, 1)


def test_a_run_that_the_older_version_left_killed_is_gone_on_with(gitea: DemoForge, site: Site) -> None:
    killed_at(site, "checked at the base")
    (path,) = (site.path / "results/runs").glob("*/run.json")
    run = json.loads(path.read_text())
    known = older_run("working.json")
    path.write_text(json.dumps({key: value for key, value in run.items() if key in known}))
    assert site.sprint("run", REPO).returncode == 0
    assert_one_of_each(gitea, site)


@pytest.mark.parametrize("is_over", [False, True])
def test_a_claim_of_the_older_version_is_respected_until_it_is_over(
    gitea: DemoForge, site: Site, tmp_path: Path, is_over: bool
) -> None:
    remote = Remote(f"{gitea.url}/{REPO}.git", Secret(gitea.token))
    board = Claims(tmp_path / "board.git", remote, "older")
    board.read()
    state = json.loads((OLDER / "claims.jsonl").read_text().splitlines()[1])
    expires = datetime.now(UTC) + timedelta(minutes=-1 if is_over else 9)
    text = json.dumps({**state, "expires": expires.isoformat()})
    sha = git.commit_tree(board.git_dir, git.EMPTY_TREE, [], text, "sprint", "s@localhost", when=expires)
    git.push(board.git_dir, remote, sha, "refs/sprint/issue-1", expected="")
    done = site.sprint("run", REPO)
    assert done.returncode == 0
    assert [row["attempt"] for row in site.rows()] == (["2"] if is_over else [])
    assert len(gitea.pulls(REPO)) == is_over


class OlderState(msgspec.Struct, frozen=True):
    """A claim's commit as 0.1.0 reads it; it passes over what is claimed and has not expired."""

    state: str
    run: str
    host: str
    attempt: int
    expires: datetime
    not_before: datetime | None = None
    outcome: str = ""
    detail: str = ""
    pr: int | None = None
    seen: str = ""


def test_the_older_version_passes_our_claim_over_and_learns_what_came_of_it(
    gitea: DemoForge, site: Site, tmp_path: Path
) -> None:
    def as_the_older_one_reads_it() -> OlderState:
        store = tmp_path / "older.git"
        git.init_bare(store)
        remote = Remote(f"{gitea.url}/{REPO}.git", Secret(gitea.token))
        git.fetch(store, remote, "+refs/sprint/issue-*:refs/sprint/issue-*", prune=True)
        _sha, message = git.read_refs(store, "refs/sprint/")["refs/sprint/issue-1"]
        return msgspec.json.decode(message, type=OlderState)

    killed_at(site, "checked at the base")
    claimed = as_the_older_one_reads_it()
    assert (claimed.state, claimed.attempt) == ("claimed", 1)
    assert claimed.expires > datetime.now(UTC)
    assert site.sprint("run", REPO).returncode == 0
    over = as_the_older_one_reads_it()
    assert (over.state, over.outcome, over.attempt) == ("released", "pr_opened", 1)
    assert over.pr == gitea.pulls(REPO)[0].number
    assert over.seen == claimed.seen != ""
