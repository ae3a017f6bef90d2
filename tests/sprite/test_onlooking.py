"""Sprites seen from here: what each does, all at once, and what an agent printed."""

from __future__ import annotations

import fcntl
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sprint.config import LocalBackendConfig
from sprint.domain import replace
from sprint.sprite import folders
from sprint.sprite.backend import Backend, Done, Sprite, SpriteState, Unreachable
from sprint.sprite.onlooking import Onlooker, Seen, install, look_at_all
from sprint.view.agent_log import pretty

AT = "2026-11-27T10:00:00.000Z"


class Fleet(folders.FolderBackend):
    """200 sprites whose probes end together: the last one lets all go on."""

    def __init__(self, number: int) -> None:
        super().__init__("fleet", "fleet", folders.LocalShell(Path("/nowhere")))
        self.at_once = 200
        self.gate = threading.Barrier(number)

    def exec(
        self,
        sprite: str,
        argv: Sequence[str],
        *,
        timeout: float,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
    ) -> Done:
        self.gate.wait(60)
        if sprite == "s7":
            raise Unreachable("fleet: s7 does not answer")
        return Done(0, b"1795773600\nasked\n{}", b"")


def test_200_sprites_are_asked_at_the_same_time() -> None:
    """Were one of them asked after another, the gate would never open."""
    sprites = [Sprite(f"s{number}", SpriteState.UP) for number in range(200)]
    seen = look_at_all(Fleet(200), sprites)
    assert [one.told() for one in seen[6:9]] == ["idle", "unreachable: fleet: s7 does not answer", "idle"]


def test_one_that_sleeps_is_not_woken() -> None:
    backend = Fleet(1)
    [seen] = look_at_all(backend, [Sprite("a", SpriteState.ASLEEP)])
    assert (seen.told(), backend.gate.n_waiting) == ("asleep", 0)


NOW = datetime(2026, 11, 27, 11, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (
            {"status": "running", "started_at": AT, "task": {"repo": "a/b"}},
            f"running a/b since {AT} (1 h 05 min)",
        ),
        (
            {"status": "running", "started_at": "2026-11-27T10:00:00"},
            "running since 2026-11-27T10:00:00 (1 h 05 min)",
        ),
        ({"status": "running", "started": "2026-11-27T12:00:00+01:00", "repo": "a/b"}, "(0 h 05 min)"),
        ({"status": "running", "started_at": "2026-11-27T11:06:00Z"}, "(0 h 00 min)"),
        ({"status": "stopped", "outcome": "completed", "started_at": AT}, f"stopped completed since {AT}"),
        ({"status": ["x"], "task": 4, "started": "noon"}, "['x'] since noon"),
    ],
)
def test_running_since_when(state: Mapping[str, object], told: str) -> None:
    seen = Seen(state, NOW).told()
    assert seen.endswith(told)


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    backend = folders.local("here", LocalBackendConfig(path=str(tmp_path / "sprites")))
    backend.create("bramble", {"managed_by": "sprint"})
    return backend


def test_a_supervisor_that_was_killed_is_not_running(backend: Backend) -> None:
    install(backend, "bramble")
    state = json.dumps({"status": "running", "started_at": AT, "task": {"repo": "a/b"}}).encode()
    backend.put("bramble", "workspace/b/.dispatch-prompt.md", b"Do it.")
    backend.put("bramble", "workspace/b/.bb-agent/state.json", state)
    out = io.StringIO()
    assert Onlooker(backend, out).status([]) == 0
    assert "stopped lost a/b since" in out.getvalue()


def test_one_whose_supervisor_has_written_nothing_yet_is_starting(backend: Backend) -> None:
    home = Path(backend.exec("bramble", ["pwd"], timeout=20).stdout.decode().strip())
    backend.put("bramble", "work/w/task/run", b"r1")
    backend.put("bramble", "work/w/repo/file", b"")
    backend.put("bramble", ".bb/workspace.json", json.dumps({"path": str(home / "work/w/repo")}).encode())
    backend.put("bramble", ".sprint/runs/r1/launch-0.lock", b"")
    with (home / ".sprint/runs/r1/launch-0.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        out = io.StringIO()
        assert Onlooker(backend, out).status([]) == 0
    assert out.getvalue().split() == ["bramble", "starting"]


def test_sprites_that_bb_made_are_read_where_bb_put_things(backend: Backend) -> None:
    backend.put("bramble", "other/STATUS.json", b'{"repo": "a/b", "status": "running"}')
    backend.put("bramble", "project/ralph.log", b"")
    backend.put("bramble", "project/STATUS.json", b'{"repo": "a/c", "status": "running", "mode": "ralph"}')
    out = io.StringIO()
    Onlooker(backend, out).status(["bramble"])
    assert "running a/c" in out.getvalue()


def test_an_agents_fields_are_told_or_given_as_json(backend: Backend) -> None:
    state = {"status": "stopped", "sprite": "x\x1b[2J", "restarts": 0, "task": {"repo": "a/b"}}
    backend.put("bramble", "project/.dispatch-prompt.md", b"Do it.")
    backend.put("bramble", "project/.bb-agent/state.json", json.dumps(state).encode())
    out = io.StringIO()
    Onlooker(backend, out).agent_status("bramble", as_json=False)
    assert "sprite:              x\n" in out.getvalue()
    assert "repo:                a/b\n" in out.getvalue()
    out = io.StringIO()
    Onlooker(backend, out).agent_status("bramble", as_json=True)
    assert json.loads(out.getvalue())["task"] == {"repo": "a/b"}


def test_where_no_agent_ever_was_a_program_is_told_so_too(backend: Backend) -> None:
    out = io.StringIO()
    Onlooker(backend, out).agent_status("bramble", as_json=True)
    assert json.loads(out.getvalue()) == {"sprite": "bramble", "status": "idle"}


def log(*records: object) -> str:
    return "".join(
        f"{AT} [stdout] {record if isinstance(record, str) else json.dumps(record)}\n" for record in records
    )


def test_an_agents_stream_in_words() -> None:
    call = {"type": "tool_use", "id": "t", "name": "Bash", "input": {"command": "ls"}}
    answer = {"type": "tool_result", "tool_use_id": "t", "content": "a\nb\nc\nd\n", "is_error": False}
    told = pretty(
        log(
            "plain words",
            {
                "type": "assistant",
                "message": {"id": "m", "content": [{"type": "text", "text": "Looking.\x1b]0;x\x07"}]},
            },
            {"type": "assistant", "message": {"id": "m", "content": [call]}},
            {"type": "user", "message": {"content": [answer]}},
            {"type": "result", "subtype": "success", "result": "all done"},
            {"type": "item.completed", "item": {"type": "agent_message", "id": "i", "text": "From codex."}},
            {"type": ["assistant"], "message": 4},
        )
    )
    assert told.splitlines()[:6] == [
        "10:00:00 plain words",
        "10:00:00 Looking.",
        '10:00:00 > Bash {"command":"ls"}'
        if '{"command":"ls"}' in told
        else '10:00:00 > Bash {"command": "ls"}',
        "10:00:00   | a",
        "           | b",
        "           | c",
    ]
    assert "and 1 lines more" in told
    assert "10:00:00 = done" in told
    assert "10:00:00 From codex." in told
    assert "\x1b" not in told


def test_what_an_agent_printed_does_nothing_to_a_terminal(tmp_path: Path) -> None:
    """`sprint agent logs` is a program by itself: it cleans what it writes to a terminal, and no other."""
    (tmp_path / ".bb-agent").mkdir()
    hostile = b"[stdout] a\x1b]52;c;Zm9v\x07b\x1b[2J\xc2\x9b31m\xe2\x80\xaec\r\n"
    (tmp_path / ".bb-agent/agent.log").write_bytes(hostile)
    argv = [sys.executable, "-m", "sprint", "agent", "logs", "--repo-dir", str(tmp_path)]
    ours, theirs = os.openpty()
    with subprocess.Popen(argv, stdout=theirs, stdin=theirs) as process:
        assert process.wait(60) == 0
    shown = os.read(ours, 4096)
    os.close(ours)
    os.close(theirs)
    assert shown.replace(b"\r\n", b"\n") == b"[stdout] abc\n"
    assert subprocess.run(argv, capture_output=True, timeout=60, check=True).stdout == hostile


def test_a_seen_sprite_is_a_value() -> None:
    assert replace(Seen({}, NOW), trouble="x").told() == "x"
