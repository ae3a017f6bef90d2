"""What the rest of the program may ask of a sandbox."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from sprint.config import SandboxKind
from sprint.domain import Completed, Workspace


class Command(Struct, frozen=True):
    """What is to run, what it has, and what may end it.

    `timeout` in seconds. `env` is added to the sandbox's own fixed environment. `read_only` maps host paths
    to where they appear inside. Each of stdout and stderr is kept up to `output_cap` bytes, head and tail;
    with `output_file` the whole of both goes to that file on the host too, up to 64 MB.

    `watch`, `on_line` and `stdin_file` are as in proc.run: what `watch` returns ends the command with all it
    forked, within half a second, and is its `killed_by`; `on_line` gets each line of stdout.
    """

    argv: Sequence[str]
    timeout: float
    network: bool = False
    stdin: bytes = b""
    stdin_file: Path | None = None
    env: Mapping[str, str] = {}
    read_only: Mapping[Path, str] = {}
    writable_workspace: bool = True
    output_cap: int = 1_000_000
    output_file: Path | None = None
    watch: Callable[[], str] | None = None
    on_line: Callable[[bytes], None] | None = None

    @property
    def has_input(self) -> bool:
        return bool(self.stdin or self.stdin_file)


class Sandbox(Protocol):
    """Runs commands over a workspace. Inside, the checkout is /work/repo, HOME is /work/home,
    TMPDIR is /work/tmp and the working directory is /work/repo. Where the workspace is not writable, HOME and
    TMPDIR are an empty folder in memory that is gone afterwards.

    Nothing that a command forked is alive once `run` has returned or the runner has died.
    """

    kind: SandboxKind
    is_confined: bool  # False: commands run as anything else on this machine does
    has_own_network: bool  # else commands reach all that this machine does, whatever `network` says

    def inside(self, workspace: Workspace) -> str:
        """The checkout's path as commands see it."""
        ...

    def probe(self) -> None:
        """Run something in it, and have ready what all commands need. Raises SandboxError, with the remedy,
        where that does not work."""
        ...

    def ahead(self, like: tuple[Command, Workspace] | None = None) -> AbstractContextManager[None]:
        """While it lasts, what the next command needs may be made before it is asked for. Nothing of that is
        shared with a command before it, and nothing is left when the block or the runner ends. `like`: how
        the first command will be, in all but its words and its variables."""
        ...

    def run(self, command: Command, workspace: Workspace) -> Completed:
        """Run it to its end, or until a limit ends it (then `killed_by` says which). Raises SandboxError only
        where the sandbox itself cannot be started."""
        ...
