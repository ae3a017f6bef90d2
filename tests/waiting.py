"""Waiting for what another process or thread does, without a guess how long that takes."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

_PAUSE = 0.02


def wait_until(is_true: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether it came true in time."""
    waiting = threading.Event()
    for _ in range(int(seconds / _PAUSE)):
        if is_true():
            return True
        waiting.wait(_PAUSE)
    return False


def is_alive(pid: int) -> bool:
    """What has ended and is not reaped yet counts as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until_agents_ended(root: Path, seconds: float = 60.0) -> None:
    """Until no launch on a sprite that is a folder below `root` is under way, or `seconds` are over."""
    folders = [Path(at) for at, _, _ in os.walk(root) if at.endswith("/.sprint/runs")]

    def ended() -> bool:
        launches = [path for folder in folders for path in folder.glob("*/launch-*.json")]
        return all(path.with_name(path.name.replace("launch", "ended")).exists() for path in launches)

    wait_until(ended, seconds)


def is_open(path: Path) -> bool:
    """Whether somebody listens at a socket, however long its path is."""
    with socket.socket(socket.AF_UNIX) as caller:
        try:
            folder = os.open(path.parent, os.O_RDONLY)
        except FileNotFoundError:
            return False
        try:
            return caller.connect_ex(f"/proc/self/fd/{folder}/{path.name}") == 0
        finally:
            os.close(folder)
