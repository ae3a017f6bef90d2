"""Starts commands for a runner, and ends all that each forked when it ends, or the runner does.

A script of its own, started in isolated mode once for all commands of a sandbox: a Python for each would cost
more than most commands. It imports what costs nothing. Its arguments are the number of a unix socket and the
runner's pid. Each message there is a command: descriptors of a marshalled dict (see `starter.py`), of its
standard streams, of the runner's mount name space, of a pipe that the runner closes to end it, and of one to
tell of it; then those that the command has from FIRST_HANDED on.

Told are a pid, and then how the command ended, a line each. What is in a box of its own (`is_boxed`) is one
process to this script, and takes all that it forked along. Over each other command a fork watches, out of
reach of what that may kill: it adopts whatever the command forks, and lets the pipe end once nothing is left.
"""

from __future__ import annotations

import _socket  # what the module without the underscore adds takes longer than a command
import ctypes
import gc
import marshal
import os
import resource
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

FIRST_HANDED = 8
MOST_HANDED = 200
_OWN = 7  # descriptors before those
_SET_PDEATHSIG = 1
_SET_CHILD_SUBREAPER = 36
_KEYCTL = {"x86_64": 250, "aarch64": 219}.get(os.uname().machine)  # the system call's number
_JOIN_SESSION_KEYRING = 1
_CLONE_NEWNS = 0x20000
_PRIVATE_ALL = 1 << 18 | 1 << 14
_BIND_ALL = 1 << 12 | 1 << 14
_CLOSED_ON_EXEC = 0x40000000
_CLOSE_RANGE = 436  # the system call's number, wherever there is one
_LAST = ctypes.c_uint(0xFFFFFFFF)
_NOT_STARTED = 127
_SIGKILL = 9  # the module with the names costs more than all that is done here
_SIGSTOP = 19
_SIGPIPE = 13
_SIGXFSZ = 25
_SETTLE_SECONDS = 8.0

_libc = ctypes.CDLL(None, use_errno=True)
for _name in ("mount", "prctl", "setns", "signal", "syscall", "unshare"):
    getattr(_libc, _name)  # looked up once, and not in each fork


def main() -> int:
    gc.disable()  # it would touch the memory that forks share
    channel, runner = map(int, sys.argv[1:3])
    os.set_inheritable(channel, False)  # it brings the descriptors of later commands
    _adopt()
    watched = _Watched(_socket.socket(fileno=channel), os.pidfd_open(runner))
    if os.getppid() != runner:
        return 0
    while watched.go_on():
        pass
    watched.end()
    return 0


class _Watched:
    """The runner, and the processes that were started for it: by a descriptor of each, its id and the pipe to
    tell its end on; by that of its lifeline, the id of one that is ended from here."""

    def __init__(self, channel: _socket.socket, runner: int) -> None:
        channel.setblocking(True)
        self._channel = channel
        self._runner = runner
        self._ends: dict[int, tuple[int, int | None]] = {}
        self._lifelines: dict[int, int] = {}
        self._reaped: dict[int, int] = {}  # statuses, by the id, of what is not looked at yet

    def go_on(self) -> bool:
        """Do what is next; False once there is no runner, or nothing more that it wants."""
        own = [self._channel.fileno(), self._runner]
        ready, _, _ = select.select([*own, *self._ends, *self._lifelines], [], [])
        if self._runner in ready:
            return False
        for fd in ready:
            if fd in self._ends:
                self._ended(fd)
            elif fd in self._lifelines:
                _kill(self._lifelines.pop(fd))
                os.close(fd)
        return own[0] not in ready or self._begin()

    def end(self) -> None:
        """End what is in a box; whatever watches over others sees the runner's end itself."""
        for pid in self._lifelines.values():
            _kill(pid)

    def _begin(self) -> bool:
        room = _socket.CMSG_SPACE(4 * (_OWN + MOST_HANDED))
        _, given, _, _ = self._channel.recvmsg(1, room, _CLOSED_ON_EXEC)
        descriptors = [fd for _, _, data in given for fd in memoryview(data).cast("i")]
        if not descriptors:
            return False
        text, *streams, space, lifeline, tell = descriptors[:_OWN]
        with os.fdopen(text, "rb") as file:
            job = marshal.load(file)  # noqa: S302 - the runner wrote it
        pid = os.fork()
        if pid == 0:
            if job["is_boxed"]:
                _become(job, streams, space, descriptors[_OWN:])
            self._channel.close()
            os._exit(_supervise(job, descriptors, self._runner))
        for fd in (*streams, space, *descriptors[_OWN:]):
            os.close(fd)
        if job["is_boxed"]:
            _tell(tell, pid)
            self._lifelines[lifeline] = pid
            self._ends[os.pidfd_open(pid)] = pid, tell
        else:
            os.close(lifeline)
            os.close(tell)
            self._ends[os.pidfd_open(pid)] = pid, None
        return True

    def _ended(self, end: int) -> None:
        pid, tell = self._ends.pop(end)
        os.close(end)
        if tell is not None and pid not in self._reaped:
            _kill_group(pid)  # a pipe of it was broken, perhaps, before its sandbox was made
        status = self._reaped.pop(pid, None)
        if status is None:
            _, status = os.waitpid(pid, 0)
        self._reap()
        for lifeline in [fd for fd, boxed in self._lifelines.items() if boxed == pid]:
            del self._lifelines[lifeline]
            os.close(lifeline)
        if tell is not None:
            _tell(tell, os.waitstatus_to_exitcode(status))
            os.close(tell)

    def _reap(self) -> None:
        """Note all that has ended: bubblewrap leaves its child behind, which is adopted here, since dead
        processes count against what their user may have, and not every machine's first process is quick."""
        known = {pid for pid, _ in self._ends.values()}
        try:
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] in known:
                    self._reaped[found[0]] = found[1]
        except ChildProcessError:
            pass


def _adopt() -> None:
    """Be the parent of what is left behind below this process."""
    _check("prctl", _libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def _kill(pid: int) -> None:
    """End a child that is not reaped yet, its group, where it has made one by now, and all that it forked:
    bubblewrap's child dies with it only once the sandbox is made, and would wait for ever before."""
    _signal(pid, _SIGSTOP)
    _kill_descendants(pid)
    _kill_group(pid)
    _signal(pid, _SIGKILL)


def _supervise(job: dict[str, Any], descriptors: list[int], runner: int) -> int:
    """Watch over a command that is in no box, and over all that it forks."""
    streams = descriptors[1:4]
    space, lifeline, tell = descriptors[4:_OWN]
    os.setsid()
    _adopt()
    _tell(tell, os.getpid())
    command = os.fork()
    if command == 0:
        _become(job, streams, space, descriptors[_OWN:])
    for fd in (*streams, space, *descriptors[_OWN:]):
        os.close(fd)
    end = os.pidfd_open(command)
    select.select([end, lifeline, runner], [], [])
    status = _settle(command)
    _tell(tell, -_SIGKILL if status is None else os.waitstatus_to_exitcode(status))
    return 0


def _tell(tell: int, number: int) -> None:
    try:
        os.write(tell, b"%d\n" % number)
    except BrokenPipeError:  # the runner has gone meanwhile
        pass


def _settle(command: int) -> int | None:
    """End all that is left; returns how the command ended, None where that took too long."""
    status = None
    deadline = time.monotonic() + _SETTLE_SECONDS
    _kill_group(command)
    while time.monotonic() < deadline:
        try:
            pid, ended = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid == command:
            status = ended
        if pid == 0:  # somebody is left
            _kill_descendants(os.getpid())
            time.sleep(0.0005)
    return status


def _become(job: dict[str, Any], streams: list[int], space: int, handed: list[int]) -> NoReturn:
    parent = os.getppid()
    try:
        os.setsid()
        if _KEYCTL:
            _libc.syscall(_KEYCTL, _JOIN_SESSION_KEYRING, None)
        if job["door"]:
            _write(job["door"], b"0")
        for kind, value in job["limits"].items():
            resource.setrlimit(kind, (value, value))
        _write("/proc/self/oom_score_adj", b"%d" % job["oom_score"])
        if job["uid"] is not None:
            _mount(space, job["mounts"])
            os.setgroups([])
            os.setgid(job["uid"])
            os.setuid(job["uid"])
        # Only now: another uid would clear it.
        _check("prctl", _libc.prctl(_SET_PDEATHSIG, _SIGKILL, 0, 0, 0))
        os.chdir(job["cwd"])
        _hand_over(streams, handed)
        streams = [0, 1, 2]
        if os.getppid() != parent:
            os._exit(_NOT_STARTED)
        for number in (_SIGPIPE, _SIGXFSZ):  # which Python ignores
            _libc.signal(number, None)
        _execute(job["argv"], job["env"])
    except OSError as error:
        os.write(streams[2], f"{error.filename or job['argv'][0]}: {error.strerror}\n".encode())
    finally:
        os._exit(_NOT_STARTED)


def _mount(space: int, mounts: dict[str, str]) -> None:
    """Go to where the runner's mounts are, and put each path on its place, for this process alone."""
    if os.stat(space).st_ino != os.stat("/proc/self/ns/mnt").st_ino:  # noqa: PTH116 - pathlib is dear
        _check("setns", _libc.setns(space, _CLONE_NEWNS))
    if mounts:
        _check("unshare", _libc.unshare(_CLONE_NEWNS))
        _check("mount", _libc.mount(None, b"/", None, ctypes.c_ulong(_PRIVATE_ALL), None))
    for path, place in mounts.items():
        at, to = os.fsencode(path), os.fsencode(place)
        _check(path, _libc.mount(at, to, None, ctypes.c_ulong(_BIND_ALL), None))


def _hand_over(streams: list[int], handed: list[int]) -> None:
    """Give the descriptors their numbers, over a place where none of them is in another's way."""
    wanted = [*enumerate(streams), *enumerate(handed, FIRST_HANDED)]
    free = max(*streams, *handed, FIRST_HANDED + len(handed)) + 1
    for offset, (_, fd) in enumerate(wanted):
        os.dup2(fd, free + offset, inheritable=False)
    for offset, (number, _) in enumerate(wanted):
        os.dup2(free + offset, number)
    # All others are this script's own, and closed when the command is executed, unless somebody forgot.
    _libc.syscall(_CLOSE_RANGE, len(streams), FIRST_HANDED - 1, 0)
    _libc.syscall(_CLOSE_RANGE, FIRST_HANDED + len(handed), _LAST, 0)


def _execute(argv: list[str], env: dict[str, str]) -> None:
    """Become that command, looked for as a shell would; os.execvpe takes a multiple of the time. Returns only
    by raising OSError."""
    program = argv[0]
    path = env.get("PATH", os.defpath)
    folders = [""] if "/" in program else [f"{folder or '.'}/" for folder in path.split(":")]
    refused: OSError | None = None
    for folder in folders:
        try:
            os.execve(folder + program, argv, env)  # noqa: S606 - as proc.py would
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            refused = refused or error
    raise refused or FileNotFoundError(2, os.strerror(2), program)


def _kill_descendants(pid: int) -> None:
    """Kill all below pid; stopped from the top, so that none of them forks while the others are looked up."""
    found = _children(pid)
    for child in found:
        _signal(child, _SIGSTOP)
        found += _children(child)
    for child in found:
        _signal(child, _SIGKILL)


def _children(pid: int) -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                stat = file.read()
        except OSError:
            continue
        # The name in parentheses is the process' own choice, and may hold anything.
        if int(stat.rpartition(b")")[2].split()[1]) == pid:
            found.append(int(entry))
    return found


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, _SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _write(path: str, data: bytes) -> None:
    """Where it can be written."""
    try:
        with open(path, "wb", buffering=0) as file:
            file.write(data)
    except OSError:
        pass


def _check(what: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
