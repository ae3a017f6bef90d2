"""What is copied to a machine on which an agent is to work, and the same on this one."""

from __future__ import annotations

import io
import os
import sys
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NoReturn

_HERE = Path(__file__).parent
_PACKAGE = _HERE.parent
_MAIN = "__main__.py"
PROGRAM = "supervisor.pyz"  # one file, which a bare Python 3.10 runs
RELAY = "relay.py"  # likewise, and its own source


def content(name: str) -> bytes:
    """One of these."""
    return _packed() if name == PROGRAM else (_HERE / name).read_bytes()


@cache
def _packed() -> bytes:
    """The supervisor with all that it imports, the same bytes for the same sources."""
    folder = _HERE / "supervisor"
    modules = [_PACKAGE / "__init__.py", _HERE / "__init__.py", _HERE / "detector.py", *folder.glob("*.py")]
    named = {str(path.relative_to(_PACKAGE.parent)): path for path in modules if path.name != _MAIN}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in sorted({**named, _MAIN: folder / _MAIN}.items()):
            archive.writestr(zipfile.ZipInfo(name), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def become_supervisor(args: Sequence[str]) -> NoReturn:
    """`sprint agent`: in place of this process, so that what stays in the background is small. The folder is
    the agent's repository, from which nothing is imported: hence -I."""
    module = f"{__package__}.supervisor"
    os.execv(sys.executable, [sys.executable, "-I", "-m", module, *args])  # noqa: S606
