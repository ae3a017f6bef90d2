"""A defect of sprint's own: one line for the operator, and its traceback in a file, for cron keeps none."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sprint import __version__, files
from sprint.clean_text import safe_line
from sprint.errors import SprintError

EXIT_CODE = 70
_KEPT = 20  # the newest
_log = logging.getLogger(__name__)
_folder: Path | None = None


def keep_in(results: Path) -> None:
    """Where tracebacks go from now on: results/defects/."""
    global _folder
    _folder = results / "defects"


def tell(error: Exception, say: Callable[[str], None] = _log.error) -> int:
    """Write it down and say so; returns the exit code."""
    words = safe_line(f"{type(error).__name__}: {error}")
    say(f"a defect of sprint's own, please report it with {_written(error)}: {words}")
    _log.debug("where it came from", exc_info=error)
    return EXIT_CODE


def _written(error: Exception) -> str:
    if _folder is None:
        return "what -v says"
    path = _folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}-{os.getpid()}.txt"
    text = f"sprint {__version__}\n{''.join(traceback.format_exception(error))}"
    try:
        files.make_folder(_folder)
        files.replace(path, text.encode("utf-8", "replace"))
        for old in sorted(_folder.glob("*.txt"))[:-_KEPT]:
            old.unlink(missing_ok=True)
    except (SprintError, OSError):
        return "what -v says"
    return str(path)
