"""What the supervisor writes for those who look: whole files, and a log of bounded size."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

_LOG_BYTES, _LOG_KEPT = 20 << 20, 15 << 20
_FIRST = (
    *("status", "outcome", "sprite", "task", "repo", "supervisor_pid", "agent_pid", "restarts", "stalled"),
    *("started_at", "last_progress_at", "last_error"),
)
_MOST_SHOWN = 300  # characters of a field


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def replace(path: Path, data: Mapping[str, Any], mode: int = 0o600) -> None:
    """Whole or not at all, whoever reads it meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as file:
        json.dump(data, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def load(path: Path) -> dict[str, Any]:
    """{} where there is none that can be read."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def told(state: Mapping[str, Any]) -> Iterator[str]:
    """The state for a person, a line each: what is asked for most first, bb's own file too."""
    task = state.get("task")
    task = task if isinstance(task, dict) else {"prompt": task, "repo": state.get("repo")}
    fields = dict.fromkeys(_FIRST) | {key: one for key, one in state.items() if not isinstance(one, dict)}
    fields |= {"task": task.get("title") or task.get("prompt"), "repo": task.get("repo")}
    fields |= {key: one for key in ("branch", "issue_url") if (one := task.get(key))}
    for key, value in fields.items():
        words = " ".join(str(value).split())[:_MOST_SHOWN]
        yield f"{key + ':':20} {'-' if value in (None, '') else words}"


class Log:
    """The agent's output: `time [stream] line`, the oldest third dropped at 20 MiB."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, stream: str, line: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(f"{now()} [{stream}] ".encode() + line + b"\n")
            size = file.tell()
        if size > _LOG_BYTES:
            with self._path.open("rb") as old:
                old.seek(size - _LOG_KEPT)
                old.readline()
                kept = old.read()
            new = self._path.with_name(f".{self._path.name}.new")
            new.write_bytes(kept)
            new.replace(self._path)
