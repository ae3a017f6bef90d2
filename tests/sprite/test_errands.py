"""What a runner has done on a sprite, on each kind of backend: whose it is, what works, what returns."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sprint.sprite import errands, folders
from sprint.sprite.backend import Backend, Failed, Refused
from sprint.sprite.visit import Visit
from sprint.workspace.importing import ENVIRONMENT, EXPORT
from tests.servers.sshd import sshd
from tests.sprite.some_backend import made
from tests.waiting import wait_until

RUN, SLUG = "20261127T100000Z-acme-widgets-1-0000abcd", "acme--widgets"
OF = {"run": RUN, "slug": SLUG}


@pytest.fixture(params=["local", pytest.param("ssh", marks=pytest.mark.machine), "sprites"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    with made(request.param, tmp_path / "backend") as backend:
        backend.create("bramble", {})
        yield backend


@pytest.fixture
def visit(backend: Backend) -> Visit:
    return Visit(backend, "bramble")


@pytest.fixture(params=["local", "sprites"])
def one(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Visit]:
    """Folders are alike, and what ssh adds costs a second a word."""
    with made(request.param, tmp_path / "backend") as backend:
        backend.create("bramble", {})
        yield Visit(backend, "bramble")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Visit]:
    """Where it does not matter which kind of backend that is."""
    with made("local", tmp_path / "backend") as backend:
        backend.create("bramble", {})
        yield Visit(backend, "bramble")


def git(folder: Path, *argv: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *argv], check=True, capture_output=True, text=True
    ).stdout


def commit(folder: Path, text: str) -> str:
    if not folder.exists():
        git(folder.parent, "init", "-q", str(folder))
    (folder / "widgets.py").write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", text)
    return git(folder, "rev-parse", "HEAD").strip()


def sent(visit: Visit, source: Path, base: str, run: str = RUN, *known: str) -> None:
    git(source, "update-ref", "refs/sprint/base", base)
    bundle = source.parent / "base.bundle"
    git(source, "bundle", "create", "-q", str(bundle), "refs/sprint/base", *(f"^{one}" for one in known))
    half = bundle.stat().st_size // 2
    for number, part in enumerate((bundle.read_bytes()[:half], bundle.read_bytes()[half:])):
        visit.backend.put(visit.sprite, f".sprint/runs/{run}/part-{number:04}", part)
    visit.ask("unpack", run=run, slug=SLUG, base=base, branch="feat/issue-1", parts=2)


def launched(visit: Visit, script: str, number: int = 0, **more: Any) -> dict[str, Any]:
    args = {"cwd": f"work/{SLUG}/repo", "fresh": [], "task": {}, "seconds": 600, "callback": "", **more}
    args = {"confine": {"words": []}, **args}
    return visit.ask("launch", **OF, number=number, argv=["sh", "-c", script], **args)


def collected(visit: Visit, base: str, **more: Any) -> dict[str, Any]:
    return visit.ask(
        "collect",
        **OF,
        number=0,
        base=base,
        cwd=f"work/{SLUG}/repo",
        confine={"words": []},
        script=EXPORT.read_text(),
        env={**ENVIRONMENT, "HOME": "/"},
        most=[100, 1_000_000],
        patterns=["/.bb-agent"],
        seconds=60,
        **more,
    )


def has_ended(visit: Visit, number: int = 0) -> bool:
    return wait_until(lambda: not visit.ask("look", **OF, number=number)["alive"])


def in_checkout(visit: Visit, script: str) -> str:
    done = visit.backend.exec(visit.sprite, ["sh", "-c", f"cd work/{SLUG}/repo && {script}"], timeout=60)
    assert done.exit_code == 0, done.stderr
    return done.stdout.decode()


def test_a_run_from_its_repository_to_its_result(visit: Visit, tmp_path: Path) -> None:
    base = commit(tmp_path / "source", "one\n")
    assert visit.ask("have", **OF) == {"commits": [], "unpacked": False}
    sent(visit, tmp_path / "source", base)
    assert in_checkout(
        visit, "git rev-parse HEAD; git symbolic-ref --short HEAD; cat widgets.py"
    ).split() == [
        base,
        "feat/issue-1",
        "one",
    ]
    assert visit.ask("have", **OF) == {"commits": [base], "unpacked": True}
    script = "echo two >widgets.py; echo new >new.txt; mkdir .bb-agent; echo x >.bb-agent/state.json"
    assert launched(visit, script) == {"began": True}
    assert launched(visit, "echo again >again") == {"began": False}
    assert has_ended(visit)
    assert visit.ask("look", **OF, number=0)["ended"]["code"] == 0
    assert collected(visit, base)["refused"] == ""
    bundle = visit.backend.get(visit.sprite, f".sprint/runs/{RUN}/result.bundle")
    (tmp_path / "result.bundle").write_bytes(bundle)
    git(tmp_path / "source", "fetch", "-q", str(tmp_path / "result.bundle"), "refs/heads/work")
    changes = git(tmp_path / "source", "diff", "--name-status", base, "FETCH_HEAD").split()
    assert changes == ["A", "new.txt", "M", "widgets.py"]


def test_only_what_is_missing_is_sent_the_second_time(here: Visit, tmp_path: Path) -> None:
    source = tmp_path / "source"
    first = commit(source, "one\n")
    sent(here, source, first)
    here.ask("collected", **OF)
    second = commit(source, "two\n")
    sent(here, source, second, "another", first)
    assert in_checkout(here, "git rev-parse HEAD").strip() == second
    assert in_checkout(here, "git log --format=%s").split() == ["two", "one"]


def test_a_bundle_of_another_commit_is_refused(here: Visit, tmp_path: Path) -> None:
    first = commit(tmp_path / "source", "one\n")
    with pytest.raises(Failed):
        here.ask("unpack", **OF, base="0" * 39 + "1", branch="b", parts=0)
    with pytest.raises(Failed):
        here.ask("unpack", **OF, base=first, branch="b", parts=0)
    assert not here.ask("have", **OF)["unpacked"]


def test_what_nobody_collected_is_put_aside_and_not_wiped(here: Visit, tmp_path: Path) -> None:
    """Bitterblossom's failure 19: a workspace reset wiped unpushed work."""
    base = commit(tmp_path / "source", "one\n")
    sent(here, tmp_path / "source", base)
    in_checkout(here, "echo precious >only-here")
    sent(here, tmp_path / "source", base, "second")
    done = here.backend.exec(here.sprite, ["sh", "-c", "cat .sprint/rescued/*/repo/only-here"], timeout=60)
    assert done.stdout == b"precious\n"
    assert in_checkout(here, "git status --porcelain") == ""


def test_one_run_has_a_sprite_and_its_time_is_over_by_the_sprites_clock(one: Visit) -> None:
    """Bitterblossom's failure 6: two dispatches to one sprite."""
    assert one.ask("reserve", run="a", runner="x", seconds=600) == {"held": True}
    assert one.ask("reserve", run="a", runner="x", seconds=600) == {"held": True}
    refused = one.ask("reserve", run="b", runner="y", seconds=600)
    assert (refused["held"], refused["run"], refused["runner"]) == (False, "a", "x")
    one.ask("free", run="b")
    assert one.ask("probe", programs=[])["reservation"]["run"] == "a"
    first = one.backend.checkpoint(one.sprite)
    one.backend.restore(one.sprite, first.id)
    assert one.ask("probe", programs=[])["reservation"]["run"] == "a", "no checkpoint holds it"
    one.ask("reserve", run="a", runner="x", seconds=-1)
    assert one.ask("reserve", run="b", runner="y", seconds=600) == {"held": True}
    one.ask("free", run="b")
    assert one.ask("probe", programs=[])["reservation"] is None


def test_a_clock_that_is_set_is_nobodys_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only after the machine was started anew is there nothing else to go by."""
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    now = time.time()
    errands.reserve({"run": "a", "runner": "x", "seconds": 600})
    for moved in (-86400, 86400):
        monkeypatch.setattr(time, "time", lambda moved=moved: now + moved)
        told = errands.reserve({"run": "b", "runner": "y", "seconds": 600})
        assert (told["held"], 500 < told["seconds_left"] <= 600) == (False, True)
    monkeypatch.setattr(errands, "_boot", lambda: "another")
    assert errands.reserve({"run": "b", "runner": "y", "seconds": 600}) == {"held": True}


@pytest.mark.machine
@pytest.mark.skipif(os.getuid() != 0, reason="mounts a small disk")
def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    with sshd(tmp_path / "ssh", disk="16m") as server:
        visit = Visit(folders.ssh("there", server.config), "bramble")
        visit.backend.create("bramble", {})
        base = commit(tmp_path / "source", "one\n")
        sent(visit, tmp_path / "source", base)
        visit.backend.put("bramble", "kept", b"1")
        in_checkout(visit, "echo two >widgets.py; cat /dev/zero >../tmp/full || true")
        for asked in (
            lambda: visit.backend.put("bramble", "kept", b"2" * 1_000_000),
            lambda: visit.ask("reserve", run="a", runner="x", seconds=600),
            lambda: collected(visit, base),
        ):
            with pytest.raises(Refused, match=r"(?i)no space left"):
                asked()
        in_checkout(visit, "rm ../tmp/full")
        assert visit.backend.get("bramble", "kept") == b"1"
        assert collected(visit, base)["refused"] == ""


def test_of_many_at_once_one_gets_it(here: Visit) -> None:
    here.ask("reserve", run="stale", runner="x", seconds=-1)
    with ThreadPoolExecutor(8) as pool:
        told = list(
            pool.map(lambda run: here.ask("reserve", run=run, runner="x", seconds=600), map(str, range(8)))
        )
    assert [one["held"] for one in told].count(True) == 1
    (winner,) = [run for run, one in enumerate(told) if one["held"]]
    assert {one["run"] for one in told if not one["held"]} == {str(winner)}


def test_stop_reaches_all_that_was_begun(one: Visit, tmp_path: Path) -> None:
    """Bitterblossom's failure 3: zombies survive."""
    sent(one, tmp_path / "source", commit(tmp_path / "source", "one\n"))
    script = "trap '' TERM; (setsid sh -c 'trap \"\" TERM; echo $$ >../tmp/deep; sleep 600' &); sleep 600"
    launched(one, script)
    assert wait_until(lambda: "1" in in_checkout(one, "test -s ../tmp/deep && echo 1 || true"))
    assert one.ask("stop", timeout=60, **OF, number=0, grace=0.2) == {"was_alive": True}
    assert not one.ask("look", **OF, number=0)["alive"]
    state = in_checkout(one, "ps -o stat= -p $(cat ../tmp/deep) || true").strip()
    assert state[:1] in ("", "Z")
    assert one.ask("stop", timeout=60, **OF, number=0, grace=0.2) == {"was_alive": False}


def test_one_that_was_killed_is_over_and_is_not_begun_again(here: Visit, tmp_path: Path) -> None:
    """A machine that went down while it worked: neither running for ever nor run twice."""
    sent(here, tmp_path / "source", commit(tmp_path / "source", "one\n"))
    script = "(sleep 600; true) & echo $! >../tmp/deep; while [ ! -e ../tmp/go ]; do sleep 0.05; done"
    launched(here, f"{script}; kill -9 $PPID; sleep 600")
    in_checkout(here, "touch ../tmp/go")
    assert has_ended(here)
    seen = here.ask("look", **OF, number=0)
    assert (seen["launched"], seen["ended"]) == (True, {})
    assert launched(here, "echo twice >twice") == {"began": False}
    here.ask("stop", **OF, number=0, grace=0.2)
    assert in_checkout(here, "ps -o stat= -p $(cat ../tmp/deep) || true").strip()[:1] in ("", "Z")


@pytest.mark.parametrize(
    ("limit", "script"),
    [
        ("disk", "head -c 30000000 /dev/zero >../tmp/large"),
        (
            "files",
            "for i in $(seq 30); do sh -c 'sleep 600; echo on' & done; cd ../tmp; touch $(seq 100)",
        ),
        ("memory", "(python3 -c 'import time; held = b\"x\" * 60_000_000; time.sleep(600)' &)"),
    ],
)
def test_all_that_was_begun_has_so_much_together(
    here: Visit, tmp_path: Path, limit: str, script: str
) -> None:
    sent(here, tmp_path / "source", commit(tmp_path / "source", "one\n"))
    most = {"memory": 40_000_000, "disk": 20_000_000, "files": 50 + 20}
    launched(here, f"{script}; sleep 600", confine={"words": [], "most": most})
    assert has_ended(here)
    said = here.backend.get(here.sprite, f".sprint/runs/{RUN}/launch-0.log")
    assert said == f"ended by its limit: {limit}\n".encode()


HOSTILE = {
    "its state is a link to a secret": "mkdir .bb-agent; ln -s $SECRET .bb-agent/state.json",
    "the folder of its state is one": "ln -s $(dirname $SECRET) .bb-agent",
    "its state is a pipe": "mkdir .bb-agent; mkfifo .bb-agent/state.json",
    "its summary is one": "mkfifo ../tmp/handover/summary.md; ln -s $SECRET ../tmp/handover/question.md",
    "its state is no JSON": "mkdir .bb-agent; echo '[1' >.bb-agent/state.json",
    "its state is a gigabyte": "mkdir .bb-agent; truncate -s 1G .bb-agent/state.json",
    "its git runs a program": "git config core.fsmonitor 'cat $SECRET >stolen #'; echo two >widgets.py",
    "its repository is gone": "rm -rf .git; ln -s / .git",
}


@pytest.mark.parametrize("script", HOSTILE.values(), ids=HOSTILE.keys())
def test_nothing_is_read_by_what_an_agent_left(here: Visit, tmp_path: Path, script: str) -> None:
    secret = tmp_path / "secret" / "state.json"
    secret.parent.mkdir()
    secret.write_text('{"outcome": "a secret"}')
    base = commit(tmp_path / "source", "one\n")
    sent(here, tmp_path / "source", base)
    in_checkout(here, f"SECRET={secret}; {script}")
    assert here.ask("look", **OF, number=0)["state"] == {}
    told = collected(here, base)
    assert told["state"] == {}
    assert "a secret" not in str(told)
    assert not in_checkout(here, "ls stolen 2>/dev/null || true")


def test_a_tree_that_cannot_be_handed_over_is_said_so(here: Visit, tmp_path: Path) -> None:
    base = commit(tmp_path / "source", "one\n")
    sent(here, tmp_path / "source", base)
    in_checkout(here, "for i in $(seq 200); do echo $i >new$i; done")
    assert "more than 100 new files" in collected(here, base)["refused"]
