"""Imports what a tick will need while it waits for something else: its forge, git, a sandbox."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import threading


def load(*names: str) -> None:
    """Import modules of others, in a thread; "package.*" is a package with all that is in it. What fails here
    fails again, and is told, where it is needed.

    None of ours: two threads that import two modules of one circle may see one of them half-made.
    """
    threading.Thread(target=_load, args=(names,), name="imports", daemon=True).start()


def _load(names: tuple[str, ...]) -> None:
    for name in names:
        with contextlib.suppress(Exception):
            found = importlib.import_module(name.removesuffix(".*"))
            if name.endswith(".*"):
                inner = [module.name for module in pkgutil.iter_modules(found.__path__)]
                _load(tuple(f"{found.__name__}.{one}" for one in inner))
