"""What lies in hermes' folder: config.yaml, .env and auth.json (as of hermes 0.19)."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sprint.errors import ConfigError

_FILE_CAP = 5_000_000
_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_REFERENCE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?")
_PLACEHOLDERS = frozenset(
    {"*", "**", "***", "changeme", "your_api_key", "your_api_key_here", "your-api-key", "null", "none"}
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HermesHome:
    """`variables` are the environment's and those of .env, `own_variables`, which win as with hermes."""

    folder: Path
    config: Mapping[str, Any]
    auth: Mapping[str, Any]
    own_variables: Mapping[str, str]
    variables: Mapping[str, str]

    def secret(self, value: str) -> str:
        """A key as written or, for `${NAME}`, from the variables; "" where no server could take it."""
        if reference := _REFERENCE.fullmatch(value):
            value = self.variables.get(reference[1], "")
        value = value.strip()
        is_usable = re.fullmatch(r"[\x21-\x7e]+", value) and value.lower() not in _PLACEHOLDERS
        return value if is_usable else ""

    def secret_in(self, *variables: str) -> str:
        """The first usable key among variables; "" where there is none."""
        return next(filter(None, (self.secret(self.variables.get(name, "")) for name in variables)), "")

    def pool(self, provider: str) -> list[Mapping[str, Any]]:
        """The credentials that hermes keeps for a provider, the preferred one first."""
        entries = mapping(self.auth.get("credential_pool")).get(provider)
        found = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
        return sorted(found, key=_priority)


def open_home(folder: Path, environ: Mapping[str, str]) -> HermesHome:
    """What is there; a file that is missing, or of no use (with a warning), counts as empty."""
    own = _assignments(_read(folder / ".env") or "")
    return HermesHome(
        folder=folder,
        config=mapping(_yaml(folder / "config.yaml")),
        auth=mapping(_json(folder / "auth.json")),
        own_variables=own,
        variables={**environ, **own},
    )


def text(of: Mapping[str, Any], *keys: str) -> str:
    """The first of the keys that holds text; "" where none does."""
    values = (of.get(key) for key in keys)
    return next((v.strip() for v in values if isinstance(v, str) and v.strip()), "")


def mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _priority(entry: Mapping[str, Any]) -> float:
    value = entry.get("priority")
    return value if isinstance(value, int | float) else 0


def _assignments(lines: str) -> dict[str, str]:
    """A .env file's variables; an empty value is none."""
    found = {}
    for line in lines.splitlines():
        if not (match := _ASSIGNMENT.fullmatch(line)):
            continue
        value = match[2].strip()
        if value[:1] in ("'", '"'):
            value = value[1:].partition(value[0])[0]
        else:
            value = re.split(r"\s#", value, maxsplit=1)[0].strip()
        if value:
            found[match[1]] = value
    return found


def _yaml(path: Path) -> object:
    content = _read(path)
    if content is None:
        return None
    from sprint.strict_yaml import parse

    try:
        return parse(content, str(path), strict=False)
    except ConfigError as error:
        _log.warning("%s; going on without hermes", error)
        return None


def _json(path: Path) -> object:
    content = _read(path)
    if content is None:
        return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        _log.warning("%s is not valid JSON; going on without it", path)
        return None


def _read(path: Path) -> str | None:
    """The file's text; None where there is none, with a warning where there is one that cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_FILE_CAP).decode("utf-8-sig", "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.warning("%s cannot be read: %s; going on without it", path, error.strerror)
        return None
