"""Has errands done on a sprite: see errands.py, which goes there with each of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sprint.sprite.backend import Backend, Done, Failed, Refused, kind_of_failure
from sprint.sprite.folders import FolderBackend

_ERRANDS = Path(__file__).with_name("errands.py")
_NO_PROGRAM = (126, 127)
_FAULT = 3
_OLDEST_PYTHON = (3, 10)
_LEAST_MB = 256


@dataclass(frozen=True)
class Visit:
    """One sprite of a backend."""

    backend: Backend
    sprite: str

    def ask(self, errand: str, *, timeout: float = 60.0, **args: Any) -> dict[str, Any]:
        """What the errand answers; one dialogue. Raises BackendError."""
        done = self.backend.exec(self.sprite, _words(errand, args), timeout=timeout, stdin=_errands())
        return _answer(done, f"sprite {self.sprite}", errand)


def ask_machine(backend: FolderBackend, errand: str, *, timeout: float = 60.0, **args: Any) -> dict[str, Any]:
    """The same of the machine on which the sprites are folders."""
    done = backend.exec_beside(_words(errand, args), timeout=timeout, stdin=_errands())
    return _answer(done, f"backend {backend.name}", errand)


def unfit(found: Mapping[str, Any]) -> str:
    """Why nothing can be done on a sprite where `probe` found that, "" where it can."""
    if tuple(found["python"]) < _OLDEST_PYTHON:
        return f"its Python is {'.'.join(map(str, found['python']))}; install 3.10 or newer there"
    if not found["git"]:
        return "no git there; install it"
    return f"its disk has {found['free_mb']} MB left; make room" if found["free_mb"] < _LEAST_MB else ""


def _words(errand: str, args: Mapping[str, Any]) -> list[str]:
    return ["python3", "-I", "-", errand, json.dumps(args)]


def _answer(done: Done, who: str, errand: str) -> dict[str, Any]:
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    last = " ".join((said[-1] if said else f"exit code {done.exit_code}").split())[:300]
    if done.exit_code in _NO_PROGRAM:
        raise Refused(f"{who}: no python3 there; install Python 3.10 or newer")
    if done.exit_code == _FAULT:
        raise kind_of_failure(last)(f"{who}: {last}")
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = None
    if done.exit_code or not isinstance(answer, dict):
        raise Failed(f"{who}: {errand}: {last}; is its python3 3.10 or newer?")
    return answer


@cache
def _errands() -> bytes:
    return _ERRANDS.read_bytes()
