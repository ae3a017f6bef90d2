"""Imports point down only, and the heavy ones stay out of the ticks that do not need them."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "sprint"

# From the bottom up. A module may import its own layer and those before it.
LAYERS = (
    ("domain", "errors", "outcomes"),
    (
        "clean_text",
        "defects",
        "files",
        "logs",
        "output",
        "proc",
        "resources",
        "retries",
        "strict_yaml",
        "terminal_text",
    ),
    ("config", "credentials", "git", "host", "json_file", "lock"),
    ("health", "heartbeat", "ledger", "runs", "spend", "standing_alarms", "task", "transcript"),
    ("forge", "gateway", "model", "sandbox", "workspace"),
    ("claim", "pick", "policy", "prompts", "publish", "renewal", "repo_pause", "verify", "worker"),
    ("environment",),
    ("context",),
    ("assign", "backlog", "scope"),
    ("settle", "retention"),
    ("check_command",),
    ("doctor", "monitor", "pause_command", "preview", "push_trial", "show", "tick"),
    ("init", "schedule"),
    ("run_command", "demo"),
    ("stop_command",),
    ("cli", "__main__"),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts != ("__init__",):
            yield parts[0], path


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "sprint":
            yield from (alias.name for alias in node.names if alias.name != "__version__")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sprint."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("sprint."))


@pytest.mark.parametrize(("name", "path"), list(modules()), ids=lambda value: getattr(value, "stem", value))
def test_imports_point_down(name: str, path: Path) -> None:
    assert name in RANK, f"say in which layer {name} is"
    upward = {other for other in imported(path) if RANK[other] > RANK[name]}
    assert not upward, f"{path.name} imports {upward} from above"


def test_an_idle_tick_imports_nothing_heavy() -> None:
    code = "import sprint.cli, sprint.run_command, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    ).stdout.split()
    assert not {"openai", "jinja2", "git", "detect_secrets", "rich", "apprise", "pygal"} & set(loaded)
    assert "sprint.tick" in loaded
