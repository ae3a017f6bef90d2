"""sprites.dev at its worst, by its unmodified SDK, and what comes back from sprites that nobody can trust."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sprites import websocket

from sprint.config import LocalBackendConfig
from sprint.domain import Outcome, Phase
from sprint.sprite import sprites_dev
from sprint.worker import Job
from sprint.worker.sprite import returning
from sprint.worker.sprite.ground import Ground
from sprint.worker.sprite.note import Note
from tests.detached import Clock
from tests.one_host import Host
from tests.servers.forge import DemoForge
from tests.servers.sprites_dev import SpritesDev
from tests.waiting import wait_until
from tests.widgets import CHECK, REPO
from tests.worker.conftest import Bench
from tests.worker.conftest import bench as bench  # a fixture

FIX = (
    f"sed -i 's/n + n + 1/n + n/' widgets.py && {CHECK} 2>/dev/null; echo Done. >\"$SPRINT_SUMMARY\"; "
    "echo started >>../home/starts"
)


@pytest.fixture
def service(workspaces: Path) -> Iterator[SpritesDev]:
    with SpritesDev(workspaces) as service:
        (workspaces / "sprite.token").write_text(service.token)
        (workspaces / "sprite.token").chmod(0o600)
        yield service


@pytest.fixture
def host(
    make_host: Callable[..., Host], service: SpritesDev, workspaces: Path, monkeypatch: pytest.MonkeyPatch
) -> Host:
    monkeypatch.setattr(sprites_dev, "_PAUSE", 0.01)
    token = str(workspaces / "sprite.token")
    return make_host(backend={"kind": "sprites", "base_url": service.url, "token_file": token}, command=FIX)


def test_in_a_storm_there_is_one_row_and_one_pull_request(
    host: Host,
    make_host: Callable[..., Host],
    service: SpritesDev,
    gitea: DemoForge,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Connections cut, 500, 429, handshakes that take too long, output dropped in mid-command, again and
    again; the sprite sleeps, and a second host ticks."""
    kinds = itertools.cycle(["drop", 500, 429, "mid-exec", "slow"])
    monkeypatch.setattr("sprites.websocket.connect", partial(websocket.connect, open_timeout=0.5))
    token = str(host.site.path.parent / "sprite.token")
    other = make_host(
        "two", backend={"kind": "sprites", "base_url": service.url, "token_file": token}, command=FIX
    )
    asked, over = itertools.count(1), threading.Event()

    def fault(method: str, path: str) -> Any:
        service.drop_exec_after = None
        if next(asked) % 23:
            return None
        kind = next(kinds)
        if kind == "drop":
            raise ConnectionError
        if kind == "mid-exec":
            service.drop_exec_after = 0
            return None
        if kind == "slow":
            over.wait(1.0)  # for the handshake of a command, and not for more than that
            return None
        return kind, {"Retry_After": "1"}, b'{"error": "not now"}'

    service.fault = fault

    def settled() -> bool:
        assert host.tick() in (0, 2, 6)
        assert other.tick() in (0, 2, 6)
        for box in service.boxes.values():
            box.status = "cold"
        return bool(host.outcomes())

    assert wait_until(settled)
    assert next(kinds) != "drop", "there were faults"
    assert (host.outcomes(), other.outcomes()) == (["pr_opened"], []), host.run()
    assert len(gitea.pulls(REPO)) == 1
    (box,) = service.boxes.values()
    starts = (box.home / "work/acme--widgets/home/starts").read_text().split()
    assert len(starts) == 1, "no launch began twice"


def test_a_sprite_that_vanished_costs_the_run_and_not_the_issue(
    host: Host, service: SpritesDev, gitea: DemoForge, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    host.tick()
    (name,) = service.boxes
    shutil.rmtree(service.boxes.pop(name).home)
    assert host.tick() == 0
    assert host.run().phase is Phase.WORKING, "it may be back"
    clock.forward(hours=3)
    gitea.close_issue(REPO, 1)  # so that no further run begins
    gitea.reopen_issue(REPO, 1)
    host.tick()
    row = host.site.rows()[0]
    assert row["outcome"] == "worker_lost"
    assert gitea.pulls(REPO) == []
    assert not Outcome.WORKER_LOST.facts.counts


def test_a_refused_token_is_said_before_an_issue_is_claimed(
    host: Host, service: SpritesDev, caplog: pytest.LogCaptureFixture
) -> None:
    service.token = "another"
    assert host.tick() == 6
    assert "the token is refused" in caplog.text
    assert list(host.store.all()) == []


# --- what comes back


def git(folder: Path, *argv: str, stdin: bytes = b"") -> str:
    done = subprocess.run(["git", "-C", str(folder), *argv], check=True, capture_output=True, input=stdin)
    return done.stdout.decode().strip()


def bundle_of(repository: Path, base: str, tree: str) -> bytes:
    """As our own export would write it, of any tree."""
    work = git(repository, "commit-tree", tree, "-p", base, "-m", "work")
    listed = git(repository, "rev-list", "--objects", "--no-object-names", work, f"^{base}")
    pack = subprocess.run(
        ["git", "-C", str(repository), "pack-objects", "--stdout", "-q", "--window=0"],
        input=listed.encode() + b"\n",
        check=True,
        capture_output=True,
    ).stdout
    return f"# v2 git bundle\n-{base} base\n{work} refs/heads/work\n\n".encode() + pack


@pytest.fixture
def repository(bench: Bench, tmp_path: Path) -> Path:
    """A copy of the run's, as an agent would have it."""
    copy = tmp_path / "agents"
    return Path(shutil.copytree(bench.job.workspace.checkout, copy))


def fetched(job: Job, bundle: bytes) -> str:
    """Why the bundle is refused, "" where it is let in."""

    class There:
        sprite = "bramble"
        backend: Any

        def ask(self, errand: str, **args: Any) -> dict[str, Any]:
            return {"refused": ""}

        def get(self, sprite: str, path: str, *, cap: int) -> bytes:
            return bundle

    visit: Any = There()
    visit.backend = visit
    note = Note(sprite="bramble", home="/home/sprite")
    section = LocalBackendConfig(path="/x", sandbox="none")
    return str(returning.fetch(job, visit, Ground.of(job, note, section), note)["refused"])


def blob(repository: Path, text: bytes) -> str:
    return git(repository, "hash-object", "-w", "--stdin", stdin=text)


def test_a_sound_bundle_makes_the_checkout_what_the_agents_was(bench: Bench, repository: Path) -> None:
    base = bench.job.run.base_sha
    for text, other in ((b"one\n", "a"), (b"two\n", "b")):
        tree = git(repository, "mktree", stdin=f"100644 blob {blob(repository, text)}\t{other}\n".encode())
        bench.file("left-by-set-up").write_text("x")
        assert fetched(bench.job, bundle_of(repository, base, tree)) == ""
        assert bench.file(other).read_bytes() == text
        assert sorted(path.name for path in bench.job.workspace.checkout.iterdir()) == [".git", other]


@pytest.mark.parametrize(
    "entry", [".git", ".GIT", "..", "git~1"], ids=["its git", "in capitals", "above", "by its short name"]
)
def test_a_tree_that_reaches_out_is_refused(bench: Bench, repository: Path, entry: str) -> None:
    base = bench.job.run.base_sha
    hook = git(
        repository, "mktree", stdin=f"100755 blob {blob(repository, b'evil')}\tpost-checkout\n".encode()
    )
    data = b"40000 " + entry.encode() + b"\0" + bytes.fromhex(hook)
    tree = git(repository, "hash-object", "-t", "tree", "-w", "--stdin", "--literally", stdin=data)
    assert "cannot be unpacked" in fetched(bench.job, bundle_of(repository, base, tree))
    assert [path.name for path in bench.job.workspace.checkout.iterdir()] == [".git"]
    assert not (bench.job.workspace.checkout / ".git/post-checkout").exists()


def test_what_is_no_bundle_of_ours_is_refused(bench: Bench, repository: Path) -> None:
    base = bench.job.run.base_sha
    empty = git(repository, "mktree")
    good = bundle_of(repository, base, empty)
    for spoiled in (b"", b"garbage", good[:-30], good.replace(base.encode(), b"0" * 40, 1)):
        assert "not as it should be" in fetched(bench.job, spoiled)
    assert fetched(bench.job, good) == ""
