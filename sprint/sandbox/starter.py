"""Has commands started by one process that is there for all of them: see `supervise.py`."""

from __future__ import annotations

import contextlib
import marshal
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from sprint import proc
from sprint.domain import Completed
from sprint.errors import SandboxError, SprintError
from sprint.sandbox.handed import Handed
from sprint.sandbox.limits import first_of
from sprint.sandbox.protocol import Command

_HERE = str(Path(__file__).parent)
# Imported, it is compiled once.
_SUPERVISE = "import sys; sys.path.append(sys.argv.pop()); import supervise; sys.exit(supervise.main())"
_SPACE = "/proc/thread-self/ns/mnt"
_GONE_SECONDS = 10.0


class Job(NamedTuple):
    """A command, and as whom it runs: `uid` None is the runner's own.

    `limits` are prlimit's names, `door` a control group's file or "". `mounts` are paths
    and the places where they are to appear, for root only. `is_boxed`: when it ends, so does all that
    it forked.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    uid: int | None
    limits: Mapping[str, int]
    door: str = ""
    mounts: Mapping[str, str] = {}
    oom_score: int = 0
    is_boxed: bool = False


class Starter:
    """That process: there from the first command on, and gone with this object, or with the runner."""

    def __init__(self) -> None:
        self._channel: socket.socket | None = None

    def begin(self) -> None:
        """Have it come to be while the caller does something else. Raises SandboxError."""
        try:
            self._channel = self._channel or self._begun()
        except OSError as error:
            raise _cannot_start(error) from error

    def start(self, job: Job, handed: Handed, *, has_input: bool) -> Started:
        """Start a command, which has what is in `handed`. Raises SandboxError."""
        limits = {getattr(resource, f"RLIMIT_{name.upper()}"): value for name, value in job.limits.items()}
        text = marshal.dumps(
            {**job._asdict(), "argv": list(job.argv), "env": dict(job.env), "limits": limits}
        )
        with Handed() as own:
            own.data(text)
            stdin = None
            if has_input:
                _, stdin = own.pipe_to()
            else:
                own.file(os.devnull)
            (stdout, _), (stderr, _) = own.pipe(), own.pipe()
            own.file(_SPACE)
            _, lifeline = own.pipe_to()
            told, _ = own.pipe()
            self._send([*own.inherited, *handed.inherited])
            handed.close_inherited()
            own.keep()
        return Started(stdin, stdout, stderr, lifeline, told)

    def _send(self, descriptors: Sequence[int]) -> None:
        for channel in (self._channel, None):  # one that was killed meanwhile is begun anew, once
            try:
                self._channel = channel or self._begun()
                socket.send_fds(self._channel, [b"\n"], descriptors)
                return
            except OSError as error:
                if channel is None:
                    raise _cannot_start(error) from error

    def _begun(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = [str(theirs.fileno()), str(os.getpid()), _HERE]
        argv = [sys.executable, "-I", "-S", "-c", _SUPERVISE, *words]
        with theirs:
            try:
                process = proc.begin(argv, pass_fds=[theirs.fileno()])
            except SprintError as error:
                raise SandboxError(f"{error}; reinstall sprint") from error
        weakref.finalize(self, _end, ours, process)
        return ours


def _cannot_start(error: OSError) -> SandboxError:
    return SandboxError(f"no command can be started: {error.strerror or error}")


def _end(channel: socket.socket, process: subprocess.Popen[bytes]) -> None:
    channel.close()
    process.kill()
    process.wait()


class Started:
    """A command, as `proc.attend` wants it."""

    def __init__(self, stdin: int | None, stdout: int, stderr: int, lifeline: int, told: int) -> None:
        self.stdin: IO[bytes] | None = None if stdin is None else os.fdopen(stdin, "wb", buffering=0)
        self.stdout: IO[bytes] = os.fdopen(stdout, "rb", buffering=0)
        self.stderr: IO[bytes] = os.fdopen(stderr, "rb", buffering=0)
        self._lifeline = lifeline
        self._told = told
        self._text = b""
        self._is_over = self._is_closed = False

    @property
    def pid(self) -> int | None:
        """The process that all of the command's descend from; None before it is told."""
        self.has_ended()
        first, is_whole, _ = self._text.partition(b"\n")
        return int(first) if is_whole else None

    def check_told(self) -> None:
        """For what ended by itself. Raises SandboxError where nobody has told how: whoever starts commands
        was ended, or never came to be."""
        if len(self._text.splitlines()) < 2:
            raise SandboxError(
                "the process that starts commands was ended; see whether the machine has run out of memory, "
                f"and whether {sys.executable} starts"
            )

    def fileno(self) -> int:
        return self._told

    def has_ended(self) -> bool:
        """Whether nothing of it is left."""
        with contextlib.suppress(BlockingIOError):
            while not self._is_over:
                news = os.read(self._told, 4096)
                self._text += news
                self._is_over = not news
        return self._is_over

    def kill(self) -> None:
        """Nothing is left of what has ended."""

    def close(self) -> int:
        if not self._is_closed:
            self._is_closed = True
            os.close(self._lifeline)
            deadline = time.monotonic() + _GONE_SECONDS
            while not self.has_ended() and (left := deadline - time.monotonic()) > 0:
                select.select([self._told], [], [], left)
            os.close(self._told)
            proc.close_pipes(self)
        told = self._text.splitlines()[1:]
        return int(told[0]) if told else -signal.SIGKILL


def attend(start: proc.Starter, command: Command, *limits: Callable[[], str] | None) -> Completed:
    """See a command that somebody starts to its end, or to that of its time or of one of its limits."""
    return proc.attend(
        start,
        timeout=command.timeout,
        stdin=command.stdin,
        stdin_file=command.stdin_file,
        output_cap=command.output_cap,
        output_file=command.output_file,
        watch=first_of(*limits, command.watch),
        on_line=command.on_line,
    )
