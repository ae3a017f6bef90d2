"""`python -m tests.bench [NAME ...]`: what sprint costs, as ratios in one run where that can be."""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import sprint
from tests.bench import (
    agents,
    backlog,
    environment,
    fleet,
    forge,
    gateway,
    loop,
    mirror,
    monitor,
    public_door,
    storm,
    tick,
    together,
    viewers,
    weekend,
)

BENCHES = {
    "tick": tick.bench,
    "loop": loop.bench,
    "together": together.bench,
    "backlog": backlog.bench,
    "mirror": mirror.bench,
    "environment": environment.bench,
    "forge": forge.bench,
    "gateway": gateway.bench,
    "agents": agents.bench,
    "monitor": monitor.bench,
    "viewers": viewers.bench,
    "public": public_door.bench,
    "storm": storm.bench,
    "weekend": weekend.bench,
    "fleet": fleet.bench,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"no such bench: {', '.join(unknown)}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    # Ticks must not be measured while Python compiles them, as an installed program is compiled.
    compileall.compile_dir(str(Path(sprint.__file__).parent), quiet=1)
    print(_where())
    for name in names or BENCHES:
        with tempfile.TemporaryDirectory(prefix="sprint-bench-") as scratch:
            Path(scratch).chmod(0o711)  # the sandbox's user must be able to pass through
            print(f"== {name}", flush=True)
            for line in BENCHES[name](Path(scratch)):
                print(f"   {line}", flush=True)
    return 0


def _where() -> str:
    """The commit and the machine: figures mean nothing without them."""
    root = Path(__file__).parent.parent.parent
    command = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(command, cwd=root, capture_output=True, text=True).stdout.strip()
    load = os.getloadavg()[0]
    version = sys.version.split()[0]
    return f"commit {commit}, Python {version}, {os.cpu_count()} cores, load {load:.1f} at the beginning"


raise SystemExit(main(sys.argv[1:]))
