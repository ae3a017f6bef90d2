"""What a run's worker made, apart from the mirror until it is pushed.

Every checkout is copied from the mirror: whatever got into that, a secret or a refused change among it, the
next worker could read. So each run imports into a bare repository of its own, which sees the mirror's objects
and adds none to them; what is pushed comes back by the next fetch.
"""

from __future__ import annotations

from pathlib import Path

from sprint import files, git
from sprint.errors import SprintError
from sprint.workspace import removal

_NAME = "work.git"
_ALTERNATES = "objects/info/alternates"


def own_objects(folder: Path, mirror: Path) -> Path:
    """The repository of the run whose folder this is, made where there is none."""
    path = folder / _NAME
    git.init_bare(path)
    wanted = f"{(mirror / 'objects').absolute()}\n".encode("utf-8", "surrogateescape")
    try:
        if not (path / _ALTERNATES).exists() or (path / _ALTERNATES).read_bytes() != wanted:
            files.replace(path / _ALTERNATES, wanted)
    except OSError as error:
        raise SprintError(f"cannot write to {path}: {error.strerror or error}") from error
    return path


def mirror_of(path: Path) -> Path:
    """The mirror that a run's own repository sees; a mirror itself."""
    try:
        line = (path / _ALTERNATES).read_bytes().decode("utf-8", "surrogateescape")
    except OSError:
        return path
    return Path(line.strip("\n")).parent


def drop_objects(folder: Path) -> None:
    """Remove a run's own repository, if there is one: the run has ended."""
    if (folder / _NAME).is_dir():
        removal.delete(folder / _NAME)
