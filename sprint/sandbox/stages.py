"""How a command that is not root sees what only root can reach."""

from __future__ import annotations

import contextlib
import functools
import secrets
import stat
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path


def reachable(path: Path, uid: int) -> bool:
    """Whether that uid may go as far as path: it needs search permission on every folder above."""
    for folder in path.absolute().parents:
        status = folder.stat()
        own = status.st_uid == uid and status.st_mode & stat.S_IXUSR
        if not own and not status.st_mode & stat.S_IXOTH:
            return False
    return True


class Stages:
    """Places that anybody can reach, to be mounted over with what nobody but root can reach.

    Made when they are first wanted, and gone with this object. To all but the command they are empty.
    """

    def __init__(self) -> None:
        self._places: dict[Path, Path] = {}

    @functools.cached_property
    def _folder(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="sprint-stage-"))
        weakref.finalize(self, _remove, folder)
        folder.chmod(0o711)
        return folder

    def of(self, paths: Sequence[Path]) -> dict[Path, Path]:
        """The places of those paths."""
        for path in paths:
            place = self._places.setdefault(path, self._folder / secrets.token_hex(4))
            place.mkdir(exist_ok=True) if path.is_dir() else place.touch()
        return {path: self._places[path] for path in paths}


def _remove(folder: Path) -> None:
    """Without going into any place: were something still mounted there, it would not be ours to delete."""
    with contextlib.suppress(OSError):
        for entry in list(folder.iterdir()):
            entry.rmdir() if entry.is_dir() else entry.unlink()
        folder.rmdir()
