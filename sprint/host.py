"""Which host this is, as others may know it: a random id, made once for each results folder.

Claims are read by everybody who can fetch from the forge; a machine's name is none of their business.
"""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from sprint import files

FILE = "host-id"
_ID = re.compile(r"[0-9a-f]{16}")


def known_id(results: Path) -> str:
    """The id of the host whose results these are; "" where none was made yet."""
    try:
        text = (results / FILE).read_text("ascii", "replace").strip()
    except OSError:
        return ""
    return text if _ID.fullmatch(text) else ""


def make_id(results: Path) -> str:
    """The same, made (0600) where there is none that can be read. Raises SprintError."""
    if known := known_id(results):
        return known
    files.make_folder(results)
    path = results / FILE
    with files.refusing("write", path):
        handle, name = tempfile.mkstemp(prefix=f".{FILE}.", dir=results)
        draft = Path(name)
        try:
            with os.fdopen(handle, "w") as file:
                file.write(f"{secrets.token_hex(8)}\n")
                file.flush()
                os.fsync(handle)
            with suppress(FileExistsError):  # another process was first: what it made is the id
                path.hardlink_to(draft)
            if not known_id(results):  # what is there is of no use
                draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    return known_id(results)
