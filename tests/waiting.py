"""Waiting for what another process does, without a guess how long that takes."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path


def wait_until(is_true: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether it came true in time."""
    waiting = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if is_true():
            return True
        waiting.wait(0.05)
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
