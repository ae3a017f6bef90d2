"""Logins that agents have on this machine, and why none of them is used."""

from __future__ import annotations

import json
from pathlib import Path

_CHATGPT = (
    "codex is logged in with ChatGPT here, and that login is not used: it is for a person at the keyboard; "
    "give `model:` an API key"
)
_CLAUDE = (
    "claude is logged in here, and that login is not used: make a long-lived token with `claude setup-token` "
    "and give it to `model:`"
)


def remark(agent: str, home: Path) -> str:
    """What is to be said of an agent's own login where its model cannot be reached, "" where it has none."""
    if agent == "codex" and _has(home / ".codex" / "auth.json", "tokens"):
        return _CHATGPT
    if agent == "claude" and _has(home / ".claude" / ".credentials.json", "claudeAiOauth"):
        return _CLAUDE
    return ""


def _has(path: Path, key: str) -> bool:
    try:
        told = json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and bool(told.get(key))
