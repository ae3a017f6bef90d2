"""Commands in bubblewrap: namespaces of their own, a read-only system, nothing writable but the workspace."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sprint import proc
from sprint.config import SandboxConfig, SandboxKind
from sprint.domain import Completed, Workspace
from sprint.errors import SandboxError, SprintError, Stopped
from sprint.sandbox import launch, probing, profile, seccomp, system_files, toolchains
from sprint.sandbox.cgroup import Group, group
from sprint.sandbox.gate import Gate
from sprint.sandbox.handed import Handed
from sprint.sandbox.limits import DiskWatch, first_of, impossible, of_each_process, unprivileged
from sprint.sandbox.script import hidden
from sprint.sandbox.variables import environment

# The shell goes to the checkout, not bwrap: an agent that removed it has not broken the sandbox. And what is
# in the sandbox is the first to go when the machine runs out of memory.
_FIRST = f"echo 1000 >/proc/self/oom_score_adj; cd {profile.REPO} || exit; "
_INSTALL = "install it with `apt-get install bubblewrap`"
_TAKEN = ((), ("work",), ("tmp",), ("proc",), ("dev",))


class Bwrap:
    """The sandbox that holds. See Sandbox for its contract.

    A runner that is root starts bubblewrap as the workspace's own uid, and in a control group where it can
    make one. With the network on, the host's loopback and its abstract sockets can be reached.
    """

    kind: SandboxKind = "bwrap"
    is_confined = True
    has_own_network = True

    def __init__(self, config: SandboxConfig) -> None:
        self._config = config
        self._watches: dict[Path, DiskWatch] = {}

    def inside(self, workspace: Workspace) -> str:
        return profile.REPO

    def probe(self) -> None:
        if proc.find("bwrap") is None:
            raise SandboxError(f"bubblewrap is not installed; {_INSTALL}")
        probing.probe(self)

    def run(
        self,
        argv: Sequence[str],
        workspace: Workspace,
        *,
        timeout: float,
        network: bool = False,
        stdin: bytes = b"",
        stdin_file: Path | None = None,
        env: Mapping[str, str] | None = None,
        read_only: Mapping[Path, str] | None = None,
        writable_workspace: bool = True,
        output_cap: int = 1_000_000,
        output_file: Path | None = None,
        watch: Callable[[], str] | None = None,
        on_line: Callable[[bytes], None] | None = None,
    ) -> Completed:
        uid = unprivileged(workspace)
        if refused := impossible(argv, env):
            return refused
        view = profile.View(
            workspace=workspace.root,
            is_writable=writable_workspace,
            has_network=network,
            read_only={**_toolchains(), **_readable(self._config), **(read_only or {})},
        )
        disk = self._watches.setdefault(workspace.root, DiskWatch(workspace.root, self._config))
        with contextlib.ExitStack() as stack:
            handed = stack.enter_context(Handed())
            limits = stack.enter_context(group(self._config))
            instead = stack.enter_context(launch.stages(_hidden(view, uid)))
            is_root = os.getuid() == 0
            gate = Gate(
                handed, of_each_process(self._config, are_grouped=limits is not None), is_root=is_root
            )
            command, script = hidden(argv, _FIRST)
            variables = {**environment(self._config, home=view.home, tmp=view.tmp), **(env or {}), **script}
            options = self._options(view, uid, variables, instead, handed)
            command = ["bwrap", "--args", str(handed.words(options)), *gate.options, "--", *command]
            if is_root:
                door = limits.door if limits else ""
                command = launch.as_user(command, uid, door=door, staged=instead, waits=gate.waits)
            try:
                done = proc.run(
                    command,
                    timeout=timeout,
                    cwd=Path("/"),
                    env={"PATH": proc.SEARCH_PATH},
                    stdin=stdin,
                    stdin_file=stdin_file,
                    output_cap=output_cap,
                    output_file=output_file,
                    pass_fds=handed.inherited,
                    watch=first_of(disk if writable_workspace else None, watch),
                    on_line=on_line,
                    on_start=gate.open,
                )
            except (SandboxError, Stopped):  # what `watch` raises comes out as it is
                raise
            except SprintError as error:
                raise SandboxError(f"{error}; {_INSTALL}") from error
            gate.await_end()
            done = _judged(done, gate.exit_code(), limits)
            # What only looks at a workspace is not to blame for its size.
            return replace(done, killed_by=done.killed_by or (disk.after() if writable_workspace else ""))

    def _options(
        self,
        view: profile.View,
        uid: int,
        variables: Mapping[str, str],
        instead: Mapping[Path, Path],
        handed: Handed,
    ) -> list[str]:
        files = {path: handed.text(text) for path, text in profile.made_up_files(uid, view).items()}
        system = system_files.options(profile.shown_of_etc(view), handed)
        options = profile.options(view, self._config, instead=instead, files=files, system=system)
        for name, value in variables.items():
            options += ["--setenv", name, value]
        if calls := seccomp.program():
            options += ["--seccomp", str(handed.data(calls))]
        return options


def _toolchains() -> dict[Path, str]:
    return {Path(path): path for path in toolchains.found().shown}


def _readable(config: SandboxConfig) -> dict[Path, str]:
    for path in config.readable:
        if not Path(path).is_absolute() or not Path(path).exists():
            raise SandboxError(f"sandbox.readable: {path}: no such path; correct it or take it out")
        if Path(path).parts[1:2] in _TAKEN:
            raise SandboxError(
                f"sandbox.readable: {path}: this place is the sandbox's own; move it, to /opt say"
            )
    return {Path(path): path for path in config.readable}


def _hidden(view: profile.View, uid: int) -> list[Path]:
    """What the uid cannot reach, and only root can show it."""
    if os.getuid() != 0:
        return []
    return [path for path in (view.workspace, *view.read_only) if not launch.reachable(path, uid)]


def _judged(done: Completed, exit_code: int | None, limits: Group | None) -> Completed:
    if done.killed_by:
        return done
    if limits and not done.ok and limits.ran_out_of_memory():
        return replace(done, killed_by="memory")
    if exit_code is None and done.exit_code >= 0:
        said = (done.err.strip().splitlines() or ["it said nothing"])[-1]
        raise SandboxError(f"the sandbox could not be started: {said}; {probing.remedy(said)}")
    return done
