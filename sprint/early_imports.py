"""Imports what a tick will need while it waits for something else: its forge, git, a sandbox."""

from __future__ import annotations

import contextlib
import importlib
import threading


def load(*names: str) -> None:
    """Import modules of others, in a thread. What fails here fails again, and is told, where it is needed.

    None of ours: two threads that import two modules of one circle may see one of them half-made.
    """
    threading.Thread(target=_load, args=(names,), name="imports", daemon=True).start()


def _load(names: tuple[str, ...]) -> None:
    for name in names:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
