"""Commands in bubblewrap: namespaces of their own, a read-only system, nothing writable but the workspace."""

from __future__ import annotations

import contextlib
import json
import os
import select
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from sprint import proc
from sprint.config import SandboxConfig
from sprint.domain import Completed, Workspace
from sprint.errors import SandboxError, SprintError
from sprint.sandbox import profile
from sprint.sandbox.environment import environment
from sprint.sandbox.limits import DiskWatch, prlimit

_REMEDY = "install it with: apt-get install bubblewrap"
_GONE_SECONDS = 10.0
# Entered by a shell and not by bwrap: an agent that removed its checkout has not broken the sandbox.
_IN_REPO = f'cd {profile.REPO} && exec "$@"'


class Bwrap:
    """The sandbox that holds. See Sandbox for its contract."""

    kind = "bwrap"

    def __init__(self, config: SandboxConfig) -> None:
        self._config = config

    def inside(self, workspace: Workspace) -> str:
        return profile.REPO

    def probe(self) -> None:
        uid = None if os.getuid() else 65534
        with tempfile.TemporaryDirectory(prefix="sprint-probe-") as folder:
            space = Workspace(Path(folder), uid)
            for path in (space.root, space.repo, space.home, space.tmp):
                path.mkdir(exist_ok=True)
                if uid is not None:
                    os.chown(path, uid, uid)
            done = self.run(["id", "-u"], space, timeout=20)
            if not done.ok or done.out.strip() == "0":
                raise SandboxError(f"bubblewrap does not isolate: {done.err.strip() or done.out.strip()}")

    def run(
        self,
        argv: Sequence[str],
        workspace: Workspace,
        *,
        timeout: float,
        network: bool = False,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        read_only: Mapping[Path, str] | None = None,
        writable_workspace: bool = True,
        output_cap: int = 1_000_000,
        output_file: Path | None = None,
    ) -> Completed:
        bwrap = proc.find("bwrap")
        if bwrap is None:
            raise SandboxError(f"bubblewrap is not installed; {_REMEDY}")
        uid = _unprivileged(workspace)
        home, tmp = (profile.HOME, profile.TMP) if writable_workspace else (profile.SCRATCH, profile.SCRATCH)
        command = [*prlimit(self._config), "/bin/sh", "-c", _IN_REPO, "sh", *argv]
        with contextlib.ExitStack() as files:
            options = [
                *profile.ISOLATION,
                *profile.system(self._config, network=network),
                *profile.work(workspace, self._config, writable=writable_workspace),
                *profile.binds(read_only or {}),
                *profile.variables({**environment(self._config, home=home, tmp=tmp), **(env or {})}),
            ]
            inherited: list[int] = []
            for target, text in profile.accounts(uid, network=network).items():
                inherited.append(_file(files, text))
                options += ["--perms", "0644", "--ro-bind-data", str(inherited[-1]), target]
            arguments = _file(files, "".join(f"{option}\0" for option in (*options, *profile.SEAL)))
            status, told = os.pipe()
            files.callback(os.close, status)
            with os.fdopen(told, "wb"):
                done = _start(
                    [bwrap, "--args", str(arguments), "--json-status-fd", str(told), "--", *command],
                    timeout=timeout,
                    env={"PATH": proc.SEARCH_PATH},
                    stdin=stdin,
                    output_cap=output_cap,
                    output_file=output_file,
                    pass_fds=(*inherited, arguments, told),
                    uid=workspace.uid,
                    watch=DiskWatch(workspace.root, self._config),
                )
            facts = _status(status)
        if "child-pid" in facts:
            _await_end(facts["child-pid"])
        if "exit-code" not in facts and not done.killed_by and done.exit_code >= 0:
            said = (done.err.strip().splitlines() or ["it said nothing"])[-1]
            raise SandboxError(f"bubblewrap could not start: {said}")
        return done


def _start(argv: Sequence[str], **options: object) -> Completed:
    try:
        return proc.run(argv, **options)  # type: ignore[arg-type]
    except SprintError as error:
        raise SandboxError(str(error)) from error


def _unprivileged(workspace: Workspace) -> int:
    """The uid that commands get. Root inside keeps ways to the host, whatever is dropped."""
    uid = os.getuid() if workspace.uid is None else workspace.uid
    if uid == 0:
        raise SandboxError(f"{workspace.root}: commands would run as root; give it a uid of its own")
    return uid


def _file(stack: contextlib.ExitStack, text: str) -> int:
    """A file without a name that holds the text, to be read by the child."""
    fd = os.memfd_create("sprint")
    stack.callback(os.close, fd)
    data = memoryview(text.encode())
    while data:
        data = data[os.write(fd, data) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _status(pipe: int) -> dict[str, int]:
    """What bubblewrap told about itself: one JSON object a line."""
    os.set_blocking(pipe, False)
    facts: dict[str, int] = {}
    with contextlib.suppress(BlockingIOError):
        for line in os.read(pipe, 65536).splitlines():
            facts.update(json.loads(line))
    return facts


def _await_end(pid: int) -> None:
    """Wait until a namespace's first process is gone: the kernel ends all others in it before."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        select.select([process], [], [], _GONE_SECONDS)
    finally:
        os.close(process)
