"""What is refused before anything is done on a sprite, and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from sprint.errors import ConfigError

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_SECRET = re.compile(
    r"sk-ant-[A-Za-z0-9_-]{4,}|sk-or-v1-[A-Za-z0-9]{4,}|\bgh[pousr]_[A-Za-z0-9]{8,}|github_pat_\w{8,}"
    r"|\bsk-[A-Za-z0-9_-]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
_BLOCKING = re.compile(r"blocked.*|needs-.*|waiting.*|on-hold|paused", re.I)
_CRITERIA = re.compile(r"acceptance|criteria|definition of done|^\s*[-*] \[[ xX]\]", re.I | re.M)


def refuse_secrets(text: str, what: str) -> None:
    """Raises ConfigError, which shows no more than the secret's first letters."""
    if found := _SECRET.search(text):
        raise ConfigError(f"{what} holds what looks like a secret ({found[0][:7]}...): take it out")


def check_repository(name: str) -> None:
    """Raises ConfigError unless it is OWNER/NAME."""
    if not _REPOSITORY.fullmatch(name) or name.endswith((".git", ".")):
        raise ConfigError(f"--repo: {name!r}: expected OWNER/NAME")


def unready(title: str, body: str, labels: Sequence[str], *, is_open: bool) -> list[str]:
    """Why an issue is not ready to be worked on; [] where it is."""
    blocking = [label for label in labels if _BLOCKING.fullmatch(label)]
    found = {
        "it is closed": not is_open,
        f"its label {', '.join(blocking)} says to wait": bool(blocking),
        "it has neither acceptance criteria nor a checkbox": not _CRITERIA.search(body),
        f"its text has {len(body.strip())} characters, and should have 50": len(body.strip()) < 50,
        f"its title has {len(title.strip())} characters, and should have 10": len(title.strip()) < 10,
    }
    return [why for why, holds in found.items() if holds]


def read_env_file(path: Path) -> dict[str, str]:
    """KEY=VALUE lines for an agent. Raises ConfigError where others can read it, or where Anthropic's own key
    stands beside another address: it would be billed there."""
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"--env-file: others can read {path}: chmod 600 {path}")
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--env-file: cannot read {path}: {error}") from error
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, sign, value = line.removeprefix("export ").partition("=")
        if not sign or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name.strip()):
            raise ConfigError(f"--env-file: {path}:{number} is not KEY=VALUE")
        found[name.strip()] = value.strip().strip("\"'")
    if found.get("ANTHROPIC_API_KEY") and found.get("ANTHROPIC_BASE_URL"):
        raise ConfigError(
            f"--env-file: {path}: ANTHROPIC_API_KEY is Anthropic's own: beside ANTHROPIC_BASE_URL set "
            "ANTHROPIC_AUTH_TOKEN"
        )
    return found
