"""Runs one command in this machine's sandbox over the work of a sprite that is a folder here.

    python3 -I -m sprint.worker.sprite.confined SPEC COMMAND [ARGUMENT ...]

A process of its own, so that it outlives the tick that began it. It ends as the command does; whatever ends
it ends all that the command forked.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from sprint import decoding, proc, sandbox
from sprint.config import SandboxConfig
from sprint.domain import Workspace
from sprint.errors import SprintError
from sprint.sandbox import Command

_FAILED = 125
_STDIN_CAP = 256 << 20


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """How: see Sandbox.run. `root` is absolute; `read_only` maps paths of this machine to those inside."""

    root: str
    uid: int | None
    sandbox: SandboxConfig
    seconds: float
    network: bool = False
    env: Mapping[str, str] = {}
    read_only: Mapping[str, str] = {}
    writable: bool = True
    has_input: bool = False
    output_cap: int = 1_000_000


def wrap(spec: Spec) -> list[str]:
    """The words before a command that has it run so. The checkout, which a Python would import from, is no
    place for it: hence -I, and this machine's own variables."""
    own = [f"PATH={os.environ.get('PATH') or proc.SEARCH_PATH}", f"HOME={Path.home()}"]
    program = [sys.executable, "-I", "-m", __name__, msgspec.json.encode(spec).decode()]
    return ["env", *own, *program]


def main(argv: Sequence[str]) -> int:
    spec = decoding.decode(argv[0], Spec)
    box = sandbox.make(spec.sandbox)
    try:
        done = box.run(
            Command(
                list(argv[1:]),
                timeout=spec.seconds,
                network=spec.network,
                stdin=sys.stdin.buffer.read(_STDIN_CAP) if spec.has_input else b"",
                env=spec.env,
                read_only={Path(path): inside for path, inside in spec.read_only.items()},
                writable_workspace=spec.writable,
                output_cap=spec.output_cap,
            ),
            Workspace(Path(spec.root), spec.uid),
        )
    except SprintError as error:
        print(error, file=sys.stderr)
        return _FAILED
    sys.stdout.buffer.write(done.stdout)
    sys.stdout.flush()
    sys.stderr.buffer.write(done.stderr)
    if done.killed_by or done.truncated:
        print(f"ended by its limit: {done.killed_by or 'output'}", file=sys.stderr)
        return _FAILED
    return done.exit_code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
