"""Runs one command without isolation, and ends all that it forked when it ends or its runner does.

A script of its own, started in isolated mode: standard library only. Its arguments are two descriptors: one
to read a JSON object from, with argv, env, cwd, uid (or null), limits (prlimit's names to values) and door
(a control group's, or ""), and one that is closed once nothing is left alive.

Two processes: the first is the one that the runner starts and kills. The second, out of reach of that kill,
adopts whatever the command forks, and sees the first one's end by a pipe.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

_SET_PDEATHSIG = 1
_SET_CHILD_SUBREAPER = 36
_KEYCTL = {"x86_64": 250, "aarch64": 219}  # the system call's number
_JOIN_SESSION_KEYRING = 1
_NOT_STARTED = 127
_SETTLE_SECONDS = 8.0


def main() -> int:
    with os.fdopen(int(sys.argv[1])) as file:
        job = json.load(file)
    os.set_inheritable(int(sys.argv[2]), False)
    runner = os.getppid()
    lifeline, ours = os.pipe()
    supervisor = os.fork()
    if supervisor == 0:
        os.close(ours)
        os.setsid()
        os._exit(_supervise(job, lifeline))
    os.close(lifeline)
    _prctl(_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != runner:
        return _NOT_STARTED
    _, status = os.waitpid(supervisor, 0)
    return os.waitstatus_to_exitcode(status)


def _supervise(job: dict[str, Any], lifeline: int) -> int:
    _prctl(_SET_CHILD_SUBREAPER, 1)
    command = os.fork()
    if command == 0:
        _become(job)
    end = os.pidfd_open(command)
    select.select([end, lifeline], [], [])
    status = None
    deadline = time.monotonic() + _SETTLE_SECONDS
    while time.monotonic() < deadline:
        _kill_descendants(os.getpid())
        try:
            pid, ended = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid == command:
            status = ended
        if pid == 0:
            time.sleep(0.001)
    if status is None:
        return 128 + signal.SIGKILL
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _become(job: dict[str, Any]) -> NoReturn:
    try:
        os.setsid()
        if keyctl := _KEYCTL.get(os.uname().machine):
            ctypes.CDLL(None).syscall(keyctl, _JOIN_SESSION_KEYRING, None)
        if job["door"]:
            with contextlib.suppress(OSError):
                Path(job["door"]).write_text("0")
        for name, value in job["limits"].items():
            resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), (value, value))
        if job["uid"] is not None:
            os.setgroups([])
            os.setgid(job["uid"])
            os.setuid(job["uid"])
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
        os.chdir(job["cwd"])
        os.execvpe(job["argv"][0], job["argv"], job["env"])  # noqa: S606 - proc.py started this script
    except OSError as error:
        os.write(2, f"{error.filename or job['argv'][0]}: {error.strerror}\n".encode())
    finally:
        os._exit(_NOT_STARTED)


def _kill_descendants(pid: int) -> None:
    """Kill all below pid; stopped from the top, so that none of them forks while the others are looked up."""
    found = _children(pid)
    for child in found:
        _signal(child, signal.SIGSTOP)
        found += _children(child)
    for child in found:
        _signal(child, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name in parentheses is the process' own choice, and may hold anything.
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


if __name__ == "__main__":
    sys.exit(main())
