"""The one door to subprocesses: an argument list, a time limit, an environment made from nothing."""

from __future__ import annotations

import contextlib
import io
import math
import os
import selectors
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from sprint.domain import Completed
from sprint.errors import SprintError
from sprint.sinks import Kept, Lines, Sink, both, copy

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
GO_PATH = "/usr/local/go/bin"  # where Go's own installer puts it, outside everybody's PATH
_CHUNK = 65536
_WATCH_SECONDS = 0.2  # at least every quarter of a second, whatever else is to be done
_DRAIN_SECONDS = 2.0  # how long output is still read once the command itself has ended


def hostname() -> str:
    """This machine's name, the same wherever one process asks whether another's work was done here."""
    return socket.gethostname() or "localhost"


def find(program: str) -> str | None:
    """Where a program is, on the runner's own PATH and then where sandboxes have those of the system."""
    return shutil.which(program) or shutil.which(program, path=f"{GO_PATH}:{SEARCH_PATH}")


def minimal_environment(**more: str) -> dict[str, str]:
    """The environment children get: a path and a locale, and nothing of the runner's own."""
    return {"PATH": os.environ.get("PATH") or SEARCH_PATH, "LANG": "C.UTF-8", **more}


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    stdin_file: Path | None = None,
    output_cap: int = 10_000_000,
    output_file: Path | None = None,
    output_file_cap: int = 64_000_000,
    pass_fds: Iterable[int] = (),
    uid: int | None = None,
    watch: Callable[[], str] | None = None,
    on_line: Callable[[bytes], None] | None = None,
    on_start: Callable[[int], None] | None = None,
) -> Completed:
    """Run argv to its end, in a process group of its own that is killed when it ends.

    `env` replaces the minimal environment. `uid` runs it as that uid and gid with no other groups.
    `stdin_file` is read in place of `stdin`, and piped. `watch` is asked at least every 0.25 s: what it
    returns, if anything, ends the command at once and is its `killed_by`; so does what it raises, which comes
    out of here. `on_line` gets each line of stdout when it comes, without its end, a last one that has none
    too, and one over 16 MB cut; what it raises is logged. `on_start` is called with its pid once it is
    started, and ends it by raising. All are called in the calling thread.
    Raises SprintError where the program cannot be started, or `stdin_file` not be read.
    """

    def start(*, has_input: bool) -> Child:
        child = _start(argv, cwd=cwd, env=env, has_input=has_input, pass_fds=pass_fds, uid=uid)
        if on_start is not None:
            try:
                on_start(child.pid)
            except BaseException:
                child.close()
                raise
        return child

    return attend(
        start,
        timeout=timeout,
        stdin=stdin,
        stdin_file=stdin_file,
        output_cap=output_cap,
        output_file=output_file,
        output_file_cap=output_file_cap,
        watch=watch,
        on_line=on_line,
    )


class Child(Protocol):
    """A program that runs, for `attend` to feed, to drain and to end."""

    @property
    def stdin(self) -> IO[bytes] | None: ...
    @property
    def stdout(self) -> IO[bytes]: ...
    @property
    def stderr(self) -> IO[bytes]: ...

    def fileno(self) -> int:
        """A descriptor that can be read once it has ended, and maybe before."""
        ...

    def has_ended(self) -> bool: ...

    def kill(self) -> None:
        """End what is left of it, itself or what it forked, if need be."""
        ...

    def close(self) -> int:
        """End it where it has not ended, close its pipes, and tell its exit code."""
        ...


class Starter(Protocol):
    """Starts a program, with a pipe for its standard input or without. Raises SprintError."""

    def __call__(self, *, has_input: bool) -> Child: ...


def attend(
    start: Starter,
    *,
    timeout: float,
    stdin: bytes = b"",
    stdin_file: Path | None = None,
    output_cap: int = 10_000_000,
    output_file: Path | None = None,
    output_file_cap: int = 64_000_000,
    watch: Callable[[], str] | None = None,
    on_line: Callable[[bytes], None] | None = None,
) -> Completed:
    """See a program that somebody starts to its end; all else is as in `run`."""
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        given = stack.enter_context(_opened(stdin_file)) if stdin_file else io.BytesIO(stdin)
        out, err = Kept(output_cap), Kept(output_cap)
        sinks: dict[str, Sink] = {"stdout": out.add, "stderr": err.add}
        if on_line is not None:
            lines = Lines(on_line)
            stack.callback(lines.end)
            sinks["stdout"] = both(out.add, lines.add)
        if output_file is not None:
            copied = copy(stack.enter_context(output_file.open("ab", buffering=0)), output_file_cap)
            sinks = {name: both(add, copied) for name, add in sinks.items()}
        child = start(has_input=bool(stdin_file or stdin))
        stack.callback(child.close)
        killed_by = _pump(child, given, sinks, started + timeout, watch)
        exit_code = child.close()
    return Completed(
        exit_code=exit_code,
        stdout=out.bytes(),
        stderr=err.bytes(),
        seconds=time.monotonic() - started,
        killed_by=killed_by,
        truncated=out.truncated or err.truncated,
    )


def begin(argv: Sequence[str], *, pass_fds: Iterable[int]) -> subprocess.Popen[bytes]:
    """Start a helper of this process' own, which speaks over what it is passed. Raises SprintError."""
    try:
        return subprocess.Popen(
            list(argv),
            env={"PATH": SEARCH_PATH},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )
    except OSError as error:
        raise SprintError(f"cannot start {argv[0]}: {error.strerror or error}") from error


def detach(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path) -> int:
    """Start a program that outlives this process, its output added to `log`; returns its id.

    Raises SprintError where it cannot be started.
    """
    try:
        with log.open("ab") as file:
            return subprocess.Popen(
                list(argv),
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ).pid
    except OSError as error:
        raise SprintError(f"cannot start {argv[0]}: {error.strerror or error}") from error


def is_over(pid: int) -> bool:
    """Whether a program that this process has detached has ended."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise SprintError(f"cannot read {path}: {error.strerror or error}") from error


def _start(
    argv: Sequence[str],
    *,
    cwd: Path | None,
    env: Mapping[str, str] | None,
    has_input: bool,
    pass_fds: Iterable[int],
    uid: int | None,
) -> _Own:
    try:
        child = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=dict(env) if env is not None else minimal_environment(),
            stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
        )
        return _Own(child)
    except OSError as error:
        is_missing = isinstance(error, FileNotFoundError) and error.filename == argv[0]
        reason = "not found; install it, or put it on the PATH" if is_missing else error.strerror or error
        raise SprintError(f"cannot start {argv[0]}: {reason}") from error


class _Own:
    """A child of this very process, in a process group of its own."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        assert child.stdout is not None
        assert child.stderr is not None
        self._child = child
        self._end = os.pidfd_open(child.pid)
        self.pid = child.pid
        self.stdin, self.stdout, self.stderr = child.stdin, child.stdout, child.stderr

    def fileno(self) -> int:
        return self._end

    def has_ended(self) -> bool:
        """It stays unreaped, so that its process group's number cannot be reused."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> int:
        if self._child.returncode is None:
            self.kill()
            self._child.wait()
            os.close(self._end)
            close_pipes(self)
        return self._child.returncode


def close_pipes(child: Child) -> None:
    """Close our ends, whatever has become of the others."""
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _pump(
    child: Child,
    given: IO[bytes],
    sinks: Mapping[str, Sink],
    deadline: float,
    watch: Callable[[], str] | None,
) -> str:
    """Feed and drain the child until it ends; returns what ended it early, or ""."""
    finished = False
    next_watch = time.monotonic() + _WATCH_SECONDS if watch else math.inf
    with selectors.DefaultSelector() as selector:
        selector.register(child, selectors.EVENT_READ, "end")
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
                next_watch = now + _WATCH_SECONDS
            # A survivor in the background may hold the pipes open: the child's own end is what counts.
            if not finished and child.has_ended():
                finished = True
                selector.unregister(child)
                child.kill()
                deadline = min(deadline, now + _DRAIN_SECONDS)
            wait = 0.0 if finished else min(deadline, next_watch) - now
            ready = selector.select(wait)
            for key, _ in ready:
                if key.data == "end":
                    continue
                if key.data == "stdin":
                    _feed(selector, child.stdin, given)
                elif data := os.read(key.fd, _CHUNK):
                    sinks[key.data](data)
                else:
                    selector.unregister(key.fileobj)
            if finished and not [key for key, _ in ready if key.data != "stdin"]:
                return ""
    return "" if finished else "timeout"


def _feed(selector: selectors.BaseSelector, stream: IO[bytes] | None, given: IO[bytes]) -> None:
    """Write as much of what is left as the child takes now; close the stream after the last of it."""
    assert stream is not None
    data = given.read(_CHUNK)
    is_last = len(data) < _CHUNK
    try:
        written = os.write(stream.fileno(), data) if data else 0
    except BlockingIOError:
        written = 0
    except BrokenPipeError:
        written, is_last = len(data), True
    given.seek(written - len(data), os.SEEK_CUR)
    if is_last and written == len(data):
        selector.unregister(stream)
        stream.close()
