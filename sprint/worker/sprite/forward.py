"""Has a run's gateway answer on a machine that OpenSSH reaches, for as long as the gateway is there.

    python3 -I -m sprint.worker.sprite.forward SPEC

A process of its own beside the gateway's, for work that outlives a tick. For an agent in a sandbox, which has
a loopback of its own, there is a socket in a folder that only the user there can enter. For others it listens
on the loopback of that machine, where whoever is on it may knock; without the run's own key nothing is
answered. Port and folder stay the same after a connection that broke.
"""

from __future__ import annotations

import contextlib
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from sprint import decoding, json_file, proc
from sprint.config import SshBackendConfig
from sprint.domain import Run
from sprint.errors import Busy, SprintError
from sprint.gateway import own_process
from sprint.gateway.own_process import FOLDER
from sprint.lock import lock
from sprint.sprite.backend import BackendError, Failed
from sprint.sprite.folders import SshShell
from sprint.surroundings import Surroundings

SOCKET = "model"  # in its folder on the other machine

_LOCK, _WAY, _LOG, _OUTPUT = "forward.lock", "forward.json", "forward.log", "forward.out"
_ALLOCATED = re.compile(rb"Allocated port (\d+) for remote forward")
_AGAIN_SECONDS, _LOOK_SECONDS = 2.0, 3.0
_LONGEST = 30 * 86400.0
_PATIENCE_SECONDS = 30.0
_ASK_SECONDS = 20.0


class Spec(msgspec.Struct, frozen=True):
    """`folder` is the run's."""

    backend: SshBackendConfig
    folder: str
    by_socket: bool


class Way(msgspec.Struct, frozen=True):
    """On the other machine: a port of its loopback, or the folder of a socket called SOCKET."""

    port: int = 0
    folder: str = ""


def start(
    run: Run, folder: Path, backend: SshBackendConfig, around: Surroundings, *, by_socket: bool = False
) -> Way:
    """Where the run's gateway answers there; one that is forwarded already stays as it is.

    Raises SprintError where it cannot be.
    """
    spec = msgspec.json.encode(Spec(backend, str(folder), by_socket)).decode()
    argv = [sys.executable, "-I", "-m", __name__, spec]
    if not _is_held(folder):
        proc.detach(argv, env=around.environ, cwd=folder, log=folder / _LOG)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (found := json_file.read_if_sound(folder / _WAY, Way)) is None:
        if time.monotonic() > deadline:
            raise SprintError(
                f"run {run.id}: its gateway cannot be forwarded to {backend.host}, whose sshd must allow "
                f"forwarding; {folder / _OUTPUT} says more"
            )
        time.sleep(0.05)
    return found


def _is_held(folder: Path) -> bool:
    try:
        with lock(folder / _LOCK):
            return False
    except Busy:
        return True


def main(argv: Sequence[str]) -> int:
    spec = decoding.decode(argv[0], Spec)
    folder, shell = Path(spec.folder), SshShell(spec.backend)
    with (
        contextlib.suppress(Busy),
        lock(folder / _LOCK),
        _short(folder / FOLDER / own_process.SOCKET) as socket,
    ):
        way = json_file.read_if_sound(folder / _WAY, Way)  # of one that died: the agent there knows it
        while own_process.serves(folder):
            with contextlib.suppress(BackendError):
                way = way or Way(folder=_made(shell) if spec.by_socket else "")
                way = _forwarded(shell, folder, way, socket)
            time.sleep(_AGAIN_SECONDS)
        with contextlib.suppress(BackendError):
            if way and way.folder:
                _told(shell, 'rm -rf "$1"', way.folder)
    return 0


def _forwarded(shell: SshShell, folder: Path, way: Way, socket: Path) -> Way:
    """Until the connection breaks, or the gateway is gone; the way that there was. Raises BackendError."""
    output = folder / _OUTPUT
    output.unlink(missing_ok=True)
    known, look_at = folder / _WAY, time.monotonic() + _LOOK_SECONDS
    there = f"{way.folder}/{SOCKET}" if way.folder else f"127.0.0.1:{way.port}"
    if way.folder:
        _told(shell, 'rm -f "$1"', there)  # sshd leaves it behind, and takes no place that is taken

    def watch() -> str:
        nonlocal way, look_at
        if not known.exists():
            if found := _ALLOCATED.search(output.read_bytes()):
                way = Way(port=int(found[1]))
            if way.port or (way.folder and _told(shell, '[ ! -S "$1" ] || echo yes', there)):
                json_file.write(known, way)
        if time.monotonic() > look_at:
            look_at = time.monotonic() + _LOOK_SECONDS
            return "" if own_process.serves(folder) else "the gateway has ended"
        return ""

    argv = shell.forwarding(there, socket)
    proc.run(argv, timeout=_LONGEST, output_file=output, output_file_cap=100_000, watch=watch)
    return way


def _made(shell: SshShell) -> str:
    """A folder of ours there, whose path is short enough for a socket's address. Raises BackendError."""
    return _told(shell, "umask 077; mktemp -d /tmp/sprint-XXXXXXXXXX")


def _told(shell: SshShell, script: str, *args: str) -> str:
    done = shell.run(script, args, timeout=_ASK_SECONDS, stdin=b"", cap=10_000)
    if not done.ok:
        raise Failed(f"{shell.where}: {done.err.strip()[-300:]}")
    return done.out.strip()


@contextlib.contextmanager
def _short(path: Path) -> Iterator[Path]:
    """The same by a path that fits into a socket's address."""
    with tempfile.TemporaryDirectory(prefix="sprint-forward-") as folder:
        link = Path(folder, "s")
        link.symlink_to(path)
        yield link


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
