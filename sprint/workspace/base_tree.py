"""A checked-out tree that is kept beside a mirror, for workspaces of later commits to begin with.

For repositories of many files. A runner that is root shows it, and only what differs from it is written; any
other copies it, which costs half of what git takes to write files.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from sprint import git, proc
from sprint.domain import Workspace
from sprint.errors import SprintError
from sprint.workspace import layers, removal

_FEWEST = 2_000  # files that are worth it
_SHARE = 20  # a tree is good for commits that change less than the twentieth part of it
_SUFFIX = ".trees"
_TREE, _INDEX = "tree", "index"
_TIMEOUT = 900
# The user and the inode are not those that the index was written with; times and sizes are.
_BY_TIME = ("-c", "core.checkStat=minimal", "-c", "core.trustctime=false")

_log = logging.getLogger(__name__)


def place(mirror: Path) -> Path:
    """Where a mirror's trees are."""
    return mirror.with_suffix(_SUFFIX)


def is_large(store: Path, sha: str) -> bool:
    """Whether a commit has so many files that its tree is kept, and shown or copied."""
    return len(git.ls_tree(store, sha)) >= _FEWEST


def show(space: Workspace, mirror: Path, own: Path, sha: str) -> bool:
    """Put a kept tree into a workspace, with what is different in a commit of `own` written over it.

    The caller holds the mirror's lock, and has made .git. False, with nothing done, where none fits. Raises
    SprintError.
    """
    files = len(git.ls_tree(own, sha))
    may_lose = own != mirror or space.uid is None
    kept = next((tree for tree in _kept(mirror) if _fits(own, tree.name, sha, files, may_lose)), None)
    if kept is None:
        return False
    index = space.checkout / ".git/index"
    if space.uid is None:
        _copy([f"{kept / _TREE}/."], space.checkout)
        shutil.copyfile(kept / _INDEX, index)
    else:
        try:
            _cover(space, kept)
        except layers.NoLayersError as error:
            _log.debug("every file is written: %s", error)
            return False
        shutil.copyfile(kept / _INDEX, index)
        os.chown(index, space.uid, space.uid)
    _git(space, *_BY_TIME, "read-tree", "--reset", "-u", "HEAD")
    _git(space, "update-index", "-q", "--refresh")
    return True


def keep(space: Workspace, mirror: Path, sha: str) -> None:
    """Keep a workspace's fresh checkout of a commit of the mirror's: moved to where it is kept and shown from
    there, or copied.

    Where there is reason to: nothing is done where trees are not worth it, or cannot be shown to a workspace
    whose files are another user's.
    """
    if not is_large(mirror, sha) or not (space.uid is None or _can_be_shown(space, mirror)):
        return
    folder = place(mirror)
    folder.mkdir(mode=0o700, exist_ok=True)
    for old in folder.iterdir():
        if not layers.is_needed(old):
            removal.delete(old)
    if (folder / sha).exists():
        return
    made = removal.sibling(folder / sha, "new")
    (made / _TREE).mkdir(parents=True)
    entries = [entry for entry in space.checkout.iterdir() if entry.name != ".git"]
    shutil.copy2(space.checkout / ".git/index", made / _INDEX)
    if space.uid is None:
        try:
            _copy(map(str, entries), made / _TREE)
            made.rename(folder / sha)
        except (SprintError, OSError) as error:
            _log.warning("no tree is kept: %s", error)
            removal.delete(made)
        return
    os.chown(made / _TREE, space.root.stat().st_gid, -1)
    for entry in entries:
        entry.rename(made / _TREE / entry.name)
    _cover(space, made.rename(folder / sha))


def _can_be_shown(space: Workspace, mirror: Path) -> bool:
    if mirror.stat().st_dev != space.root.stat().st_dev:
        return False
    try:
        layers.check(space, mirror)
    except layers.NoLayersError as error:
        _log.debug("no tree is kept: %s", error)
        return False
    return True


def _copy(what: Iterable[str], to: Path) -> None:
    """With their times, by which the index knows files that are as they were."""
    done = proc.run(["cp", "-a", "--reflink=auto", "-t", str(to), "--", *what], timeout=_TIMEOUT)
    if not done.ok:
        raise SprintError(f"cannot write {to}: {done.killed_by or done.err.strip()[-200:]}")


def write_out(space: Workspace) -> None:
    """For people to look at: the checkout with all its files, where they were only shown. Raises OSError and
    SprintError, leaving it as it is."""
    if not any(_SUFFIX in lower for lower in layers.shown_below(space.root, space.checkout.name)):
        return
    layers.cover_again(space)
    whole = space.root / ".whole"
    removal.delete(whole)
    whole.mkdir(mode=0o700)
    _copy([f"{space.checkout}/."], whole)
    layers.uncover(space.root)
    removal.delete(space.checkout)
    whole.rename(space.checkout)


def _cover(space: Workspace, kept: Path) -> None:
    owner = (kept / _TREE).stat().st_uid
    layers.cover(space, {space.checkout.name: kept / _TREE}, owner, kept)


def _git(space: Workspace, *args: str) -> None:
    git.git(*args, git_dir=space.checkout / ".git", work_tree=space.checkout, uid=space.uid, timeout=_TIMEOUT)


def _kept(mirror: Path) -> list[Path]:
    folder = place(mirror)
    return [tree for tree in folder.iterdir() if git.is_full_hex(tree.name)] if folder.is_dir() else []


def _fits(own: Path, kept: str, sha: str, files: int, may_lose: bool) -> bool:
    """Whether little has changed since. What a base has lost would hide what its set-up makes anew, where the
    tree is shown."""
    done = git.git(
        "diff-tree", "-r", "-z", "--name-status", "--no-renames", kept, sha, git_dir=own, check=False
    )
    fields = done.stdout.split(b"\0")
    is_little = done.ok and len(fields) < 2 * files // _SHARE
    return is_little and (may_lose or b"D" not in fields[::2])
