"""A kept tree shown below a folder of a workspace, which holds only what is written over it.

For runners that are root. An overlay is mounted on the folder itself, in a mount name space of this thread's
own: it is there for whatever the thread starts, and gone with the process, however that ends. What was
written is in the folder then. The kept tree's files appear as the workspace's user's own, by an idmapped
mount, and nothing that is written gets to them.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sprint import files, proc
from sprint.domain import Workspace
from sprint.errors import SprintError

_NOTES = ".layers"  # root's alone, in the workspace's root
_OF = "of.json"
_USERS = "users"  # in a kept folder: the workspaces that were given of it
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NAME_SPACE_SECONDS = 5.0

# The kernel's: system calls have these numbers on every architecture that is younger than they are.
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_CLONE_NEWNS = 0x20000
_MS_SLAVE_ALL = 1 << 19 | 1 << 14
_MNT_DETACH = 2
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTR_IDMAP = 0x100000
_AT_FDCWD, _AT_EMPTY_PATH = -100, 0x1000

_ESCAPED = re.compile(rb"\\([0-7]{3})")
_here = threading.local()


class NoLayersError(SprintError):
    """This machine, or the file system, does not have what it takes; the message says what failed."""


class _MountAttributes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns"))


def cover(space: Workspace, layers: Mapping[str, Path], owner: int, kept: Path) -> None:
    """Show kept trees below folders of a workspace ("repo", "home"), until this process ends or `uncover`.

    `owner` is the uid that the trees' files have, `kept` the folder that they are in and that is to stay.
    What is shown there already stays on top. Raises NoLayersError; then no more is shown than before.
    """
    notes, before = _notes(space), _noted(space)
    more = {name: [*before.get(name, ()), (str(lower), owner)] for name, lower in layers.items()}
    try:
        (kept / _USERS).mkdir(exist_ok=True)
        (kept / _USERS / space.root.name).write_text(str(space.root))
        _note(notes, {**before, **more})
        _show(space, more)
    except (OSError, SprintError) as error:
        uncover(space.root)
        if before:  # the base's tree, without which the checkout is empty
            with files.refusing("show again", space.root):
                _note(notes, before)
                _show(space, before)
        raise _no_layers(error) from error


def cover_again(space: Workspace) -> None:
    """What an earlier process had shown in the workspace, if it had. Raises NoLayersError."""
    noted = _noted(space)
    if not all((space.root / name).is_mount() for name in noted):
        try:
            _show(space, noted)
        except (OSError, SprintError) as error:
            raise _no_layers(error) from error


def _noted(space: Workspace) -> dict[str, list[tuple[str, int]]]:
    try:
        read = json.loads((space.root / _NOTES / _OF).read_bytes())
        return {name: [(path, owner) for path, owner in lowers] for name, lowers in read.items()}
    except OSError:
        return {}
    except (ValueError, AttributeError, TypeError) as error:  # the machine went down while it was written
        raise NoLayersError(f"{space.root / _NOTES / _OF} is damaged: {error}") from error


def _note(notes: Path, noted: Mapping[str, Sequence[tuple[str, int]]]) -> None:
    files.replace(notes / _OF, json.dumps(noted).encode(), durable=False)


def _show(space: Workspace, noted: Mapping[str, Sequence[tuple[str, int]]]) -> None:
    for name, lowers in noted.items():
        _unmount(space.root / name)
        _mount(space.root / name, lowers, space.root / _NOTES, space.uid or 0)


def shown_below(root: Path, name: str) -> list[str]:
    """The trees that are, or were, shown below a workspace's folder of that name."""
    return [path for path, _ in _noted(Workspace(root)).get(name, ())]


def is_needed(kept: Path) -> bool:
    """Whether a workspace, wherever its process is, needs the trees of that folder to be complete."""
    with contextlib.suppress(FileNotFoundError):
        return any(is_covered(Path(user.read_text())) for user in (kept / _USERS).iterdir())
    return False


def is_covered(root: Path) -> bool:
    """Whether a workspace, wherever its process is, needs the trees that it was covered with."""
    return (root / _NOTES / _OF).exists()


def uncover(root: Path) -> None:
    """Take away whatever this thread sees mounted below a workspace's root, and the note of it."""
    if os.geteuid() != 0:
        return
    below = os.fsencode(root.absolute()) + b"/"
    for line in reversed(Path("/proc/thread-self/mountinfo").read_bytes().splitlines()):
        place = _ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), line.split(b" ")[4])
        if place.startswith(below):
            _unmount(Path(os.fsdecode(place)))
    with contextlib.suppress(OSError):
        (root / _NOTES / _OF).unlink(missing_ok=True)


def check(space: Workspace, lower: Path) -> None:
    """See whether trees beside `lower` can be shown in that workspace. Raises NoLayersError."""
    notes = _notes(space)
    probe = notes / "probe"
    try:
        probe.mkdir(exist_ok=True)
        _mount(probe, [(str(lower), space.uid or 0)], notes, space.uid or 0)
    except (OSError, SprintError) as error:
        raise _no_layers(error) from error
    finally:
        _unmount(probe)


def _no_layers(error: OSError | SprintError) -> NoLayersError:
    return NoLayersError(f"kept trees cannot be shown here: {error}")


def _notes(space: Workspace) -> Path:
    if os.geteuid() != 0 or space.uid is None:
        raise NoLayersError("kept trees are shown by root only")
    notes = space.root / _NOTES
    with files.refusing("make", notes):
        notes.mkdir(mode=0o700, exist_ok=True)
    return notes


def _mount(upper: Path, lowers: Sequence[tuple[str, int]], notes: Path, uid: int) -> None:
    """An overlay on `upper`, whose own content stays on top, of trees and their files' owners."""
    _stand_apart()
    work = notes / f"{upper.name}.work"
    work.mkdir(mode=0o700, exist_ok=True)
    with contextlib.ExitStack() as stack:
        shown = []
        for number, (lower, owner) in enumerate(lowers):
            shown.append(notes / f"{upper.name}.{number}")
            shown[-1].mkdir(mode=0o700, exist_ok=True)
            stack.enter_context(_shown_as(Path(lower), shown[-1], owner, uid))
        # By descriptor: a path may hold what ends an option.
        over, beside, *below = (
            f"/proc/self/fd/{stack.enter_context(_opened(path))}" for path in (upper, work, *shown)
        )
        options = f"lowerdir={':'.join(below)},upperdir={over},workdir={beside},redirect_dir=on"
        _call("overlay", _libc().mount(b"overlay", over.encode(), b"overlay", 0, options.encode()))


@contextlib.contextmanager
def _shown_as(tree: Path, place: Path, owner: int, uid: int) -> Iterator[None]:
    """A folder shown at `place`, with what is `owner`'s as `uid`'s. What was mounted from there stays."""
    call = _libc().syscall
    with _opened(tree) as source, _user_name_space({0: 0, owner: uid}) as userns:
        flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_EMPTY_PATH
        clone = _call("open_tree", call(_OPEN_TREE, source, b"", flags))
        try:
            wanted = _MountAttributes(_MOUNT_ATTR_IDMAP, 0, 0, userns)
            size = ctypes.sizeof(wanted)
            _call("idmap", call(_MOUNT_SETATTR, clone, b"", _AT_EMPTY_PATH, ctypes.byref(wanted), size))
            target = os.fsencode(place.absolute())
            moved = call(_MOVE_MOUNT, clone, b"", _AT_FDCWD, target, _MOVE_MOUNT_F_EMPTY_PATH)
            _call("move_mount", moved)
        finally:
            os.close(clone)
    try:
        yield
    finally:
        _unmount(place)


@contextlib.contextmanager
def _user_name_space(ids: Mapping[int, int]) -> Iterator[int]:
    """A descriptor of a user name space that maps each of `ids`: nobody is in it."""
    found: list[int] = []

    class _HasBegun(Exception):
        pass

    def take(pid: int) -> None:
        own, its = Path("/proc/self/ns/user").readlink(), Path(f"/proc/{pid}/ns/user")
        deadline = time.monotonic() + _NAME_SPACE_SECONDS
        while its.readlink() == own and time.monotonic() < deadline:
            time.sleep(0.0005)
        for table in ("uid_map", "gid_map"):
            lines = "".join(f"{inside} {outside} 1\n" for inside, outside in ids.items())
            Path("/proc", str(pid), table).write_text(lines)
        found.append(os.open(its, os.O_RDONLY | os.O_CLOEXEC))
        raise _HasBegun

    with contextlib.suppress(_HasBegun):
        proc.run(["unshare", "--user", "sleep", "60"], timeout=_NAME_SPACE_SECONDS, on_start=take)
    try:
        yield found[0]
    finally:
        os.close(found[0])


def _stand_apart() -> None:
    """Give this thread, and what it will start, a mount name space of their own."""
    if getattr(_here, "process", 0) != os.getpid():  # a fork would share its parent's
        _call("unshare", _libc().unshare(_CLONE_NEWNS))
        _call("slave", _libc().mount(None, b"/", None, _MS_SLAVE_ALL, None))
        _here.process = os.getpid()


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, _FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _unmount(place: Path) -> None:
    """Where nothing is mounted nothing happens."""
    _libc().umount2(os.fsencode(place), _MNT_DETACH)


def _call(what: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result
