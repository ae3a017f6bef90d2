"""Where tests put what goes with them."""

from __future__ import annotations

import tempfile
from pathlib import Path


def open_to_all() -> Path:
    """The folder for temporary files; /tmp where other users cannot pass through that one."""
    folder = Path(tempfile.gettempdir())
    is_open = all(part.stat().st_mode & 0o001 for part in (folder, *folder.parents))
    return folder if is_open else Path("/tmp")
