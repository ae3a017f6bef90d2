"""`sprint sprite`, by the command line, on the backend that needs nothing but a folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from sprint.sprite import on_machine
from tests.waiting import wait_until

Say = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def say(tmp_path: Path) -> Say:
    (tmp_path / "sprint.yaml").write_text(
        yaml.safe_dump({"backends": {"here": {"kind": "local", "path": "sprites"}}})
    )

    def run(*args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "sprint", "sprite", *args]
        return subprocess.run(argv, cwd=tmp_path, input=stdin, capture_output=True, text=True, timeout=120)

    return run


def test_a_sprite_by_hand(say: Say, tmp_path: Path) -> None:
    none = say("list")
    assert (none.returncode, none.stdout) == (0, "")
    assert none.stderr == "sprint: here has no sprite; `sprint sprite provision NAME` makes one\n"
    assert say("provision", "bramble", "--label", "persona=bramble").stdout == "bramble is there\n"
    assert "managed_by=sprint persona=bramble" in say("list").stdout
    (tmp_path / "here.txt").write_text("hello\n")
    assert say("put", "bramble", "here.txt", "a/there.txt").returncode == 0
    told = say("exec", "bramble", "--", "sh", "-c", "cat a/there.txt -; exit 7", stdin="and more\n")
    assert (told.returncode, told.stdout) == (7, "hello\nand more\n")
    assert say("checkpoint", "bramble", "--comment", "clean").stdout == "bramble: v1\n"
    say("exec", "bramble", "--", "rm", "-r", "a")
    assert "clean" in say("checkpoints", "bramble").stdout
    held = tmp_path / "sprites/bramble/.sprint-reservation"
    held.mkdir()
    (held / "about.json").write_text(json.dumps({"run": "run-7", "until": time.time() + 60}))
    assert "bramble has run run-7, whose work is there" in say("restore", "bramble", "v1").stderr
    assert "or say --force" in say("destroy", "bramble", "--yes").stderr
    assert say("restore", "bramble", "v1", "--force").returncode == 0
    shutil.rmtree(held)
    assert say("get", "bramble", "a/there.txt", "back.txt").returncode == 0
    assert (tmp_path / "back.txt").read_text() == "hello\n"
    assert "say so with --yes" in say("destroy", "bramble").stderr
    assert say("destroy", "bramble", "--yes").returncode == 0
    gone = say("exec", "bramble", "--", "true")
    assert (gone.returncode, gone.stderr) == (6, "sprint: this machine: there is no sprite bramble\n")
    audit = [json.loads(line) for line in (tmp_path / "results/sprites.jsonl").read_text().splitlines()]
    assert [line["did"] for line in audit] == ["create", "restore", "destroy"]


def test_an_agent_on_a_sprite_is_watched_from_here(say: Say, tmp_path: Path) -> None:
    long = f"sleep 4715.{os.getpid()}"
    say("provision", "bramble")
    assert say("status").stdout == f"{'bramble':24} idle\n"
    (tmp_path / on_machine.PROGRAM).write_bytes(on_machine.content(on_machine.PROGRAM))
    say("put", "bramble", on_machine.PROGRAM, f".sprint/{on_machine.PROGRAM}")
    say("exec", "bramble", "--", "mkdir", "-p", "workspace/widgets")
    supervisor = (
        'cd workspace/widgets && python3 "$HOME/.sprint/supervisor.pyz" start --task-file - --task-repo a/b'
    )
    begun = say(
        *("exec", "bramble", "--", "sh", "-c"),
        f"{supervisor} --agent-command 'sh -c \"echo hello; exec {long}\"'",
        stdin="Do it.",
    )
    assert begun.returncode == 0, begun.stderr
    assert wait_until(lambda: "[stdout] hello" in say("logs", "bramble", "--raw").stdout)
    assert say("logs", "bramble").stdout.endswith(" hello\n")
    assert "running a/b since" in say("status").stdout
    assert '"event": "agent.started"' in say("events", "bramble").stdout
    agent = [sys.executable, "-m", "sprint", "agent"]
    told = subprocess.run(
        [*agent, "status", "--sprite", "bramble", "--json"], cwd=tmp_path, capture_output=True, timeout=60
    )
    assert json.loads(told.stdout)["status"] == "running"
    assert say("stop", "bramble").stdout == "bramble: stopped\n"
    assert say("kill", "bramble").stdout == "bramble: no supervisor runs here\n"
    assert "stopped stopped a/b" in say("status", "bramble").stdout
    assert subprocess.run(["pgrep", "-f", long], capture_output=True).returncode == 1


def test_without_a_backend_it_says_how(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "sprint", "sprite", "list"]
    told = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)
    assert "backends:" in told.stderr
