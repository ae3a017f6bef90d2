"""The sandbox on another machine: all that bubblewrap is told there is made here, from the same profile.

That machine has bubblewrap, and need not have anything of sprint. Commands run as whoever starts bubblewrap,
who must not be root. What holds for all processes of a command together is for whoever watches over it there.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sprint import proc
from sprint.config import SandboxConfig
from sprint.domain import replace
from sprint.sandbox import profile, seccomp
from sprint.sandbox.bwrap import TAKEN
from sprint.sandbox.limits import MEGABYTE, of_each_process
from sprint.sandbox.script import hidden
from sprint.sandbox.standing import FIRST
from sprint.sandbox.variables import STAND_IN, environment

BWRAP = "bwrap"
UID = 1000  # inside, whoever that is outside
_FIRST_DESCRIPTOR = 200  # above all that a small program has open


def box(
    config: SandboxConfig,
    root: str,
    *,
    network: bool = False,
    writable: bool = True,
    env: Mapping[str, str] | None = None,
    read_only: Mapping[str, str] | None = None,
    shown: Sequence[str] = (),
) -> dict[str, Any]:
    """What has a command run in the sandbox over the workspace `root` there, as JSON: `words` come before it,
    `files` are the descriptors that they name (a number to data in base64), `limits` are prlimit's names,
    `most` is what all together may have.

    `read_only` maps paths there to where they appear, `shown` are paths that appear where they are if they
    are there, as those of `sandbox.readable`; programs are looked for in their `bin`. Otherwise as
    in Command.
    """
    view = profile.View(
        Path(root), writable, network, {Path(path): inside for path, inside in (read_only or {}).items()}
    )
    made_up = profile.made_up_files(UID, replace(view, read_only={}))
    numbers = {path: _FIRST_DESCRIPTOR + 2 + index for index, path in enumerate(made_up)}
    paths = [path for path in (*config.readable, *shown) if Path(path).parts[1:2] not in TAKEN]
    system = list(profile.system_elsewhere(view, paths))
    options = profile.options(view, config, instead={}, files=numbers, system=system)
    options += ["--uid", str(UID), "--gid", str(UID), "--seccomp", str(_FIRST_DESCRIPTOR + 1)]
    variables = {**environment(config, home=view.home, tmp=view.tmp), **(env or {})}
    for name, value in {**variables, "PATH": _search_path(view.home, paths)}.items():
        options += ["--setenv", name, value]
    first, _ = hidden([], FIRST)
    data = {
        _FIRST_DESCRIPTOR: b"".join(word.encode() + b"\0" for word in options),
        _FIRST_DESCRIPTOR + 1: seccomp.program_for_any(),
        **{number: made_up[path].encode() for path, number in numbers.items()},
    }
    return {
        "words": [BWRAP, "--args", str(_FIRST_DESCRIPTOR), "--", *first],
        "files": {str(number): base64.b64encode(text).decode() for number, text in data.items()},
        "limits": of_each_process(config, are_grouped=False),
        "most": {
            "memory": config.memory_mb * MEGABYTE,
            "disk": config.disk_mb * MEGABYTE,
            "files": config.files,
        },
    }


def _search_path(home: str, shown: Sequence[str]) -> str:
    own = (f"{home}/.venv/bin", f"{home}/.local/bin")
    return ":".join((*own, *(f"{path}/bin" for path in shown), proc.GO_PATH, proc.SEARCH_PATH, STAND_IN))
