"""The one error of a search for credentials, apart from the scanner, which is heavy to import."""

from __future__ import annotations

from sprint.errors import SprintError


class ScanUnfinished(SprintError):
    """Looking for credentials took more than it may; a later tick looks again."""
