"""The sandbox's /etc: copies of what is small in the host's, made once and shown as one folder.

To mount or to write each file by itself, for each command, would cost more than all the rest.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sprint import files
from sprint.errors import SandboxError
from sprint.sandbox.stages import Stages

_ETC = Path("/etc")
_LARGEST_COPY = 1_000_000  # bytes
_SMALL_FOLDER = 4  # entries, however deep


class _Step(NamedTuple):
    """How a path of the host's is shown: "copy", "folder" (an empty one), "bind", or what it links to."""

    path: str
    how: str


class SystemFiles:
    """Folders that show some of the host's /etc, with other files made up: one for each wish, and another
    where a file of the host's has changed since. Each stays as long as the stages do."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        self._made: dict[object, Path] = {}

    def options(self, paths: Sequence[Path], made_up: Mapping[str, str], uid: int) -> list[str]:
        """bubblewrap's options that show these paths as they are now, and `made_up`, which maps paths to
        texts. Raises SandboxError where no folder can be made."""
        plan = _plan(tuple(paths))
        copied = [_state(path) for path, how in plan if how == "copy"]
        wish = (plan, tuple(copied), tuple(made_up.items()))
        if wish not in self._made:
            self._made[wish] = _filled(self._stages.new_folder(uid), plan, made_up)
        listed = ["--ro-bind", str(self._made[wish]), str(_ETC)]
        for path, how in plan:
            if how == "bind":
                listed += ("--ro-bind-try", path, path)
        return listed


def _state(path: str) -> tuple[int, ...]:
    """What is another once the file has been written or replaced."""
    try:
        status = os.stat(path)  # noqa: PTH116 - for each command, and pathlib is dear
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _filled(folder: Path, plan: Sequence[_Step], made_up: Mapping[str, str]) -> Path:
    """Everybody may read what is put there, and nobody but the owner write, whatever the umask."""
    try:
        for step in plan:
            _fill(_place(folder, step.path), step)
        for path, text in made_up.items():
            _write(_place(folder, path), text.encode())
    except OSError as error:
        raise SandboxError(str(files.refusal("write", folder, error))) from error
    return folder


def _fill(place: Path, step: _Step) -> None:
    if step.how == "copy":
        data = _read(step.path)
        if data is not None:
            _write(place, data)
    elif step.how == "folder" or (step.how == "bind" and Path(step.path).is_dir()):
        _make_folder(place)
    elif step.how == "bind":
        _write(place, b"")
    else:
        place.symlink_to(step.how)


def _read(path: str) -> bytes | None:
    """None where it is gone meanwhile, or no longer for all."""
    with contextlib.suppress(OSError), Path(path).open("rb") as file:
        if _is_for_all(os.fstat(file.fileno())):
            return file.read()
    return None


def _place(folder: Path, path: str) -> Path:
    inside = Path(path).relative_to(_ETC)
    for parent in reversed(inside.parents):
        _make_folder(folder / parent)
    return folder / inside


def _make_folder(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o644)


@functools.cache
def _plan(paths: tuple[Path, ...]) -> tuple[_Step, ...]:
    """Small folders are taken apart."""
    return tuple(step for path in paths for step in _steps(path))


def _steps(path: Path) -> Iterator[_Step]:
    with contextlib.suppress(OSError):
        if path.is_symlink() and str(path.resolve()).startswith("/usr/"):
            yield _Step(str(path), str(path.resolve()))
        elif path.is_file() and not path.is_symlink() and _is_small_file(path):
            yield _Step(str(path), "copy")
        elif path.is_dir() and not path.is_symlink() and _is_small(path):
            yield _Step(str(path), "folder")
            for entry in sorted(path.iterdir()):
                yield from _steps(entry)
        elif path.exists():
            yield _Step(str(path), "bind")


def _is_small_file(path: Path) -> bool:
    return path.stat().st_size <= _LARGEST_COPY and _is_for_all(path.stat())


def _is_small(folder: Path) -> bool:
    """Whether there are few entries in it, none that only some may read, and no link to nowhere."""
    entries = list(itertools.islice(folder.rglob("*"), _SMALL_FOLDER + 1))
    try:
        return len(entries) <= _SMALL_FOLDER and all(_is_for_all(each.stat()) for each in (folder, *entries))
    except OSError:
        return False


def _is_for_all(status: os.stat_result) -> bool:
    """Whether anybody may read it: root reads /etc/pki/tls/private, and whoever may read a copy must not."""
    wanted = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(status.st_mode) else 0)
    return status.st_mode & wanted == wanted
