"""Whoever starts a run's gateway as a process of its own, and who uses it: see `sprint.gateway_command`.

Its folder, runs/<id>/gateway/, is there while it serves.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from pathlib import Path

import msgspec

from sprint import json_file, proc
from sprint.config import Config
from sprint.domain import Run
from sprint.errors import SprintError
from sprint.gateway.models.dialect import Dialect
from sprint.runs import RunStore
from sprint.surroundings import Surroundings

FOLDER = "gateway"
KEY = "key.json"
SOCKET = "model.http"
_LOG = "gateway.log"
_PATIENCE_SECONDS = 20.0


class Key(msgspec.Struct, frozen=True):
    """What whoever asks there has to bring, and the model that is asked."""

    key: str
    model: str


def start(config: Config, run: Run, speaks: Dialect | None, around: Surroundings) -> Path:
    """Have one serve the run, and return its folder once it does; there may be one already.

    It has a session of its own: what ends this process does not end it. Raises SprintError.
    """
    folder = RunStore(config.paths.results).folder(run.id) / FOLDER
    if _answers(folder):
        return folder
    argv = [sys.executable, "-m", "sprint", "gateway", run.id]
    argv += ["--config", str(config.source)] if config.source else []
    argv += ["--speaks", speaks] if speaks else []
    log = folder.parent / _LOG
    proc.detach(argv, env=around.environ, cwd=around.cwd, log=log)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not _answers(folder):
        if time.monotonic() > deadline:
            raise SprintError(f"run {run.id}: its gateway does not begin; {log} says why")
        time.sleep(0.05)
    return folder


def serves(run_folder: Path) -> bool:
    """Whether the gateway of the run with that folder is up."""
    return _answers(run_folder / FOLDER)


def key_of(folder: Path) -> Key:
    """Raises SprintError where nobody serves there."""
    found = json_file.read(folder / KEY, Key, remedy="start the gateway again")
    if found is None:
        raise SprintError(f"{folder}: no gateway serves there")
    return found


def _answers(folder: Path) -> bool:
    """Whether somebody listens there, and its key can be read."""
    if not (folder / KEY).exists():
        return False
    with socket.socket(socket.AF_UNIX) as caller, contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return caller.connect_ex(f"/proc/self/fd/{descriptor}/{SOCKET}") == 0
        finally:
            os.close(descriptor)
    return False
