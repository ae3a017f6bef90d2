"""Removing what is no longer needed: whatever is in it, and nothing that is not ours."""

from __future__ import annotations

import contextlib
import math
import os
import re
import secrets
import stat
import time
from collections.abc import Callable
from pathlib import Path

from sprint import proc
from sprint.disk_use import used
from sprint.errors import Busy, SprintError
from sprint.lock import lock
from sprint.workspace import layers

MARKER = ".sprint"

_PREFIX = "sprint-"
_HALF_GONE = re.compile(r"\.sprint-.+\.gone-[0-9a-f]{8}")
_TIMEOUT = 900


def sibling(path: Path, role: str) -> Path:
    """A free hidden name beside `path`, to make or unmake it under."""
    return path.with_name(f".{path.name}.{role}-{secrets.token_hex(4)}")


def siblings(path: Path) -> list[Path]:
    """What `sibling` named for this path and a killed process left."""
    named = re.compile(rf"\.{re.escape(path.name)}\.(new|gone)-[0-9a-f]{{8}}")
    if not path.parent.is_dir():
        return []
    return [entry for entry in path.parent.iterdir() if named.fullmatch(entry.name)]


def delete(path: Path) -> None:
    """Remove a directory of ours: however deep, whatever its modes, following no link.

    rm walks by file descriptors and survives trees that overflow Python's stack and the kernel's path limit.
    """
    argv = ["rm", "-rf", "--one-file-system", "--", str(path)]
    done = proc.run(argv, timeout=_TIMEOUT)
    if not done.ok and path.is_dir():
        proc.run(["chmod", "-R", "u+rwX", "--", str(path)], timeout=_TIMEOUT)
        done = proc.run(argv, timeout=_TIMEOUT)
    if not done.ok and os.path.lexists(path):  # another tick may have been faster
        words = (done.err.strip().splitlines() or [done.killed_by])[-1]
        raise SprintError(f"cannot remove {path}: {words}; remove it by hand")


def remove(workspace: Path) -> None:
    """Remove a run's workspace; one that is gone already is no fault. Raises SprintError if not ours."""
    if not workspace.name.startswith(_PREFIX):
        raise SprintError(f"{workspace} is no workspace of sprint's; nothing was removed")
    try:
        found = workspace.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise SprintError(f"{workspace} is no directory of ours; nothing was removed")
    layers.uncover(workspace)
    gone = sibling(workspace, "gone")
    try:
        workspace.rename(gone)  # at once, so that a kill in between leaves no workspace that looks whole
    except FileNotFoundError:
        return  # another tick is at it
    except OSError as error:
        raise SprintError(f"cannot remove {workspace}: {error.strerror}") from error
    delete(gone)


def remove_all_of(workspaces: Path, run_id: str, *, keep: str = "") -> None:
    """Remove a run's workspaces but `keep` (a path): also those for its proof, and what killed ticks left.

    None where the folder cannot be read: whoever makes one there says so.
    """
    named = re.compile(rf"{_PREFIX}{re.escape(run_id)}(-proof)?(-[0-9a-f]{{8}})?")
    entries: list[os.DirEntry[str]] = []
    with contextlib.suppress(OSError):
        entries += os.scandir(workspaces)
    for entry in entries:
        path = workspaces / entry.name
        if named.fullmatch(entry.name) and str(path) != keep and _is_our_directory(entry):
            remove(path)


def clean(
    workspaces: Path,
    *,
    keep: int = 24,
    in_use: set[str],
    most_bytes: float = math.inf,
    size: Callable[[Path], int] = lambda path: used(path)[0],
) -> list[str]:
    """Remove all but the newest `keep` workspaces, and those beyond so many bytes by `size` of all together.

    Those in use (by path) stay, and are not measured. Returns what was removed.
    """
    removed, total = [], 0
    with contextlib.suppress(FileNotFoundError):
        for entry in list(os.scandir(workspaces)):
            if _HALF_GONE.fullmatch(entry.name) and _is_our_directory(entry):
                delete(workspaces / entry.name)
    for place, path in enumerate(newest_first(workspaces)):
        if str(path) in in_use or path.name in in_use:
            continue
        if place < keep:
            total += size(path) if math.isfinite(most_bytes) else 0
        if place >= keep or total > most_bytes:
            remove(path)
            removed.append(str(path))
    return removed


def newest_first(workspaces: Path) -> list[Path]:
    """Every workspace there is; none where the folder cannot be read."""
    found: list[tuple[float, Path]] = []
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(workspaces)):
            path = workspaces / entry.name
            if entry.name.startswith(_PREFIX) and _is_our_directory(entry) and _is_marked(path):
                with contextlib.suppress(FileNotFoundError):  # another tick removes it
                    found.append(((path / MARKER).lstat().st_mtime, path))
    return [path for _, path in sorted(found, reverse=True)]


def _is_our_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return (
            entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.geteuid()
        )
    except FileNotFoundError:
        return False


def _is_marked(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISREG((path / MARKER).lstat().st_mode)
    return False


def clean_mirrors(cache: Path, *, days: float = 30) -> list[str]:
    """Remove mirrors that no tick has used for so many days; returns what was removed."""
    removed = []
    for path in cache.glob("mirrors/*/*/*.git"):
        note = path / "sprint-used"
        try:
            last = (note if note.exists() else path).stat().st_mtime
            if last < time.time() - days * 86400:
                _remove_mirror(path)
                removed.append(str(path))
        except (Busy, FileNotFoundError):  # another tick uses it, or removes it
            continue
    return removed


def _remove_mirror(path: Path) -> None:
    """With its trees, where no workspace shows one. Raises Busy."""
    with lock(path.with_suffix(".lock"), what="removal"):
        gone = sibling(path, "gone")
        path.rename(gone)
        delete(gone)
        trees = path.with_suffix(".trees")
        if trees.is_dir() and not any(layers.is_needed(tree) for tree in trees.iterdir()):
            delete(trees)
