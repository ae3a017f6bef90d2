"""Commands without isolation, for hosts where the configuration says so in so many words."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from sprint.config import SandboxConfig, SandboxKind
from sprint.domain import Completed, Workspace, replace
from sprint.errors import SandboxError
from sprint.sandbox import probing, verdict
from sprint.sandbox.cgroup import Group, group
from sprint.sandbox.handed import Handed
from sprint.sandbox.limits import DiskWatch, impossible, of_each_process, unprivileged
from sprint.sandbox.memory import MemoryWatch
from sprint.sandbox.protocol import Command
from sprint.sandbox.script import hidden
from sprint.sandbox.stages import reachable
from sprint.sandbox.starter import Job, Started, Starter, attend
from sprint.sandbox.variables import environment


class Unconfined:
    """No boundary: commands see and do what their uid may, the network included.

    What is kept of Sandbox's contract: they are not root, their environment is made from nothing, the limits
    hold, and what they forked is ended with them or with the runner. Paths that the contract promises are
    replaced by the real ones in arguments and environment. A workspace that should be read-only is not.
    """

    kind: SandboxKind = "none"
    is_confined = False
    has_own_network = False

    def __init__(self, config: SandboxConfig, cache: Path | None = None) -> None:
        self._config = config
        self._cache = cache
        self._watches: dict[Path, DiskWatch] = {}
        self._starter = Starter()

    def inside(self, workspace: Workspace) -> str:
        return str(workspace.checkout)

    def probe(self) -> None:
        verdict.remembered(self._cache, self._config, lambda: probing.probe_commands(self))
        self._starter.begin()

    def ahead(self, like: tuple[Command, Workspace] | None = None) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()  # nothing of it takes long

    def run(self, command: Command, workspace: Workspace) -> Completed:
        uid = unprivileged(workspace)
        if refused := impossible(command.argv, command.env):
            return refused
        _check_reachable([workspace.root, *command.read_only], uid)
        disk = self._watches.setdefault(workspace.root, DiskWatch(workspace.root, self._config))
        real = _real_paths({workspace.root: "/work", **command.read_only})
        with contextlib.ExitStack() as stack:
            home, tmp = workspace.home, workspace.tmp
            if not command.writable_workspace:
                home = tmp = stack.enter_context(_scratch(uid))
            given = {name: real(value) for name, value in command.env.items()}
            variables = {**environment(self._config, home=str(home), tmp=str(tmp)), **given}
            limits = stack.enter_context(group(self._config))
            job = self._job([real(word) for word in command.argv], variables, workspace.checkout, uid, limits)
            started: list[Started] = []

            def start(*, has_input: bool) -> Started:
                started.append(self._starter.start(job, Handed(), has_input=has_input))
                return started[0]

            memory = None if limits else MemoryWatch(self._config, lambda: started[0].pid)
            done = attend(start, command, disk if command.writable_workspace else None, memory)
            if not done.killed_by:
                started[0].check_told()
            if limits and not done.ok and not done.killed_by and limits.ran_out_of_memory():
                return replace(done, killed_by="memory")
            if done.exit_code < 0:
                done = replace(done, exit_code=128 - done.exit_code)
            return replace(
                done, killed_by=done.killed_by or (disk.after() if command.writable_workspace else "")
            )

    def _job(
        self, argv: Sequence[str], variables: Mapping[str, str], cwd: Path, uid: int, limits: Group | None
    ) -> Job:
        command, script = hidden(argv)
        each = of_each_process(self._config, are_grouped=limits is not None, others_of_uid=_threads_of(uid))
        return Job(
            command,
            {**variables, **script},
            str(cwd),
            uid if os.getuid() == 0 else None,
            each,
            door=limits.door if limits else "",
            oom_score=1000,
        )


def _check_reachable(paths: Sequence[Path], uid: int) -> None:
    for path in paths:
        if os.getuid() == 0 and not reachable(path, uid):
            raise SandboxError(
                f"{path}: a command that is not root cannot reach it; "
                "set paths.cache and paths.workspaces to folders that everybody may enter"
            )


def _real_paths(inside: Mapping[Path, str]) -> Callable[[str], str]:
    """Puts host paths where a text names the paths that they would have inside."""
    hosts = {target: str(source) for source, target in inside.items()}
    longest_first = sorted(hosts, key=len, reverse=True)
    pattern = re.compile(rf"(?<![\w./-])({'|'.join(map(re.escape, longest_first))})(?![\w.-])")
    return lambda text: pattern.sub(lambda found: hosts[found[0]], text)


@contextlib.contextmanager
def _scratch(uid: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sprint-scratch-", ignore_cleanup_errors=True) as folder:
        os.chown(folder, uid, -1)
        yield Path(folder)


def _threads_of(uid: int) -> int:
    """The kernel counts threads, and all that a uid has on the machine, against its limit on processes."""
    count = 0
    for process in os.scandir("/proc"):
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                if process.stat().st_uid == uid:
                    count += sum(1 for _ in os.scandir(f"/proc/{process.name}/task"))
    return count
