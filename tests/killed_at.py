"""`python -m tests.killed_at PLACE ARGS...`: the command line, SIGKILLed right after one of its steps."""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from sprint.cli import main

# Each step: where its function lives, and how many calls of it are survived.
PLACES: dict[str, tuple[str, str, int]] = {
    "run written": ("sprint.runs", "RunStore.create", 0),
    "claimed": ("sprint.claim", "Claims.take", 0),
    "claim noted": ("sprint.runs", "RunStore.save", 1),
    "mirrored": ("sprint.workspace", "update_mirror", 0),
    "workspace made": ("sprint.workspace", "create", 0),
    "checked at the base": ("sprint.verify", "run_checks", 0),
    "worked": ("sprint.worker.attached", "Attached.collect", 0),
    "imported": ("sprint.workspace", "import_work", 0),
    "committed": ("sprint.workspace", "commit", 0),
    "checked at the result": ("sprint.verify", "run_checks", 1),
    "pushed": ("sprint.publish", "_push", 0),
    "pull request opened": ("sprint.publish", "publish", 0),
    "row written": ("sprint.ledger", "append", 0),
    "told": ("sprint.settle.conclude", "_tell", 0),
    "released": ("sprint.claim", "Claims.release", 0),
}


def _killing(function: Callable[..., Any], survived: int) -> Callable[..., Any]:
    left = survived

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        result = function(*args, **kwargs)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return result

    return wrapped


def plant(place: str) -> None:
    module_name, path, survived = PLACES[place]
    owner: Any = importlib.import_module(module_name)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, name)
    killing = _killing(original, survived)
    setattr(owner, name, killing)
    for module in list(sys.modules.values()):  # those that imported the function by name
        if getattr(module, "__name__", "").startswith("sprint.") and getattr(module, name, None) is original:
            setattr(module, name, killing)


if __name__ == "__main__":
    importlib.import_module("sprint.run_command")  # with all that holds a reference to what is replaced
    plant(sys.argv[1])
    raise SystemExit(main(sys.argv[2:]))
