"""That a sandbox holds, remembered for ten minutes: to find out is a start of its own in every tick.

What is remembered is for this boot, this program, these settings of the kernel and this configuration alone,
and only a yes. A sandbox that does not start ends a run all the same, whatever was found out before.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from sprint import json_file, proc
from sprint.config import SandboxConfig
from sprint.errors import SprintError
from sprint.sandbox import probing

_SECONDS = 600.0
_NAME = "sandbox.json"


def remembered(cache: Path | None, config: SandboxConfig, probe: Callable[[], None]) -> None:
    """Probe, unless the same was found sound a moment ago. Raises what `probe` does."""
    if cache is None:
        return probe()
    path, this, now = cache / _NAME, _surroundings(config), time.time()
    known = json_file.read_if_sound(path, dict[str, float]) or {}
    recent = {of: found_at for of, found_at in known.items() if 0 <= now - found_at < _SECONDS}
    if this in recent:
        return None
    probe()
    with suppress(SprintError):  # then it is found out again
        json_file.write(path, {**recent, this: now}, durable=False)
    return None


def _surroundings(config: SandboxConfig) -> str:
    text = "\n".join((repr(config), probing.ATTEMPTS, str(os.getuid()), proc.SEARCH_PATH, *_of_the_system()))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _of_the_system() -> Iterator[str]:
    program = proc.find("bwrap") or ""
    with suppress(OSError):
        status = Path(program).stat()
        yield f"{program} {status.st_ino} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_mode}"
    yield str(Path("/proc/self/ns/user").readlink())
    for path in (Path("/proc/sys/kernel/random/boot_id"), *probing.settings()):
        with suppress(OSError):
            yield f"{path} {path.read_text().strip()}"
