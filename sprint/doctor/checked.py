"""A check by its words: what it says where it holds, and why where it does not."""

from __future__ import annotations

from collections.abc import Callable

from sprint.domain import Finding, Grade
from sprint.errors import SprintError


def checked(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(Grade.OK, what, check())
    except SprintError as error:
        return Finding(Grade.FAULT, what, str(error))
