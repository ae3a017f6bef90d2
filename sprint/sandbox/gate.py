"""Holds a command in bubblewrap back until its limits are set, and knows its name space's first process."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import time
from collections.abc import Mapping

from sprint.errors import SandboxError
from sprint.sandbox.handed import Handed, drain

_PATIENCE_SECONDS = 60.0  # far more than making name spaces takes on any machine
_GONE_SECONDS = 10.0


class Gate:
    """The two pipes of one start of bubblewrap: it tells of itself on one, and waits at the other.

    Limits are set from outside, because a program inside to set them would cost a tenth of the whole start.
    An ordinary user sets them on the first process in the name space, before that starts the command; root on
    the shell that `launch.as_user` starts with, while that is root's too: where root has not all of its
    rights, as in containers, it may not set limits on anybody else's process.
    """

    def __init__(self, handed: Handed, limits: Mapping[str, int], *, is_root: bool) -> None:
        self._handed = handed
        self._limits = limits
        self._is_root = is_root
        self._facts: dict[str, int] = {}
        self._read = b""
        self._told, tell = handed.pipe()
        self.waits, self._go = handed.pipe_to()
        self.options = ["--json-status-fd", str(tell), "--block-fd", str(self.waits)]

    @property
    def first_process(self) -> int | None:
        """The process that all others in the name space descend from; None before it came to be."""
        self._listen()
        return self._facts.get("child-pid")

    def open(self, started: int) -> None:
        """For `proc.run` to call with the process that it started. Raises SandboxError, and then the command
        must not be let through."""
        self._handed.close_inherited()
        limited = started if self._is_root else self._await_first_process()
        if limited is None:
            return  # it ended by itself: there is nothing to let through
        try:
            for name, value in self._limits.items():
                resource.prlimit(limited, getattr(resource, f"RLIMIT_{name.upper()}"), (value, value))
            os.write(self._go, b"\n1")  # a line for the shell, and something for bubblewrap
        except (ProcessLookupError, BrokenPipeError):
            return
        except OSError as error:
            raise SandboxError(f"the limits of a command cannot be set: {error.strerror}") from error

    def _await_first_process(self) -> int | None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while "child-pid" not in self._facts:
            ready, _, _ = select.select([self._told], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                raise SandboxError(f"the sandbox did not start within {_PATIENCE_SECONDS:.0f} s")
            if not self._listen():
                return None
        return self._facts["child-pid"]

    def exit_code(self) -> int | None:
        """The command's own exit code; None where bubblewrap itself ended before it."""
        self._listen()
        return self._facts.get("exit-code")

    def await_end(self) -> None:
        """Wait until the first process is gone: the kernel ends all others in the name space before."""
        first = self.first_process
        if first is None:
            return
        try:
            process = os.pidfd_open(first)
        except OSError:
            return
        try:
            select.select([process], [], [], _GONE_SECONDS)
        finally:
            os.close(process)

    def _listen(self) -> bool:
        """Take in what bubblewrap has told by now, one JSON object a line; False where that was nothing."""
        news = drain(self._told)
        *lines, self._read = (self._read + news).split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError):
                self._facts.update(json.loads(line))
        return bool(news)
