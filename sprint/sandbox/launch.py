"""From a runner that is root to a command that is not: control group, mounts, then the unprivileged uid."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path


def reachable(path: Path, uid: int) -> bool:
    """Whether that uid may go as far as path: it needs search permission on every folder above."""
    for folder in path.absolute().parents:
        status = folder.stat()
        own = status.st_uid == uid and status.st_mode & stat.S_IXUSR
        if not own and not status.st_mode & stat.S_IXOTH:
            return False
    return True


@contextlib.contextmanager
def stages(paths: Iterable[Path]) -> Iterator[dict[Path, Path]]:
    """For each path a place that anybody can reach, to be mounted over by `as_user`; removed at the end."""
    wanted = list(paths)
    if not wanted:
        yield {}
        return
    folder = Path(tempfile.mkdtemp(prefix="sprint-stage-"))
    try:
        folder.chmod(0o711)
        staged = {path: folder / str(number) for number, path in enumerate(wanted)}
        for path, stage in staged.items():
            stage.mkdir() if path.is_dir() else stage.touch()
        yield staged
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def as_user(
    argv: Sequence[str], uid: int, *, door: str, staged: Mapping[Path, Path], waits: int
) -> list[str]:
    """The command that root starts: it enters the control group, makes the mounts and becomes uid.

    The mounts are in a namespace of its own, and vanish with it. A control group that cannot be entered is
    no reason to stop. It goes on only with a line from the descriptor `waits`.
    """
    steps = [f"echo 0 2>/dev/null >{shlex.quote(door)}"] if door else []
    for path, stage in staged.items():
        steps.append(f"mount --bind {shlex.quote(str(path))} {shlex.quote(str(stage))} || exit 1")
    steps.append(f"read -r _ </proc/self/fd/{waits} || exit 1")
    steps.append(f'exec setpriv --reuid {uid} --regid {uid} --clear-groups -- "$@"')
    own_mounts = ["unshare", "--mount", "--propagation", "private", "--"] if staged else []
    return [*own_mounts, "/bin/sh", "-c", "\n".join(steps), "sh", *argv]
