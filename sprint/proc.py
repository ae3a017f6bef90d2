"""The one door to subprocesses: an argument list, a time limit, an environment made from nothing."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from sprint.domain import Completed
from sprint.errors import SprintError

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CHUNK = 65536
_DRAIN_SECONDS = 2.0  # how long output is still read once the command itself has ended


def hostname() -> str:
    """This machine's name, the same wherever one process asks whether another's work was done here."""
    return socket.gethostname() or "localhost"


def find(program: str) -> str | None:
    """Where a program is, on the runner's own PATH and then the system's."""
    return shutil.which(program) or shutil.which(program, path=SEARCH_PATH)


def minimal_environment(**more: str) -> dict[str, str]:
    """The environment children get: a path and a locale, and nothing of the runner's own."""
    return {"PATH": os.environ.get("PATH") or SEARCH_PATH, "LANG": "C.UTF-8", **more}


class _Kept:
    """The head and the tail of a stream, up to `cap` bytes together."""

    def __init__(self, cap: int) -> None:
        self._half = max(cap // 2, 1)
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail += data
            if len(self._tail) > 2 * self._half:
                del self._tail[: -self._half]

    @property
    def truncated(self) -> bool:
        return self.total > 2 * self._half

    def bytes(self) -> bytes:
        tail = self._tail[-self._half :]
        dropped = self.total - len(self._head) - len(tail)
        gap = b"\n... %d bytes left out ...\n" % dropped if dropped else b""
        return bytes(self._head) + gap + bytes(tail)


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    output_cap: int = 10_000_000,
    output_file: Path | None = None,
    output_file_cap: int = 64_000_000,
    pass_fds: Iterable[int] = (),
    uid: int | None = None,
    watch: Callable[[], str] | None = None,
    watch_interval: float = 0.5,
) -> Completed:
    """Run argv to its end, in a process group of its own that is killed when it ends.

    `env` replaces the minimal environment. `uid` runs it as that uid and gid with no other groups.
    `watch` is called every `watch_interval` seconds; what it returns, if anything, ends the command and is
    its `killed_by`. Raises SprintError where the program cannot be started.
    """
    started = time.monotonic()
    try:
        child = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=dict(env) if env is not None else minimal_environment(),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
        )
    except OSError as error:
        is_missing = isinstance(error, FileNotFoundError) and error.filename == argv[0]
        reason = "not found; install it, or put it on the PATH" if is_missing else error.strerror or error
        raise SprintError(f"cannot start {argv[0]}: {reason}") from error
    out, err = _Kept(output_cap), _Kept(output_cap)
    killed_by = ""
    with contextlib.ExitStack() as stack:
        stack.callback(kill_group, child)
        sinks: dict[str, Callable[[bytes], None]] = {"stdout": out.add, "stderr": err.add}
        if output_file is not None:
            tee = _tee(stack.enter_context(output_file.open("ab", buffering=0)), output_file_cap)
            sinks = {name: tee(add) for name, add in sinks.items()}
        killed_by = _pump(child, stdin, sinks, started + timeout, watch, watch_interval)
    return Completed(
        exit_code=child.returncode,
        stdout=out.bytes(),
        stderr=err.bytes(),
        seconds=time.monotonic() - started,
        killed_by=killed_by,
        truncated=out.truncated or err.truncated,
    )


def _tee(copy: IO[bytes], cap: int) -> Callable[[Callable[[bytes], None]], Callable[[bytes], None]]:
    """Make sinks that also write to `copy`, up to `cap` bytes in all."""

    def wrap(add: Callable[[bytes], None]) -> Callable[[bytes], None]:
        def both(data: bytes) -> None:
            add(data)
            with contextlib.suppress(OSError):  # a full disk costs the copy, not the command
                copy.write(data[: max(cap - copy.tell(), 0)])

        return both

    return wrap


def _pump(
    child: subprocess.Popen[bytes],
    stdin: bytes,
    sinks: Mapping[str, Callable[[bytes], None]],
    deadline: float,
    watch: Callable[[], str] | None,
    watch_interval: float,
) -> str:
    """Feed and drain the child until it ends; returns what ended it early, or ""."""
    pending = memoryview(stdin)
    finished = False
    next_watch = time.monotonic() + watch_interval
    with selectors.DefaultSelector() as selector, _end_of(child) as end:
        selector.register(end, selectors.EVENT_READ, "end")
        for name in ("stdout", "stderr", "stdin"):
            stream = getattr(child, name)
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                event = selectors.EVENT_WRITE if name == "stdin" else selectors.EVENT_READ
                selector.register(stream, event, name)
        while (now := time.monotonic()) < deadline:
            if watch is not None and now >= next_watch:
                if reason := watch():
                    return reason
                next_watch = now + watch_interval
            # A survivor in the background may hold the pipes open: the child's own end is what counts.
            if not finished and _has_ended(child):
                finished = True
                selector.unregister(end)
                _kill_group(child)
                deadline = min(deadline, now + _DRAIN_SECONDS)
            wait = 0.0 if finished else min(deadline - now, watch_interval, 0.25)
            ready = selector.select(wait)
            for key, _ in ready:
                if key.data == "end":
                    continue
                if key.data == "stdin":
                    pending = _feed(selector, child.stdin, pending)
                elif data := os.read(key.fd, _CHUNK):
                    sinks[key.data](data)
                else:
                    selector.unregister(key.fileobj)
            if finished and not [key for key, _ in ready if key.data != "stdin"]:
                return ""
    return "" if finished else "timeout"


@contextlib.contextmanager
def _end_of(child: subprocess.Popen[bytes]) -> Iterator[int]:
    """A descriptor that becomes readable when the child ends."""
    descriptor = os.pidfd_open(child.pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Whether the child is over; it stays unreaped, so that its process group's number cannot be reused."""
    try:
        return os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _feed(selector: selectors.BaseSelector, stream: IO[bytes] | None, pending: memoryview) -> memoryview:
    assert stream is not None
    try:
        pending = pending[os.write(stream.fileno(), pending[:_CHUNK]) :]
    except BlockingIOError:
        return pending
    except BrokenPipeError:
        pending = pending[len(pending) :]
    if not pending:
        selector.unregister(stream)
        stream.close()
    return pending


def kill_group(child: subprocess.Popen[bytes]) -> None:
    """Kill the child's whole process group, reap the child and close its pipes."""
    if child.returncode is None:
        _kill_group(child)
    child.wait()
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
