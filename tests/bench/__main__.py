"""`python -m tests.bench [NAME ...]`: what sprint costs, as ratios in one run where that can be."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.bench import environment, forge, gateway, loop, mirror, monitor, storm, tick

BENCHES = {
    "tick": tick.bench,
    "loop": loop.bench,
    "mirror": mirror.bench,
    "environment": environment.bench,
    "forge": forge.bench,
    "gateway": gateway.bench,
    "monitor": monitor.bench,
    "storm": storm.bench,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"no such bench: {', '.join(unknown)}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    for name in names or BENCHES:
        with tempfile.TemporaryDirectory(prefix="sprint-bench-") as scratch:
            Path(scratch).chmod(0o711)  # the sandbox's user must be able to pass through
            print(f"== {name}", flush=True)
            for line in BENCHES[name](Path(scratch)):
                print(f"   {line}", flush=True)
    return 0


raise SystemExit(main(sys.argv[1:]))
