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
    """The pipes of one start of bubblewrap: it tells of itself on one, and may wait at the other.

    Limits of an ordinary user's command are set from outside, on the first process in the name space, before
    that starts the command: a program inside to set them would cost a tenth of the whole start.
    """

    def __init__(self, handed: Handed, limits: Mapping[str, int]) -> None:
        self._limits = limits
        self._facts: dict[str, int] = {}
        self._read = b""
        self._told, tell = handed.pipe()
        self.options = ["--json-status-fd", str(tell)]
        self._go = -1
        if limits:
            waits, self._go = handed.pipe_to()
            self.options += ["--block-fd", str(waits)]

    @property
    def first_process(self) -> int | None:
        """The process that all others in the name space descend from; None before it came to be."""
        self._listen()
        return self._facts.get("child-pid")

    def open(self) -> None:
        """Set the limits and let it go on. Raises SandboxError, and then it must not be let through."""
        if not self._limits or (first := self._await_first_process()) is None:
            return  # or it ended by itself: there is nothing to let through
        try:
            for name, value in self._limits.items():
                resource.prlimit(first, getattr(resource, f"RLIMIT_{name.upper()}"), (value, value))
            os.write(self._go, b"1")
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
