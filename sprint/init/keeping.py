"""What `sprint init` offers: secrets of the environment in files of their own, and our files out of git."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from sprint import credentials, files
from sprint.config import FILE_NAME
from sprint.domain import Secret, replace
from sprint.errors import ConfigError, SprintError
from sprint.init.discovery import Found, FoundForge, FoundModel
from sprint.surroundings import Surroundings

_OURS = (f"/{FILE_NAME}", "/results/")


def variables(found: Found) -> list[str]:
    """Where secrets are that cron would not have."""
    model = [found.model.api_key_env] if found.model and found.model.api_key_env else []
    return [f"${name}" for name in dict.fromkeys([*(f.token_env for f in found.forges), *model]) if name]


def in_files(found: Found, around: Surroundings) -> Found:
    """The same with each secret of the environment in a file of mode 0600, which is what is found then.

    Raises SprintError where one cannot be written, or another secret is there.
    """
    folder = around.user_config / "sprint"
    files.make_folder(folder)
    forges = [_token_in_file(forge, folder) if forge.token_env else forge for forge in found.forges]
    model = found.model
    if model and model.api_key_env:
        model = _key_in_file(model, folder, around)
    return replace(found, forges=tuple(forges), model=model)


def _token_in_file(forge: FoundForge, folder: Path) -> FoundForge:
    assert forge.token is not None
    path = folder / f"{forge.kind}.token"
    keep(path, forge.token.secret)
    return replace(forge, token=credentials.FoundToken(forge.token.secret, file=str(path)))


def _key_in_file(model: FoundModel, folder: Path, around: Surroundings) -> FoundModel:
    path = folder / "model.key"
    keep(path, Secret(around.get(model.api_key_env)))
    return replace(model, api_key_env="", api_key_file=str(path))


def keep(path: Path, secret: Secret) -> None:
    """Write a secret where there is no file yet. Raises ConfigError where that holds another."""
    data = f"{secret.reveal()}\n".encode()
    with files.refusing("write", path, FileExistsError), contextlib.suppress(FileExistsError):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        return
    if files.read(path) != data:
        raise ConfigError(f"{path} is there already, with another secret: move it away")


def git_exclude(target: Path) -> Path | None:
    """The file that keeps a checkout's own files out of git, where `target` is in one without our lines."""
    if target.name != FILE_NAME or not (target.parent / ".git").is_dir():
        return None
    path = target.parent / ".git" / "info" / "exclude"
    return path if _lines_missing(path) else None


def exclude(path: Path) -> None:
    """Add our lines. Raises SprintError."""
    files.make_folder(path.parent, mode=0o755)
    for line in _lines_missing(path):
        files.add_line(path, line.encode())


def _lines_missing(path: Path) -> list[str]:
    try:
        there = (files.read(path) or b"").decode("utf-8", "replace").splitlines()
    except SprintError:
        return []
    return [line for line in _OURS if line not in there]
