"""Commands in bubblewrap: namespaces of their own, a read-only system, nothing writable but the workspace."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sprint import proc
from sprint.config import SandboxConfig, SandboxKind
from sprint.domain import Completed, Workspace, replace
from sprint.errors import SandboxError
from sprint.sandbox import probing, profile, script, toolchains, verdict
from sprint.sandbox.limits import DiskWatch, impossible, unprivileged
from sprint.sandbox.protocol import Command
from sprint.sandbox.stages import Stages
from sprint.sandbox.standing import Standing, Wanted
from sprint.sandbox.starter import Started, Starter, attend
from sprint.sandbox.system_files import SystemFiles

_INSTALL = "install it with `apt-get install bubblewrap`"
TAKEN = ((), ("work",), ("tmp",), ("proc",), ("dev",))


class Bwrap:
    """The sandbox that holds. See Sandbox for its contract.

    A runner that is root starts bubblewrap as the workspace's own uid, and in a control group where it can
    make one. With the network on, the host's loopback and its abstract sockets can be reached.
    """

    kind: SandboxKind = "bwrap"
    is_confined = True
    has_own_network = True

    def __init__(self, config: SandboxConfig, cache: Path | None = None) -> None:
        self._config = config
        self._cache = cache
        self._watches: dict[Path, DiskWatch] = {}
        self._stages = Stages()
        self._system = SystemFiles(self._stages)
        self._starter = Starter()
        self._is_ahead = False
        self._next: Standing | None = None

    def inside(self, workspace: Workspace) -> str:
        return profile.REPO

    def probe(self) -> None:
        if proc.find("bwrap") is None:
            raise SandboxError(f"bubblewrap is not installed; {_INSTALL}")
        verdict.remembered(self._cache, self._config, lambda: probing.probe(self))
        self._starter.begin()

    def run(self, command: Command, workspace: Workspace) -> Completed:
        if refused := impossible(command.argv, command.env):
            return refused
        told, fixed = script.settable(command.env)
        wanted = self._wanted(command, workspace, fixed)
        disk = self._watches.setdefault(workspace.root, DiskWatch(workspace.root, self._config))

        def see_through(standing: Standing) -> Completed:
            def start(*, has_input: bool) -> Started:
                started = standing.become(command.argv, told)
                if self._is_ahead and not has_input:
                    self._make_next(wanted)
                return started

            return attend(
                start, command, disk if command.writable_workspace else None, standing.memory_watch()
            )

        done = self._ended(wanted, see_through)
        # What only looks at a workspace is not to blame for its size.
        return replace(done, killed_by=done.killed_by or (disk.after() if command.writable_workspace else ""))

    def _wanted(self, command: Command, workspace: Workspace, fixed: Mapping[str, str]) -> Wanted:
        view = profile.View(
            workspace=workspace.root,
            is_writable=command.writable_workspace,
            has_network=command.network,
            read_only={**_toolchains(), **_readable(self._config), **command.read_only},
        )
        shell = script.waiting_for(command.argv)
        return Wanted(view, unprivileged(workspace), shell, command.has_input, fixed)

    def _ended(self, wanted: Wanted, see_through: Callable[[Standing], Completed]) -> Completed:
        """How a command ended in the sandbox that waits for it, or in one made now."""
        ready = self._next if self._next and self._next.wanted == wanted else None
        if ready:
            self._next = None
            with contextlib.closing(ready):
                done = see_through(ready)
                if done.killed_by or ready.has_begun():
                    return ready.judged(done)
            # Somebody had ended it while it waited.
        with contextlib.closing(self._made(wanted)) as made:
            return made.judged(see_through(made))

    @contextlib.contextmanager
    def ahead(self, like: tuple[Command, Workspace] | None = None) -> Iterator[None]:
        """With each command the sandbox of another one like it is made, which waits for its words."""
        self._is_ahead = True
        try:
            if like:
                with contextlib.suppress(SandboxError):  # the first command finds out why
                    _, fixed = script.settable(like[0].env)
                    self._make_next(self._wanted(*like, fixed))
            yield
        finally:
            self._is_ahead = False
            self._leave()

    def _make_next(self, wanted: Wanted) -> None:
        """Where that cannot be done, the next command finds out why."""
        self._leave()
        with contextlib.suppress(SandboxError):
            self._next = self._made(wanted)

    def _leave(self) -> None:
        if self._next:
            self._next.close()
            self._next = None

    def _made(self, wanted: Wanted) -> Standing:
        return Standing(wanted, self._config, self._starter, self._stages, self._system)


def _toolchains() -> dict[Path, str]:
    return {Path(path): path for path in toolchains.found().shown}


def _readable(config: SandboxConfig) -> dict[Path, str]:
    for path in config.readable:
        if not Path(path).is_absolute() or not Path(path).exists():
            raise SandboxError(f"sandbox.readable: {path}: no such path; correct it or take it out")
        if Path(path).parts[1:2] in TAKEN:
            raise SandboxError(
                f"sandbox.readable: {path}: this place is the sandbox's own; move it, to /opt say"
            )
    return {Path(path): path for path in config.readable}
