"""The 22 ways in which bb broke in the field: none of them can be brought about here.

One test each, named after what its operators saw.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sprint.config import LocalBackendConfig, SpritesBackendConfig
from sprint.domain import Grade, Secret
from sprint.sprite import examining, folders
from sprint.sprite.backend import Backend, Done, Sprite, SpriteState, Unreachable
from sprint.sprite.detector import Detector, Event, Silence
from sprint.sprite.onlooking import look
from sprint.sprite.sprites_dev import SpritesBackend
from sprint.sprite.supervisor.supervision import Supervisor
from sprint.sprite.visit import Visit
from tests.one_host import Host
from tests.servers.forge import DemoForge
from tests.servers.sprites_dev import SpritesDev
from tests.site import Site
from tests.sprite.dispatched import Make, said
from tests.sprite.dispatched import make as make  # a fixture
from tests.sprite.far_work import ticked_to_the_end
from tests.sprite.machine import LONG, Machine
from tests.waiting import wait_until
from tests.widgets import REPO


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def here(tmp_path: Path) -> Backend:
    backend = folders.local("here", LocalBackendConfig(path=str(tmp_path / "sprites")))
    backend.create("bramble", {"managed_by": "sprint"})
    return backend


def test_01_instant_false_success(machine: Machine) -> None:
    """Signals of the last task say nothing of this one."""
    for name in ("TASK_COMPLETE", "TASK_COMPLETE.md", "BLOCKED.md"):
        (machine.repo / name).write_text("of yesterday")
    machine.runs("exit 3", "--max-restarts", "0")
    assert (machine.state["outcome"], machine.state["exit_code"]) == ("failed", 3)


def test_02_waits_forever_for_a_signal_that_was_forgotten(machine: Machine) -> None:
    assert machine.runs("echo 2 >new.txt").returncode == 0
    assert (machine.state["outcome"], machine.state["has_work"]) == ("completed", True)


def test_03_zombies_survive(machine: Machine) -> None:
    """What left its session, its parent and its supervisor is found by its mark, and ended."""
    script = f"(setsid {LONG} &); echo begun; while true; do sleep 1; done"
    args = ("start", "--task-file", "-", "--agent-command", machine.agent(script))
    assert machine.call(*args).returncode == 0
    log = machine.repo / ".bb-agent/agent.log"
    assert wait_until(lambda: log.exists() and b"begun" in log.read_bytes())
    os.kill(machine.state["supervisor_pid"], signal.SIGKILL)
    assert machine.call("kill").stdout == "killed\n"
    assert not machine.alive(LONG)


def test_04_always_running(machine: Machine) -> None:
    """A pid file that names a living process of somebody else is not taken for the supervisor."""
    machine.runs("exit 0")
    state = json.loads((machine.repo / ".bb-agent/state.json").read_text()) | {"status": "running"}
    (machine.repo / ".bb-agent/state.json").write_text(json.dumps(state))
    bystander = subprocess.Popen(["sleep", "600"])
    pid_file = machine.repo / ".bb-agent/supervisor.pid"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    pid_file.write_text(json.dumps({"pid": bystander.pid, "started": "1", "boot": boot, "mark": "m"}))
    try:
        assert json.loads(machine.call("status", "--json").stdout)["outcome"] == "lost"
        machine.call("stop", "--timeout", "1s")
        pid_file.write_text(str(bystander.pid))
        machine.call("kill")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_05_work_that_could_not_be_pushed(make: Make, gitea: DemoForge, workspaces: Path) -> None:
    """Who pushes is the runner, and whether it may is asked first: not even a sprite is made."""
    site = make()
    gitea.grant(REPO, "sprint-bot", "read")
    error = said(site, "dispatch", "bramble", "x", "--repo", REPO, "--execute", code=3)
    assert "may not push" in error
    assert not (workspaces / "sprites").exists()


def test_06_two_dispatches_to_one_sprite(here: Backend) -> None:
    def reserve(number: int) -> bool:
        asked = {"run": f"run-{number}", "runner": "host", "seconds": 600}
        return bool(Visit(here, "bramble").ask("reserve", **asked)["held"])

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(reserve, range(8))) == 1


class Deaf(folders.FolderBackend):
    """A sprite behind a dead transport."""

    def __init__(self) -> None:
        super().__init__("deaf", "deaf", folders.LocalShell(Path("/nowhere")))
        self.asked = 0

    def exec(
        self,
        sprite: str,
        argv: Sequence[str],
        *,
        timeout: float,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
    ) -> Done:
        self.asked += 1
        raise Unreachable("deaf: bramble does not answer")


def test_07_empty_diagnostics() -> None:
    """One call, and what it says is that there was no answer."""
    backend = Deaf()
    assert look(backend, Sprite("bramble", SpriteState.UP)).told().startswith("unreachable: deaf")
    assert backend.asked == 1


def test_08_exit_0_with_nothing_done(make: Make) -> None:
    site = make(command="exit 0")
    told = site.sprint("sprite", "dispatch", "bramble", "Do it.", "--repo", REPO, "--wait", "--execute")
    assert (told.returncode, ": no_change" in told.stdout) == (1, True)


def test_09_old_commits_counted_as_success(machine: Machine) -> None:
    machine.git("commit", "-q", "--allow-empty", "-m", "Of the task before")
    machine.runs("exit 0")
    assert machine.state["has_work"] is False


@pytest.fixture
def cloud(workspaces: Path) -> Any:
    (workspaces / "cloud").mkdir()
    with SpritesDev(workspaces / "cloud") as service:
        service.create("bramble", [])

        def dead(_method: str, path: str) -> None:
            if path.endswith("/exec"):
                raise ConnectionError

        service.fault = dead
        yield service


def test_10_minutes_until_a_dead_sprite_is_noticed(make: Make, cloud: SpritesDev) -> None:
    """It is asked before anything is sent to it: nothing is left of the attempt."""
    site: Site = make(backend={"kind": "sprites", "base_url": cloud.url, "token_file": "sprite.token"})
    site._secret("sprite.token", cloud.token)
    error = said(site, "dispatch", "bramble", "x", "--repo", REPO, "--execute", code=6)
    assert error.count("\n") == 1
    assert site.runs() == []
    assert not [path for method, path in cloud.asked if "/fs/write" in path]


def test_11_warm_but_unreachable(cloud: SpritesDev) -> None:
    backend = SpritesBackend("cloud", SpritesBackendConfig(base_url=cloud.url), Secret(cloud.token))
    assert backend.state("bramble") is SpriteState.UP
    told = look(backend, Sprite("bramble", SpriteState.UP)).told()
    assert told.startswith("unreachable: cloud: cannot run sh on bramble")


def test_12_a_heartbeat_hides_a_hung_agent() -> None:
    watch = Detector(Silence(warn=30, stop=60), 0.0)
    for at in range(0, 120, 5):
        watch.saw(Event("heartbeat", at))
    assert "nothing was done or said for 60 s" in watch.quiet(60.0).stop


def test_13_a_timeout_of_a_second_takes_five_minutes(machine: Machine) -> None:
    """The whole time caps each iteration's, and the grace is what was asked for."""
    began = time.monotonic()
    asked = ("--ralph", "--timeout", "1s", "--iteration-timeout", "15m", "--shutdown-grace", "100ms")
    machine.runs("trap '' TERM; while true; do sleep 1; done", *asked)
    assert (machine.state["outcome"], machine.state["iteration"]) == ("timeout", 1)
    assert time.monotonic() - began < 60


def test_14_an_agent_that_ended_is_restarted_forever(machine: Machine) -> None:
    machine.runs("exit 0")
    machine.runs("exit 1", "--max-restarts", "1")
    assert len(machine.events("agent.started")) == 1 + 2


def test_15_a_real_pull_request_is_marked_failed(
    make_host: Callable[..., Host], gitea: DemoForge, workspaces: Path
) -> None:
    """What goes wrong when the sprite is given back comes after the outcome, and changes nothing of it."""
    (workspaces / "sprite.token").write_text("sprite-token-1234567890")
    (workspaces / "sprite.token").chmod(0o600)
    with SpritesDev(workspaces) as service:
        token_file = str(workspaces / "sprite.token")
        host = make_host(backend={"kind": "sprites", "base_url": service.url, "token_file": token_file})
        host.tick()
        service.checkpoint_events = [{"type": "error", "error": "disk full"}]
        ticked_to_the_end(host)
    assert host.outcomes() == ["pr_opened"], host.run()
    assert len(gitea.pulls(REPO)) == 1


def test_16_twenty_dispatches_of_one_issue(make_host: Callable[..., Host], gitea: DemoForge) -> None:
    """A pull request that is open holds its issue, on every host."""
    host = make_host()
    host.tick()
    ticked_to_the_end(host)
    other = make_host("two")
    for one in (host, other, host, other):
        assert one.tick() == 0
    assert (len(list(host.store.all())), list(other.store.all())) == (1, [])
    assert len(gitea.pulls(REPO)) == 1


def test_17_agents_merge_their_own_pull_requests(make: Make, gitea: DemoForge, workspaces: Path) -> None:
    """No prompt keeps them from it: there is nothing on the sprite that a forge would take."""
    site = make(command="env >env.txt; git remote -v >remote.txt; git config -l >config.txt; echo x >x.txt")
    said(site, "dispatch", "bramble", "x", "--repo", REPO, "--wait", "--execute")
    found = subprocess.run(
        ["grep", "-rl", gitea.token, workspaces / "sprites"], capture_output=True, text=True
    )
    assert found.stdout == ""
    [remote] = (workspaces / "sprites").glob("bramble/home/work/*/repo/remote.txt")
    assert remote.read_text() == ""


def test_18_keys_in_process_arguments(machine: Machine) -> None:
    secret = "limited-key-of-the-sprite"
    env_file = machine.folder / "agent.env"
    env_file.write_text(f"ANTHROPIC_AUTH_TOKEN={secret}\n")
    env_file.chmod(0o600)
    script = f'echo "$ANTHROPIC_AUTH_TOKEN" >"{machine.folder}/seen"; {LONG}'
    args = (
        "start",
        "--task-file",
        "-",
        "--env-file",
        str(env_file),
        "--agent-command",
        machine.agent(script),
    )
    assert machine.call(*args).returncode == 0
    try:
        seen = machine.folder / "seen"
        assert wait_until(lambda: seen.exists() and seen.read_text() == f"{secret}\n")
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                assert secret.encode() not in path.read_bytes()
            except OSError:
                continue
        written = subprocess.run(["grep", "-rl", secret, machine.repo], capture_output=True, text=True)
        assert written.stdout == ""
    finally:
        machine.call("stop", "--timeout", "1s")


def test_19_a_reset_wipes_work_that_was_not_pushed(here: Backend, tmp_path: Path) -> None:
    """What nobody collected is put aside before the next task's checkout takes its place."""
    source = tmp_path / "source"
    git = ["git", "-C", str(source)]
    subprocess.run(["git", "init", "-q", "-b", "main", str(source)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "Begin"], check=True)
    base = subprocess.run(
        [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    subprocess.run([*git, "update-ref", "refs/sprint/base", base], check=True)
    made = subprocess.run(
        [*git, "bundle", "create", "-q", "-", "refs/sprint/base"], capture_output=True, check=True
    )
    for run in ("one", "two"):
        here.put("bramble", f".sprint/runs/{run}/part-0000", made.stdout)
        asked = {"run": run, "slug": "a--b", "base": base, "branch": "work", "parts": 1, "uid": None}
        Visit(here, "bramble").ask("unpack", **asked)
        if run == "one":
            here.put("bramble", "work/a--b/repo/hours.txt", b"of work\n")
    kept = here.exec("bramble", ["sh", "-c", "cat .sprint/rescued/one.*/repo/hours.txt"], timeout=60)
    assert kept.stdout == b"of work\n"


def test_20_quick_exits_burn_tokens_all_night() -> None:
    """The third within two minutes: two minutes of rest, then four, up to thirty."""
    one = Supervisor.__new__(Supervisor)
    one._exits, one._breaks = [], 0
    one._set = SimpleNamespace(restart_delay=5.0)  # type: ignore[assignment]
    told = [one._pause_before_restart(number) for number in range(1, 9)]
    assert told == [5.0, 10.0, 120.0, 240.0, 480.0, 960.0, 1800.0, 1800.0]


def test_21_a_green_check_with_dead_credentials() -> None:
    """That there is a key is no finding: what the server says to it is."""
    found = examining.judged("worker far model", "bramble", "https://model.example/v1", "401")
    assert (found.grade, "refuses the key" in found.says) == (Grade.FAULT, True)


def test_22_times_of_utc_read_as_local_ones() -> None:
    """Where no zone is named, and wherever this machine is."""
    code = """
import os, time; os.environ["TZ"] = "America/Los_Angeles"; time.tzset()
from datetime import UTC, datetime
from sprint.sprite.onlooking import Seen
at = datetime(2026, 11, 27, 10, 30, tzinfo=UTC)
print(Seen({"status": "running", "started": "2026-11-27T10:00:00"}, at).told())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "running since 2026-11-27T10:00:00 (0 h 30 min)\n"
