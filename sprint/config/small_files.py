"""Reads what an operator has written: whole, and no more than anybody writes."""

from __future__ import annotations

from pathlib import Path

from sprint.errors import ConfigError

_MOST = 1_000_000  # bytes


def data_in(path: Path, name: str) -> bytes:
    """Raises ConfigError, which begins with `name`, where it cannot be read or is too large."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}; see its owner and mode") from error
    if len(data) > _MOST:
        raise ConfigError(f"{name}: larger than {_MOST} bytes; is it the right file?")
    return data


def text_in(path: Path, name: str) -> str:
    """Likewise, and where it is no UTF-8; a mark at its beginning is left out."""
    try:
        return data_in(path, name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
