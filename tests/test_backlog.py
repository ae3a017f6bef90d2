"""Picking over the real forge clients: what it costs, in which order, and who loses a race."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sprint.backlog import Backlog
from sprint.config import load, resolve
from sprint.context import Context, open_context
from sprint.domain import Pick, Workspace
from sprint.errors import SprintError
from sprint.tick import tick
from sprint.workspace import checkout
from tests.around import around
from tests.kills import script
from tests.parked import MANY, park_all
from tests.servers.forge import DemoForge, Fault
from tests.servers.model import DemoModel
from tests.site import Site
from tests.waiting import wait_until
from tests.widgets import CHECK, FILES, REPO

MOST_REQUESTS = 30
MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(workspaces: Path, model_server: Callable[..., DemoModel]) -> MakeSite:
    def make(forge: DemoForge, name: str = "site", **settings: Any) -> Site:
        repos = [{"name": REPO, "checks": [CHECK], "sandbox": {"kind": "none"}}]
        return Site(workspaces / name, forge, model_server(script), **{"repos": repos, **settings})

    return make


def context_of(site: Site) -> Context:
    config = load(site.path / "sprint.yaml", around(site.path))
    return open_context(config, resolve(config, REPO), around(site.path))


def commands() -> list[str]:
    """Every command line on this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
    return found


def asked(forge: DemoForge, act: Callable[[], Any]) -> int:
    """API requests, all of them."""
    return sum("/api/" in seen.path for seen in forge.asked(act))


def test_a_thousand_parked_issues_cost_no_request_each(forge_server: DemoForge, make_site: MakeSite) -> None:
    forge_server.add_repo(REPO, FILES)
    site = make_site(forge_server)
    park_all(forge_server, MANY)
    picks: list[Pick] = []

    def one() -> None:
        context = context_of(site)
        picks.append(Backlog(context).pick(context.claims.read()))

    for when in ("first", "second"):
        count = asked(forge_server, one)
        assert count <= MOST_REQUESTS, (when, count)
        assert picks[-1].issue is None
        assert len(picks[-1].passed_over) == MANY
    forge_server.add_comment(REPO, 300, "acme", "Try again.")
    one()
    picked = picks[-1].issue
    assert picked is not None
    assert picked.number == 300


def numbers(context: Context, count: int) -> list[int]:
    backlog = Backlog(context)
    claims = context.claims.read()
    found = []
    for _ in range(count):
        pick = backlog.pick(claims)
        if pick.issue is None:
            break
        found.append(pick.issue.number)
        backlog.pass_over(pick.issue, "to see the next one")
    return found


@pytest.mark.parametrize(
    ("pick", "expected"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"labels": ["sprint"]}, [2, 4]),
        ({"labels": ["sprint", "other"]}, [1, 2, 4]),
        ({"order": ["p0", "p1"]}, [5, 3, 4, 1, 2]),
        ({"order": ["p1"], "labels": ["sprint"]}, [4, 2]),
        ({"labels": ["no such"]}, []),
        ({"order": "oldest"}, [1, 2, 3, 4, 5]),
    ],
)
def test_picking_by_choice(
    forge_server: DemoForge, make_site: MakeSite, pick: dict[str, Any], expected: Sequence[int]
) -> None:
    forge_server.add_repo(REPO, FILES)
    for labels in (["other"], ["sprint"], ["p1"], ["Sprint", "P1"], ["p0"]):
        forge_server.add_issue(REPO, f"With {labels}", labels=labels)
    site = make_site(forge_server, pick=pick)
    assert numbers(context_of(site), 9) == expected


def test_an_order_that_is_none_is_refused_with_what_it_may_be(gitea: DemoForge, make_site: MakeSite) -> None:
    gitea.add_repo(REPO, FILES)
    done = make_site(gitea, pick={"order": "newest"}).sprint("run", REPO, "--dry-run")
    assert done.returncode == 2
    assert "pick.order" in done.stderr
    assert "oldest" in done.stderr


def test_a_host_that_loses_a_race_takes_the_next_issue_in_the_same_tick(
    gitea: DemoForge, make_site: MakeSite
) -> None:
    """Four times in a row another host is a moment faster."""
    gitea.add_repo(REPO, FILES)
    for n in range(6):
        gitea.add_issue(REPO, f"double() is off by one, report {n + 1}", "double(2) must be 4.")
    site = make_site(gitea, pick={"at_once": 9})
    other = context_of(make_site(gitea, "other"))
    lost = 0

    def claim_first() -> None:
        nonlocal lost
        if lost < 4:
            lost += 1
            taken = other.claims.take(lost, f"their-run-{lost}", "", None, datetime.now(UTC))
            assert taken is not None

    gitea.faults += [
        Fault("git-receive-pack$", method="POST", skip=0, times=1, call=claim_first) for _ in range(4)
    ]
    done = site.sprint("run", REPO)
    assert done.returncode == 0, done.stderr
    assert [row["issue"] for row in site.rows()] == ["5"]
    assert [row["outcome"] for row in site.rows()] == ["pr_opened"]
    assert "passed over #4" in done.stdout
    assert "another host claimed it first" in done.stdout
    pulls_read = [s for s in gitea.requests if s.path.endswith("/pulls") and s.method == "GET"]
    assert len(pulls_read) < 10, "what was read once is not read for each race"
    fetched = [s for s in gitea.requests if s.path.endswith("upload-pack") and b"refs/tags/" in s.body]
    assert len(fetched) == 1, "nor is the mirror fetched for each"
    assert list(site.workspaces.iterdir()) == [], "nor is a checkout left of any"
    (pins,) = (site.path / "cache").glob("mirrors/**/refs/sprint-work")
    kept = {pin.name.partition("-proof")[0] for pin in pins.iterdir()}
    assert kept == {f"sprint-{site.rows()[0]['run_id']}"}, "nor anything kept for it in the mirror"


def tick_interrupted(context: Context, monkeypatch: pytest.MonkeyPatch, when: Callable[[], bool]) -> None:
    """A tick that Ctrl-C ends in place of its claim, once it is time."""

    def interrupted(*_: object) -> None:
        assert wait_until(when)
        raise KeyboardInterrupt

    monkeypatch.setattr("sprint.tick.claim_issue", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tick(context)


def checkouts(site: Site) -> list[Path]:
    return list(site.workspaces.glob("sprint-*/repo/widgets.py"))


def test_the_checkout_is_made_while_the_claim_is_on_its_way(gitea: DemoForge, make_site: MakeSite) -> None:
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    site, there = make_site(gitea), []

    def claiming() -> None:
        there.append(wait_until(lambda: len(checkouts(site)) == 1))

    gitea.faults.append(Fault("git-receive-pack$", method="POST", call=claiming))
    assert site.sprint("run", REPO).returncode == 0
    assert there == [True]
    assert [row["outcome"] for row in site.rows()] == ["pr_opened"]
    assert list(site.workspaces.iterdir()) == []


def test_no_checkout_is_left_of_an_interrupted_claim(
    gitea: DemoForge, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    context = context_of(site := make_site(gitea))
    tick_interrupted(context, monkeypatch, lambda: len(checkouts(site)) == 1)
    assert list(site.workspaces.iterdir()) == []


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """Pipes that git waits for, in each checkout that is made."""
    pipes: list[Path] = []
    copy_repository = checkout._copy_repository

    def with_a_pipe(shared: Path, own: Path, space: Workspace, *more: Any) -> None:
        copy_repository(shared, own, space, *more)
        pipes.append(space.checkout / ".git/info/attributes")
        os.mkfifo(pipes[-1])
        pipes[-1].chmod(0o666)

    monkeypatch.setattr(checkout, "_copy_repository", with_a_pipe)
    yield pipes
    for pipe in pipes:
        with contextlib.suppress(OSError):
            os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))


def checking_out(site: Site) -> list[str]:
    return [words for words in commands() if f"--work-tree={site.workspaces}" in words]


@pytest.mark.usefixtures("slow")
def test_a_checkout_that_takes_long_ends_with_an_interrupted_claim(
    gitea: DemoForge, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    context = context_of(site := make_site(gitea))
    tick_interrupted(context, monkeypatch, lambda: checking_out(site) != [])
    assert checking_out(site) == []
    assert "beside" not in [thread.name for thread in threading.enumerate()]
    assert list(site.workspaces.iterdir()) == []


def test_a_checkout_that_takes_long_ends_with_its_run(
    gitea: DemoForge, make_site: MakeSite, slow: list[Path]
) -> None:
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    context = context_of(site := make_site(gitea))
    is_over, was_in_time = threading.Event(), []

    def stop() -> None:
        assert wait_until(lambda: checking_out(site) != [] and context.claims.read() != {})
        (run,) = context.store.active()
        context.store.ask_to_stop(run.id, "ann changed her mind")
        was_in_time.append(is_over.wait(20))
        if not was_in_time[0]:
            os.close(os.open(slow[0], os.O_WRONLY))

    stopping = threading.Thread(target=stop)
    stopping.start()
    report = tick(context)
    is_over.set()
    stopping.join()
    assert was_in_time == [True]
    assert report.run is not None
    assert [(row["outcome"], row["detail"]) for row in site.rows()] == [("cancelled", "ann changed her mind")]
    assert checking_out(site) == []
    assert list(site.workspaces.iterdir()) == []


@pytest.mark.parametrize("why", ["large", "fails"])
def test_what_is_not_checked_out_so_soon_is_when_the_run_begins(
    gitea: DemoForge, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """A large tree may only be shown to the thread that works with it."""
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    context = context_of(site := make_site(gitea))
    made: list[str] = []

    def check_out(*_: object) -> None:
        made.append(threading.current_thread().name)
        raise SprintError("cannot make the workspace: the disk is full")

    monkeypatch.setattr("sprint.environment.check_out", check_out)
    if why == "large":
        monkeypatch.setattr("sprint.workspace.base_tree._FEWEST", 1)
    assert tick(context).run is not None
    assert [row["outcome"] for row in site.rows()] == ["pr_opened"]
    assert made == ([] if why == "large" else ["beside"])


def test_a_place_for_workspaces_that_is_none_is_told_in_a_sentence(
    gitea: DemoForge, make_site: MakeSite
) -> None:
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    site = make_site(gitea)
    site.workspaces.rmdir()
    site.workspaces.write_text("a file")
    done = site.sprint("run", REPO)
    assert done.returncode == 2
    assert done.stderr.count(f"cannot use {site.workspaces} for workspaces: File exists") == 1
    assert "defect" not in done.stderr


def test_what_is_checked_out_beside_a_claim_is_never_shown(
    gitea: DemoForge, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tree that was large and is small now may fit one that is kept."""
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    context = context_of(site := make_site(gitea))
    shown: list[str] = []
    monkeypatch.setattr(
        "sprint.workspace.base_tree.show",
        lambda *_: bool(shown.append(threading.current_thread().name)),  # type: ignore[func-returns-value]
    )
    assert tick(context).run is not None
    assert [row["outcome"] for row in site.rows()] == ["pr_opened"]
    assert "beside" not in shown


def test_an_interrupted_tick_leaves_no_fetch_running(
    gitea: DemoForge, make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    gitea.add_repo(REPO, FILES)
    gitea.add_issue(REPO, "double() is off by one", "double(2) must be 4.")
    context, mirror = context_of(site := make_site(gitea)), threading.Event()
    # Asked for before: how many claims there are, the claims and, as there are none, the branches.
    gitea.faults.append(Fault("git-upload-pack$", method="POST", skip=3, hang=60, call=mirror.set))
    tick_interrupted(context, monkeypatch, mirror.is_set)
    assert [words for words in commands() if f"{site.path}/cache/mirrors" in words] == []
    assert "beside" not in [thread.name for thread in threading.enumerate()]
