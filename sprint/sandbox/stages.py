"""What commands see of the host, and could not see where it lies: in places that anybody can reach."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

from sprint import files
from sprint.errors import SandboxError

_PREFIX = "sprint-staged-"
_MODE = 0o711
_TREES = "made"  # what is in it has no mount on it
# Everybody may enter these; what is made there is by mkdtemp.
_IN_MEMORY = Path("/dev/shm")  # noqa: S108
_ELSEWHERE = Path("/tmp")  # noqa: S108
_SYSTEM_UIDS = range(1000)
_ROOM, _FILES = 16_000_000, 1_000  # bytes and files, for copies of what is small


def reachable(path: Path, uid: int) -> bool:
    """Whether that uid may go as far as path: it needs search permission on every folder above."""
    for folder in path.absolute().parents:
        status = folder.stat()
        own = status.st_uid == uid and status.st_mode & stat.S_IXUSR
        if not own and not status.st_mode & stat.S_IXOTH:
            return False
    return True


class Stages:
    """Places to be mounted over with what nobody but root can reach, and folders to be filled.

    Made when they are first wanted, and gone with this object, or with the next one's after a runner that was
    killed. The places are empty to all but the command.
    """

    def __init__(self) -> None:
        self._places: dict[Path, Path] = {}
        self._folder: Path | None = None

    def of(self, paths: Sequence[Path], uid: int) -> dict[Path, Path]:
        """The places of those paths. Raises SandboxError."""
        for path in paths:
            if path not in self._places:
                with _refused(path):
                    place = self._own(uid) / secrets.token_hex(4)
                    place.mkdir() if path.is_dir() else place.touch()
                    self._places[path] = place
        return {path: self._places[path] for path in paths}

    def new_folder(self, uid: int) -> Path:
        """An empty folder that everybody may enter and read. Raises SandboxError."""
        with _refused(Path(tempfile.gettempdir())):
            made = self._own(uid) / _TREES / secrets.token_hex(4)
            made.mkdir(parents=True)
            made.parent.chmod(0o755)
            made.chmod(0o755)
            return made

    def _own(self, uid: int) -> Path:
        """Locked for as long as there is somebody who uses it."""
        while self._folder is None:
            parent, *others = _parents(uid)
            for place in (parent, *others):
                _sweep(place)
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
            folder.chmod(_MODE)
            if (lock := _locked(folder)) is not None:  # else another one has swept it away
                self._folder = folder
                weakref.finalize(self, _end, folder, lock)
        return self._folder


def _parents(uid: int) -> list[Path]:
    """Where they may be made, the best first: in memory, where files come and go fastest, unless TMPDIR says
    where what is temporary belongs. Raises FileNotFoundError.

    Not an ordinary user's: systemd removes all that is his in memory as he logs out, whatever runs on.
    """
    places = [Path(tempfile.gettempdir()), _ELSEWHERE]
    if "TMPDIR" not in os.environ and os.geteuid() in _SYSTEM_UIDS:
        places.insert(0, _IN_MEMORY)
    found = [place for place in dict.fromkeys(places) if _is_usable(place, uid)]
    if not found:
        raise FileNotFoundError(errno.ENOENT, "no folder for temporary files can be used", str(places[-1]))
    return found


def _is_usable(place: Path, uid: int) -> bool:
    try:
        status = os.statvfs(place)
    except OSError:
        return False
    counts_files = status.f_files > 0
    has_room = status.f_bavail * status.f_frsize > _ROOM and (status.f_favail > _FILES or not counts_files)
    return has_room and os.access(place, os.W_OK | os.X_OK) and reachable(place / "any", uid)


@contextlib.contextmanager
def _refused(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SandboxError(str(files.refusal("stage", path, error))) from error


def _locked(folder: Path) -> int | None:
    """The folder as a descriptor that holds its lock; None where another process has it, or it is gone."""
    with contextlib.suppress(OSError):
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            files.flock(lock)
            if os.path.samestat(folder.lstat(), os.fstat(lock)):
                return lock
        except OSError:
            pass
        os.close(lock)
    return None


def _sweep(parent: Path) -> None:
    """Take away what runners of this user left behind that were killed."""
    with os.scandir(parent) as entries:
        left = [Path(entry.path) for entry in entries if entry.name.startswith(_PREFIX)]
    for folder in left:
        with contextlib.suppress(OSError):
            status = folder.lstat()
            is_ours = status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == _MODE
            if is_ours and (lock := _locked(folder)) is not None:
                _end(folder, lock)


def _end(folder: Path, lock: int) -> None:
    """Without going into any place: were something still mounted there, it would not be ours to delete."""
    with contextlib.suppress(OSError):
        shutil.rmtree(folder / _TREES, ignore_errors=True)
        for entry in list(folder.iterdir()):
            entry.rmdir() if entry.is_dir() else entry.unlink()
        folder.rmdir()
    os.close(lock)
