"""Environments on the disk: made by set-up in one workspace, put into others.

What a set-up left was written by strangers' code. It is packed and unpacked inside the sandbox, as the
workspace's own user: the runner only ever moves it, and neither runs nor follows anything in it. Where root
can show a kept tree below a workspace's folders it is kept as one; elsewhere as an archive, put by copy.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from sprint import files, proc
from sprint.config import SandboxConfig
from sprint.disk_use import used
from sprint.domain import Completed, Workspace
from sprint.errors import Busy, SprintError
from sprint.lock import lock
from sprint.sandbox import Command, Sandbox
from sprint.workspace import HandoverError, layers, leftovers, removal
from sprint.workspace.leftover import decode

_log = logging.getLogger(__name__)

_MADE = "made.json"  # written before the folder gets its name: a folder without it is not ours
_USED = "used"
_TREE = "tree"
_KEY = re.compile(r"[0-9a-f]{32}")
_PART = re.compile(r"part\.\d{4}")
_PART_MB = 256  # an archive in parts passes the sandbox's limit on one file
_TIMEOUT = 900.0
_INSIDE = "/run/sprint/environment"
_MEGABYTE = 1_000_000
# Downloads that are unpacked already: nothing reads them where there is no network.
_DOWNLOADS = ("home/.cache/pip", "home/.npm/_cacache", "home/.npm/_logs")
_PACK = """
cd "$1" || exit 1
{ tar --create --format=posix --warning=no-file-ignored --anchored "$3" "$4" "$5" --null --files-from=-
  echo $? >/work/tmp/status; } |
    split --bytes="$2" --numeric-suffixes --suffix-length=4 - /work/home/part. || exit 1
exit "$(cat /work/tmp/status)"
"""
_PACK_TREE = """
cd "$1" && mkdir /work/home/tree || exit 1
{ tar --create --format=posix --warning=no-file-ignored --anchored "$3" "$4" "$5" --null --files-from=-
  echo $? >/work/tmp/status; } | tar --extract --preserve-permissions --directory=/work/home/tree || exit 1
mkdir -p /work/home/tree/repo /work/home/tree/home
exit "$(cat /work/tmp/status)"
"""
# What the commit tracks by now stays as the commit has it.
_UNPACK = """
cat "$1"/part.* | tar --extract --preserve-permissions --skip-old-files --directory=/work
"""


class NotKept(SprintError):
    """An environment that works, and cannot be kept; the message says why."""


class Kept(Struct, frozen=True):
    """One kept environment: its folder, its bytes, the seconds that its set-up took. `owner` is whose its
    files are where it is a tree; None: it is an archive."""

    folder: Path
    bytes: int
    seconds: float
    owner: int | None = None


def place(cache: Path, forge: str, repo: str, key: str) -> Path:
    """Where an environment is kept, made yet or not."""
    return cache / "environments" / quote(forge, safe="").replace(".", "%2E") / repo / key


@contextlib.contextmanager
def alone(folder: Path, *, wait: float, watch: Callable[[], str] | None = None) -> Iterator[None]:
    """Nobody else makes, reads or removes this environment while the block runs. Raises Busy, and what
    `watch` ends the wait with."""
    with lock(folder.with_suffix(".lock"), wait=wait, what="environment", watch=watch):
        yield


def find(folder: Path) -> Kept | None:
    """The environment that is kept there; None where there is none, or only a part of one."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        made = json.loads((folder / _MADE).read_bytes())
        if made.get("owner") is not None and (folder / _TREE).is_dir():
            return Kept(folder, made["bytes"], made["seconds"], made["owner"])
        parts = _parts(folder)
        if parts and sum(part.stat().st_size for part in parts) == made["bytes"]:
            return Kept(folder, made["bytes"], made["seconds"])
    return None


def _parts(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _PART.fullmatch(path.name))


def put(kept: Kept, workspace: Workspace, sandbox: Sandbox) -> str:
    """Put an environment into a fresh workspace; returns why that failed half-way, or ""."""
    (kept.folder / _USED).touch()
    if kept.owner is not None:
        return _show(kept, kept.owner, workspace)
    done = sandbox.run(
        Command(
            ["/bin/sh", "-c", _UNPACK, "unpack", _INSIDE], timeout=_TIMEOUT, read_only={kept.folder: _INSIDE}
        ),
        workspace,
    )
    return "" if done.ok else _fault(done)


def _show(kept: Kept, owner: int, workspace: Workspace) -> str:
    try:
        trees = {name: kept.folder / _TREE / name for name in ("repo", "home")}
        layers.cover(workspace, trees, owner, kept.folder)
    except layers.NoLayersError as error:
        return str(error)
    return ""


def keep(
    workspace: Workspace,
    base: str,
    sandbox: Sandbox,
    config: SandboxConfig,
    folder: Path,
    seconds: float,
    *,
    may_show: bool = True,
) -> Kept:
    """Keep what set-up left untracked or ignored in checkout and home. Raises NotKept, leaving nothing.

    `may_show`: as a tree, where trees can be shown.
    """
    try:
        listed = decode(leftovers(workspace, sandbox, base))
    except HandoverError as error:
        raise NotKept(str(error)) from error
    if changed := sorted({*listed.changed, *listed.deleted}):
        raise NotKept(
            f"set-up changes tracked files ({', '.join(changed[:3])}); commands that do belong in build"
        )
    try:
        paths = [*listed.files, *listed.folders]
        return _keep(workspace, paths, sandbox, config, folder, seconds, may_show=may_show)
    except OSError as error:
        raise NotKept(f"it cannot be written to {folder}: {error.strerror or error}") from error


def _keep(
    workspace: Workspace,
    paths: list[str],
    sandbox: Sandbox,
    config: SandboxConfig,
    folder: Path,
    seconds: float,
    *,
    may_show: bool,
) -> Kept:
    folder.parent.mkdir(parents=True, exist_ok=True)
    made, packing = removal.sibling(folder, "new"), _packing_place(folder, workspace)
    try:
        owner = _owner_of_a_tree(workspace, packing) if may_show else None
        _pack(workspace, paths, packing, sandbox, config, is_tree=owner is not None)
        made.mkdir(mode=0o755)
        made.chmod(0o755 if owner is None else 0o700)  # an archive is read by the next workspace's user
        size = _collect(packing, made) if owner is None else _collect_tree(packing, made)
        said = {"bytes": size, "seconds": seconds, "owner": owner}
        files.replace(made / _MADE, json.dumps(said).encode(), durable=False)
        if folder.exists():
            if layers.is_needed(folder):
                raise NotKept("the one that is there is in use")
            removal.delete(folder)
        made.rename(folder)
        return Kept(folder, size, seconds, owner)
    finally:
        for left in (made, packing.root):
            removal.delete(left)


def _owner_of_a_tree(workspace: Workspace, packing: Workspace) -> int | None:
    """Whose the files of a tree will be, where trees can be shown in workspaces; None where they cannot."""
    try:
        layers.check(workspace, packing.home)
    except layers.NoLayersError as error:
        _log.debug("the environment becomes an archive: %s", error)
        return None
    return packing.uid


def _packing_place(folder: Path, workspace: Workspace) -> Workspace:
    """A workspace beside the environment, whose disk limit is its own."""
    place = Workspace(removal.sibling(folder, "new"), workspace.uid)
    place.root.mkdir(mode=0o700)
    for inner in (place.checkout, place.home, place.tmp):
        inner.mkdir(mode=0o700)
        if place.uid is not None:
            os.chown(inner, place.uid, place.uid)
    if place.uid is not None:
        os.chown(place.root, 0, place.uid)
        place.root.chmod(0o750)
    return place


def _pack(
    workspace: Workspace,
    paths: list[str],
    packing: Workspace,
    sandbox: Sandbox,
    config: SandboxConfig,
    *,
    is_tree: bool,
) -> None:
    """The whole workspace is shown, and never a path below it: that may have become a link out of it."""
    listed = b"".join(os.fsencode(f"repo/{path}") + b"\0" for path in paths) + b"home\0"
    size = min(_PART_MB, config.file_mb) * _MEGABYTE
    excluded = [f"--exclude={path}" for path in _DOWNLOADS]
    done = sandbox.run(
        Command(
            ["/bin/sh", "-c", _PACK_TREE if is_tree else _PACK, "pack", _INSIDE, str(size), *excluded],
            timeout=_TIMEOUT,
            stdin=listed,
            read_only={workspace.root: _INSIDE},
        ),
        packing,
    )
    if not done.ok:
        raise NotKept(f"it cannot be packed: {_fault(done)}")


def _fault(done: Completed) -> str:
    return done.killed_by or (done.err.strip().splitlines() or [f"exit code {done.exit_code}"])[0]


def _collect(packing: Workspace, made: Path) -> int:
    """Move the archive's parts to us, each a plain file that nothing else leads to; returns their bytes."""
    total = 0
    home = os.open(packing.home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with os.scandir(home) as entries:
            names = [entry.name for entry in entries if _PART.fullmatch(entry.name)]
        for name in names:
            part = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=home)
            try:
                found = os.fstat(part)
                if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                    raise NotKept(f"{name} of its archive is no plain file")
                if os.geteuid() == 0:
                    os.fchown(part, 0, 0)
                os.fchmod(part, 0o644)
                os.rename(name, made / name, src_dir_fd=home)
                total += found.st_size
            finally:
                os.close(part)
    finally:
        os.close(home)
    return total


def _collect_tree(packing: Workspace, made: Path) -> int:
    """Move the tree to us, whatever is in it; returns its bytes. They are on the disk then."""
    home = os.open(packing.home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.stat(_TREE, dir_fd=home, follow_symlinks=False).st_mode):
            raise NotKept("what was packed is no folder")
        os.rename(_TREE, made / _TREE, src_dir_fd=home)
    finally:
        os.close(home)
    proc.run(["sync", "--file-system", str(made)], timeout=_TIMEOUT)
    return used(made / _TREE)[0]


def clean(cache: Path, *, days: float, most_bytes: int) -> list[str]:
    """Remove environments made longer ago than that, then the least recently used beyond so many bytes.

    Returns what was removed. One that is being made or read stays.
    """
    found = []
    for folder in cache.glob("environments/*/*/*/*"):
        if _KEY.fullmatch(folder.name):
            with contextlib.suppress(FileNotFoundError):
                found.append((_last_used(folder), folder))
        elif folder.name.endswith(".lock"):
            _sweep(folder)
    removed, total = [], 0
    oldest = time.time() - days * 86400
    for _, folder in sorted(found, reverse=True):
        kept = find(folder)
        total += kept.bytes if kept else 0
        if (kept is None or total > most_bytes or _made(folder) < oldest) and _remove(folder):
            removed.append(str(folder))
            total -= kept.bytes if kept else 0
    return removed


def _last_used(folder: Path) -> float:
    used = folder / _USED
    return (used if used.exists() else folder).stat().st_mtime


def _made(folder: Path) -> float:
    try:
        return (folder / _MADE).stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _remove(folder: Path) -> bool:
    with contextlib.suppress(Busy, FileNotFoundError), alone(folder, wait=0):
        if layers.is_needed(folder):
            return False
        gone = removal.sibling(folder, "gone")
        folder.rename(gone)
        removal.delete(gone)
        folder.with_suffix(".lock").unlink()
        return True
    return False


def _sweep(lock_file: Path) -> None:
    """Remove what killed ticks left beside an environment, and the lock of one that is gone."""
    folder = lock_file.with_suffix("")
    with contextlib.suppress(Busy, FileNotFoundError), alone(folder, wait=0):
        for garbage in removal.siblings(folder):
            removal.delete(garbage)
        if not folder.exists():
            lock_file.unlink()
