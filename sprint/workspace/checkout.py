"""A run's own directory: a checkout with the whole history, which shares no file with the mirror."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sprint import git
from sprint.domain import Workspace
from sprint.errors import SprintError
from sprint.workspace import base_tree, removal
from sprint.workspace import mirror as mirrors
from sprint.workspace.junk import junk_patterns
from sprint.workspace.own_objects import mirror_of
from sprint.workspace.uids import free_uid

KEPT_INDEX = ".index"

_DISK_IS_FULL = ("No space", "unable to write")  # as git says it
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_PARALLEL_FROM = 2000  # below this many files, starting workers costs more than they save
_PIECE = 1 << 28  # bytes of a pack that are copied at a time
_SETTINGS = (
    *("-c", "core.fsync=none", "-c", "checkout.workers=0"),
    *("-c", f"checkout.thresholdForParallelism={_PARALLEL_FROM}"),
)
_CONFIG = """\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = false
\tlogallrefupdates = true
[gc]
\tauto = 0
"""
_ORIGIN = """\
[remote "origin"]
\turl = {url}
\tfetch = +refs/heads/*:refs/remotes/origin/*
"""


def create(
    workspaces: Path,
    run_id: str,
    mirror: Path,
    sha: str,
    branch: str,
    new_branch: str,
    *,
    may_show: bool = False,
    watch: Callable[[], str] = lambda: "",
) -> Workspace:
    """Make a workspace with `sha` checked out on `new_branch`, and the mirror's branches as origin/*.

    `mirror` may be a run's own repository as well: then what the run made is in the checkout too.

    `may_show`: a large tree may be shown below it while this process lives (see `layers`). `watch` may end
    what takes long by raising.

    A runner that is root gives it to a uid that nothing else has. Raises SprintError, and leaves nothing.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise SprintError(f"{run_id!r} cannot name a workspace")
    _check(workspaces)
    shared, root = mirror_of(mirror), _make_root(workspaces, run_id)
    try:
        space = Workspace(root, free_uid(workspaces) if os.geteuid() == 0 else None)
        _furnish(space, run_id)
        with mirrors.locked(shared, watch):
            if shared == mirror:
                mirrors.pin(mirror, root.name, "base", sha)
            _copy_repository(shared, mirror, space, sha, branch, new_branch, watch)
            if not (may_show and base_tree.show(space, shared, mirror, sha)):
                _check_out(space, shared, watch)
                if may_show and shared == mirror:
                    base_tree.keep(space, shared, sha)
        _keep_index(space)
    except OSError as error:
        undo(root, shared)
        raise SprintError(f"cannot make the workspace {root}: {error.strerror or error}") from error
    except BaseException:
        undo(root, shared)
        raise
    return space


def undo(root: Path, mirror: Path) -> None:
    """Remove a workspace that was just made, and what the mirror keeps for it. Raises SprintError."""
    removal.remove(root)
    mirrors.take_pins_back(mirror, root.name)


def _check(workspaces: Path) -> None:
    """Refuse a directory in which somebody else could swap what we make for something of theirs."""
    try:
        workspaces.mkdir(parents=True, exist_ok=True, mode=0o711)
        found = workspaces.stat()
    except OSError as error:
        raise SprintError(f"cannot use {workspaces} for workspaces: {error.strerror}") from error
    open_to_all = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX
    if open_to_all or found.st_uid not in (0, os.geteuid()):
        raise SprintError(
            f"{workspaces} is open to other users; set paths.workspaces to a directory of your own, or /tmp"
        )
    # A runner that is root gives each workspace to a user that is nobody's, who has to get there.
    closed = [p for p in (workspaces, *workspaces.parents) if not p.stat().st_mode & stat.S_IXOTH]
    if os.geteuid() == 0 and closed:
        raise SprintError(
            f"{workspaces} cannot be reached by the users that root's runs work as, for {closed[-1]} is "
            "closed to others; set paths.workspaces to a directory that is not, such as /tmp"
        )


def _make_root(workspaces: Path, run_id: str) -> Path:
    """mkdir neither follows links nor accepts what is there: a squatter costs us a longer name."""
    for name in (f"sprint-{run_id}", *(f"sprint-{run_id}-{secrets.token_hex(4)}" for _ in range(3))):
        try:
            (workspaces / name).mkdir(mode=0o700)
        except FileExistsError:
            continue
        except OSError as error:
            raise SprintError(f"cannot make a workspace in {workspaces}: {error.strerror}") from error
        return workspaces / name
    raise SprintError(f"cannot find a free name for a workspace in {workspaces}")


def _furnish(space: Workspace, run_id: str) -> None:
    marker = {"run": run_id, "uid": space.uid, "pid": os.getpid()}
    (space.root / removal.MARKER).write_text(json.dumps(marker))
    (space.root / removal.MARKER).chmod(0o600)
    for folder in (space.checkout, space.home, space.tmp):
        folder.mkdir(mode=0o700)
        _give(space, folder)
    if space.uid is not None:
        # The root stays root's, so that what is directly in it cannot be replaced from inside.
        os.chown(space.root, 0, space.uid)
        space.root.chmod(0o750)


def _give(space: Workspace, path: Path) -> None:
    if space.uid is not None:
        os.chown(path, space.uid, space.uid, follow_symlinks=False)


def _copy_repository(
    mirror: Path,
    own: Path,
    space: Workspace,
    sha: str,
    branch: str,
    new_branch: str,
    watch: Callable[[], str],
) -> None:
    """Put a .git together from files of the mirror, and of a run's `own` repository where that is another: a
    clone would unpack and pack the same objects again."""
    target = space.checkout / ".git"
    for folder in (target, target / "objects", target / "refs", target / "info"):
        folder.mkdir()
        _give(space, folder)
    for store in dict.fromkeys((mirror / "objects", own / "objects")):
        for source in _objects(store):
            _add_object(space, source, target / "objects", source.relative_to(store), watch)
    url = mirrors.origin(mirror)
    files = {
        "HEAD": f"ref: refs/heads/{new_branch}\n",
        "config": _CONFIG + (_ORIGIN.format(url=url) if url else ""),
        "packed-refs": "".join(f"{at} {ref}\n" for ref, at in _refs(mirror, sha, branch, new_branch)),
        # What tools leave behind is no work: `git status` should not speak of it where the project is silent.
        "info/exclude": "".join(f"{pattern}\n" for pattern in junk_patterns(git.ls_tree(own, sha))),
    }
    for name, text in files.items():
        (target / name).write_bytes(text.encode("utf-8", "surrogateescape"))
        _give(space, target / name)


def _add_object(space: Workspace, source: Path, objects: Path, name: Path, watch: Callable[[], str]) -> None:
    for parent in reversed(name.parents[:-1]):
        if not (objects / parent).exists():
            (objects / parent).mkdir()
            _give(space, objects / parent)
    if not (objects / name).exists():  # a tree that both stores have
        _copy(source, objects / name, watch)
        _give(space, objects / name)


def _objects(folder: Path) -> list[Path]:
    """Packs, loose objects and the commit graph; nothing half-written, and no pointer to other stores."""
    wanted = re.compile(r"pack/pack-[0-9a-f]+\.(pack|idx|rev)|[0-9a-f]{2}/[0-9a-f]{38}|info/commit-graph.*")
    return [
        path
        for path in folder.rglob("*")
        if wanted.fullmatch(path.relative_to(folder).as_posix()) and path.is_file()
    ]


def _refs(mirror: Path, sha: str, branch: str, new_branch: str) -> list[tuple[str, str]]:
    listed = git.git(
        "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags", git_dir=mirror
    )
    refs = {}
    for line in listed.stdout.decode("utf-8", "surrogateescape").splitlines():
        at, _, ref = line.partition(" ")
        refs[ref.replace("refs/heads/", "refs/remotes/origin/", 1)] = at
    if not f"{new_branch}/".startswith(f"{branch}/") and not branch.startswith(f"{new_branch}/"):
        refs[f"refs/heads/{branch}"] = refs.get(f"refs/remotes/origin/{branch}", sha)
    refs[f"refs/heads/{new_branch}"] = sha
    return sorted(refs.items())


def _copy(source: Path, target: Path, watch: Callable[[], str]) -> None:
    """Copy a file; file systems that can share the blocks until one side writes do that."""
    with source.open("rb") as read, target.open("xb") as write:
        left = os.fstat(read.fileno()).st_size
        try:
            while left and (done := os.copy_file_range(read.fileno(), write.fileno(), min(left, _PIECE))):
                left -= done
                watch()
        except OSError:
            read.seek(0)
            write.seek(0)
            write.truncate()
            for piece in iter(partial(read.read, 1 << 20), b""):
                write.write(piece)
                watch()


def _check_out(space: Workspace, mirror: Path, watch: Callable[[], str]) -> None:
    """Write the files as the one who will own them."""
    try:
        git.git(
            *_SETTINGS,
            *("read-tree", "--reset", "-u", "HEAD"),
            git_dir=space.checkout / ".git",
            work_tree=space.checkout,
            uid=space.uid,
            timeout=900,
            watch=watch,
        )
    except git.GitError as error:
        if any(words in str(error) for words in _DISK_IS_FULL):
            raise git.GitError(f"{error}; see that there is space in {space.root.parent}") from error
        mirrors.declare_broken(mirror)
        raise git.GitError(f"{error}; the next tick clones the repository anew") from error


def _keep_index(space: Workspace) -> None:
    """For the import, before anybody can change it."""
    # With its time: git takes files that changed in the second of the index itself for suspect.
    shutil.copy2(space.checkout / ".git/index", space.root / KEPT_INDEX)
    (space.root / KEPT_INDEX).chmod(0o600)
