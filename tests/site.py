"""An operator's directory: a sprint.yaml for a loopback forge and model, and the real command line."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from tests import known_tools
from tests.commands import Command
from tests.servers.forge import DemoForge
from tests.servers.model import DemoModel

PRICE = {"input": 1.0, "cached": 0.1, "output": 2.0}


class Site:
    """`path` holds sprint.yaml, the token files (0600) and results/; `environ` is all that commands get."""

    def __init__(self, path: Path, forge: DemoForge, model: DemoModel, **settings: Any) -> None:
        self.path = path
        self.model = model
        self.path.mkdir(parents=True)
        self.path.chmod(0o700)
        self.workspaces = Path(path.parent) / f"{path.name}-workspaces"
        self.workspaces.mkdir(mode=0o711)
        self.environ = {"PATH": os.environ["PATH"], "HOME": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
        self._secret("forge.token", forge.token)
        self._secret("model.key", model.key)
        limits = settings.pop("limits", {})
        self.settings: dict[str, Any] = {
            "forges": {"home": {"kind": forge.kind, "url": forge.url, "token_file": "forge.token"}},
            "model": {
                "name": "scripted",
                "base_url": model.base_url,
                "api_key_file": "model.key",
                "price": PRICE,
            },
            "defaults": {"forge": "home", "limits": limits},
            "paths": {"results": "results", "cache": "cache", "workspaces": str(self.workspaces)},
            **settings,
        }
        self.write()
        known_tools.put(path / "cache")

    def write(self) -> None:
        (self.path / "sprint.yaml").write_text(yaml.safe_dump(self.settings))

    def _secret(self, name: str, value: str) -> None:
        (self.path / name).write_text(value)
        (self.path / name).chmod(0o600)

    def start(self, *args: str, killed_at: str | None = None) -> Command:
        return Command(args, self.path, self.environ, killed_at)

    def sprint(self, *args: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        command = self.start(*args)
        try:
            code = command.wait(timeout)
        finally:
            command.kill()
        out, err = command.out.read_text(), command.err.read_text()
        assert code >= 0, f"nobody killed `sprint {' '.join(args)}`, and yet it died of signal {-code}: {err}"
        return subprocess.CompletedProcess(args, code, out, err)

    def python(self, code: str, *args: str) -> str:
        """What a Python program prints, run as the commands are."""
        return subprocess.run(
            [sys.executable, "-c", code, *args],
            cwd=self.path,
            env=self.environ,
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        ).stdout

    def rows(self) -> list[dict[str, str]]:
        path = self.path / "results" / "results.csv"
        if not path.exists():
            return []
        with path.open(newline="") as file:
            return list(csv.DictReader(file))

    def runs(self) -> list[dict[str, Any]]:
        return [
            json.loads(path.read_text())
            for path in sorted((self.path / "results" / "runs").glob("*/run.json"))
        ]

    def transcript(self, run_id: str) -> list[dict[str, Any]]:
        path = self.path / "results" / "runs" / run_id / "transcript.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def loop_seconds(self, run_id: str) -> float:
        """From the first event of a transcript to the last."""
        times = [datetime.fromisoformat(event["at"]) for event in self.transcript(run_id)]
        return (times[-1] - times[0]).total_seconds()
