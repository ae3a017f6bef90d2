"""Reads a secret where a configuration or the environment says that it is; shows none."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from sprint.domain import Secret
from sprint.errors import ConfigError
from sprint.files import refusal
from sprint.surroundings import Surroundings

NO_KEY = Secret("no-key-needed")  # for a server that needs none: an endpoint has a key

_SECRET_CAP = 16_384

_log = logging.getLogger(__name__)


def configured(file: str, variable: str, around: Surroundings, key: str) -> Secret | None:
    """What `key`_file or `key`_env names; None where neither is configured. Raises ConfigError."""
    if file:
        return from_file(Path(file), f"{key}_file")
    return from_variable(variable, around, f"{key}_env") if variable else None


def from_variable(variable: str, around: Surroundings, at: str) -> Secret:
    """What a variable holds. Raises ConfigError, which begins with `at`, where that is no secret."""
    value = around.get(variable)
    if not value:
        raise ConfigError(f"{at}: ${variable} is not set; export it (cron has no profile) or use a file")
    return usable(value, f"{at}: ${variable}")


def from_file(path: Path, at: str) -> Secret:
    """What a file holds. Raises ConfigError, which begins with `at`, where that is no secret."""
    try:
        with path.open("rb") as file:
            open_to_all = path.stat().st_mode & 0o004
            data = file.read(_SECRET_CAP + 1)
    except OSError as error:
        raise ConfigError(f"{at}: {_unreadable(path, error)}") from error
    if open_to_all:
        _log.warning("%s can be read by every user of this machine; run: chmod 600 %s", path, path)
    value = data.decode("utf-8", "replace").strip()
    if not value:
        raise ConfigError(f"{at}: {path} is empty; write the secret there")
    return usable(value, f"{at}: {path}")


def _unreadable(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"cannot read {path}: {error.strerror}; write the secret there"
    return str(refusal("read", path, error))


def usable(value: str, where: str) -> Secret:
    """Raises ConfigError, without showing it, for what no server takes in a header."""
    if len(value) > _SECRET_CAP or re.fullmatch(r"[\x21-\x7e]+", value) is None:
        raise ConfigError(f"{where}: no usable secret: expected one line of plain characters without spaces")
    return Secret(value)
