"""One bubblewrap, from its start to its end: it stands, and waits for the command that it is for."""

from __future__ import annotations

import contextlib
import fcntl
import os
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sprint import proc
from sprint.config import SandboxConfig
from sprint.domain import Completed, replace
from sprint.errors import SandboxError
from sprint.sandbox import probing, profile, script, seccomp
from sprint.sandbox.cgroup import group
from sprint.sandbox.gate import Gate
from sprint.sandbox.handed import Handed
from sprint.sandbox.limits import of_each_process
from sprint.sandbox.memory import MemoryWatch
from sprint.sandbox.stages import Stages, reachable
from sprint.sandbox.starter import Job, Started, Starter
from sprint.sandbox.system_files import SystemFiles
from sprint.sandbox.variables import environment

# The shell goes to the checkout, not bwrap: an agent that removed it has not broken the sandbox. And what is
# in the sandbox is the first to go when the machine runs out of memory.
FIRST = f"echo 1000 >/proc/self/oom_score_adj; cd {profile.REPO} || exit; "


class Wanted(NamedTuple):
    """All that has to be known of a command when its sandbox is made: where this is equal, so is that.

    `variables` are those that no shell can set.
    """

    view: profile.View
    uid: int
    waiting: script.Waiting
    has_input: bool
    variables: Mapping[str, str]


class Standing:
    """A sandbox of its own for one command. Raises SandboxError where it cannot be started."""

    def __init__(
        self, wanted: Wanted, config: SandboxConfig, starter: Starter, stages: Stages, system: SystemFiles
    ) -> None:
        self.wanted = wanted
        self._config = config
        self._is_gone = False
        with contextlib.ExitStack() as stack:
            handed = stack.enter_context(Handed())
            go, self._go = handed.pipe_to()
            words, self._words = handed.blank()
            self._group = stack.enter_context(group(config))
            each = of_each_process(config, are_grouped=self._group is not None)
            is_root = os.getuid() == 0
            self._gate = Gate(handed, {} if is_root else each)
            places = stages.of(_hidden(wanted) if is_root else [], wanted.uid)
            options = _options(wanted, config, places, system, handed)
            command = wanted.waiting.argv(go, words, FIRST)
            job = Job(
                ["bwrap", "--args", str(handed.words(options)), *self._gate.options, "--", *command],
                {"PATH": proc.SEARCH_PATH},
                "/",
                wanted.uid if is_root else None,
                each if is_root else {},
                door=self._group.door if self._group else "",
                mounts={str(path): str(place) for path, place in places.items()},
                is_boxed=True,
            )
            self.child = starter.start(job, handed, has_input=wanted.has_input)
            stack.callback(self._gate.await_end)
            stack.callback(self.child.close)
            self._held = stack.pop_all()

    def become(self, argv: Sequence[str], env: Mapping[str, str]) -> Started:
        """Let it be that command. Raises SandboxError."""
        words = script.words(argv, env)
        if "\0" in words:
            raise ValueError("a word that holds a NUL would be cut there")
        with os.fdopen(os.dup(self._words), "wb") as file:
            file.write(words.encode("utf-8", "surrogateescape"))
        try:
            os.write(self._go, b"\n")
            self._gate.open()
        except BrokenPipeError:
            self._is_gone = True
        return self.child

    def has_begun(self) -> bool:
        """Whether what waited has heard that it is to go on."""
        return not self._is_gone and fcntl.ioctl(self._go, termios.FIONREAD, bytes(4)) == bytes(4)

    def memory_watch(self) -> MemoryWatch | None:
        """What limits its memory from now on; None where the kernel does."""
        if self._group:
            return None
        return MemoryWatch(self._config, lambda: self._gate.first_process, self.wanted.view.in_memory)

    def judged(self, done: Completed) -> Completed:
        """How it ended. Raises SandboxError where it was not the command that did."""
        if done.killed_by:
            return done
        self.child.check_told()
        if self._group and not done.ok and self._group.ran_out_of_memory():
            return replace(done, killed_by="memory")
        if self._gate.exit_code() is None and done.exit_code >= 0:
            said = (done.err.strip().splitlines() or ["it said nothing"])[-1]
            raise SandboxError(f"the sandbox could not be started: {said}; {probing.remedy(said)}")
        return done

    def close(self) -> None:
        """End it, with all that is in it."""
        self._held.close()


def _hidden(wanted: Wanted) -> list[Path]:
    """What the uid cannot reach, and only root can show it."""
    return [
        path for path in (wanted.view.workspace, *wanted.view.read_only) if not reachable(path, wanted.uid)
    ]


def _options(
    wanted: Wanted, config: SandboxConfig, instead: Mapping[Path, Path], system: SystemFiles, handed: Handed
) -> list[str]:
    view = wanted.view
    made_up = profile.made_up_files(wanted.uid, view)
    of_etc = {path: made_up.pop(path) for path in list(made_up) if path.startswith("/etc/")}
    shown = profile.shown_of_etc(has_network=view.has_network)
    options = profile.options(
        view,
        config,
        instead=instead,
        files={path: handed.text(text) for path, text in made_up.items()},
        system=[*profile.programs(), *system.options(shown, of_etc, wanted.uid)],
    )
    for name, value in {**environment(config, home=view.home, tmp=view.tmp), **wanted.variables}.items():
        options += ["--setenv", name, value]
    if calls := seccomp.program():
        options += ["--seccomp", str(handed.data(calls))]
    return options
