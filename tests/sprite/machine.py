"""A machine on which the supervisor watches agents: one file copied, and a repository."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from sprint.sprite import on_machine

PYTHON = shutil.which("python3") or sys.executable
# Of these tests alone, also beside others of the same file; of one length, for its beginning is looked for.
LONG = f"sleep 4711.{os.getpid():08}"
QUICK = ("--progress-interval", "100ms", "--heartbeat-interval", "200ms", "--restart-delay", "10ms")


class Machine:
    """A folder with the packed program, and a repository beside it in which agents work."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / on_machine.PROGRAM
        self.program.write_bytes(on_machine.content(on_machine.PROGRAM))
        self.repo = folder / "repo"
        self.repo.mkdir()
        self.git("init", "-q", "-b", "main")
        (self.repo / "tracked.txt").write_text("1\n")
        self.git("add", ".")
        self.git("commit", "-q", "-m", "Begin")
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(folder)}

    def git(self, *args: str) -> str:
        return subprocess.run(
            ["git", *args], cwd=self.repo, check=True, capture_output=True, text=True
        ).stdout

    def agent(self, script: str) -> str:
        path = self.folder / "agent.sh"
        path.write_text(script)
        return f"bash {path}"

    def call(self, *args: str, stdin: str = "Do it.", **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PYTHON, str(self.program), *args],
            cwd=self.repo,
            env={**self.environ, **environ},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def runs(self, script: str, *more: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """In the foreground, to its end."""
        args = ("--foreground", "--task-file", "-", "--agent-command", self.agent(script), *QUICK, *more)
        return self.call("start", *args, **environ)

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.repo / ".bb-agent/state.json").read_text())
        return found

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = (self.repo / ".bb-agent/events.jsonl").read_text().splitlines()
        return [event for line in lines if (event := json.loads(line))["event"] == kind]

    def alive(self, what: str) -> bool:
        return subprocess.run(["pgrep", "-f", what], capture_output=True).returncode == 0
