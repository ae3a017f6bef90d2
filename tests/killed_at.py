"""A process that is SIGKILLed right after one of a tick's steps."""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

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
    "sprite taken": ("sprint.worker.sprite.chosen", "Choice.take", 0),
    "sprite noted": ("sprint.worker.sprite.note", "save", 0),
    "sent": ("sprint.worker.sprite.sending", "send", 0),
    "launched": ("sprint.worker.sprite.launching", "launch", 0),
    "fetched": ("sprint.worker.sprite.returning", "fetch", 0),
    "handed over": ("sprint.worker.sprite.sprite_worker", "SpriteWorker.collect", 0),
    "given back": ("sprint.worker.sprite.sprite_worker", "SpriteWorker.release", 0),
    "fork made": ("sprint.publish", "ready_fork", 0),
    "pushed": ("sprint.renewal", "Lease.confirm_with", 0),
    "pushed again": ("sprint.publish", "_push", 0),
    "pull request opened": ("sprint.publish", "publish", 0),
    "row written": ("sprint.ledger", "append", 0),
    "told": ("sprint.settle.conclude", "_tell", 0),
    "released": ("sprint.claim", "Claims.release", 0),
}
ON_SPRITES = {"sprite taken", "sprite noted", "sent", "launched", "fetched", "handed over", "given back"}

# Those that only a follow-up has, in their order.
FOLLOW_UP: dict[str, tuple[str, str, int]] = {
    "occasion kept": ("sprint.runs", "RunStore.keep_occasion", 0),
    "taken up": ("sprint.claim", "Claims.take_up", 0),
    "head fetched": ("sprint.settle.merged_base", "fetch_head", 0),
    "merged": ("sprint.settle.merged_base", "merged", 0),
    "pushed on": ("sprint.publish", "push_on", 0),
    "table renewed": ("sprint.settle.hand_back", "_renew_body", 0),
    "said": ("sprint.settle.hand_back", "_say_once", 0),
    "answered": ("sprint.settle.hand_back", "_answer", 0),
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
    """For this process, in which every module that refers to that step is loaded."""
    module_name, path, survived = (PLACES | FOLLOW_UP)[place]
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
