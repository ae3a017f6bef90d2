"""What a sandbox has is asked of it once, and again when a program changes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sprint import sandbox
from sprint.config import SandboxConfig
from sprint.domain import Completed, Workspace
from sprint.environment import tool_versions
from sprint.environment.tool_versions import tools, versions
from sprint.sandbox import Command


class Counting:
    """A sandbox that counts what is run in it."""

    kind = "bwrap"

    def __init__(self, config: SandboxConfig) -> None:
        self._box = sandbox.make(config)
        self.runs = 0

    def run(self, command: Command, workspace: Workspace) -> Completed:
        self.runs += 1
        return self._box.run(command, workspace)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A place for programs that a sandbox can show."""
    with tempfile.TemporaryDirectory(prefix="sprint-test-", dir="/var/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def program(folder: Path, name: str, says: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\necho '{says}'\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize("kind", ["bwrap", "none"])
def test_what_is_there_is_told_with_its_version(kind: Any, tmp_path: Path) -> None:
    config = SandboxConfig(kind=kind)
    found = versions(sandbox.make(config), config, tmp_path)
    assert found["python3"].startswith("3.")
    assert found["git"].startswith("2.")
    for name in found:
        assert name.startswith("python3") or shutil.which(name) or name == "go"
    told = tools(sandbox.make(config), config, tmp_path)
    assert told[0] == f"python and python3 {found['python3']}"
    assert f"git {found['git']}" in told
    assert ("rg" in found) is bool(shutil.which("rg", path="/usr/bin:/usr/local/bin"))


def test_it_is_asked_once_and_again_when_a_program_changes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {name: option for name, option in tool_versions._PROGRAMS.items() if name in ("git", "pnpm", "rg")}
    monkeypatch.setattr(tool_versions, "_PROGRAMS", few)  # all take a second each time
    (folder / "bin").mkdir()
    program(folder / "bin", "pnpm", "9.1.0")
    program(folder / "bin", "rg", "no version\there\n\n")
    config = SandboxConfig(readable=(str(folder),))
    box = Counting(config)
    cache = tmp_path / "cache"
    assert versions(box, config, cache)["pnpm"] == "9.1.0"  # type: ignore[arg-type]
    assert versions(box, config, cache)["rg"] == ""  # type: ignore[arg-type]
    assert box.runs == 1
    other = SandboxConfig()
    assert "pnpm" not in versions(Counting(other), other, cache)  # type: ignore[arg-type]
    program(folder / "bin", "pnpm", "10.2.0")
    os.utime(folder / "bin/pnpm", (1, 1))
    assert versions(box, config, cache)["pnpm"] == "10.2.0"  # type: ignore[arg-type]
    assert box.runs == 2
    (folder / "bin/pnpm").unlink()
    assert "pnpm" not in versions(box, config, cache)  # type: ignore[arg-type]
    assert box.runs == 3
    (cache / "tools.json").write_text('{"x": 3')
    versions(box, config, cache)  # type: ignore[arg-type]
    assert box.runs == 4


def test_a_cache_that_cannot_be_written_costs_only_the_question(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = SandboxConfig()
    assert versions(sandbox.make(config), config, tmp_path / "file")["git"]
