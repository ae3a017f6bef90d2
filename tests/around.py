"""What a command finds around it, in a test: nothing but a folder."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from sprint.surroundings import Surroundings


def around(
    folder: Path,
    environ: Mapping[str, str] | None = None,
    *,
    cwd: Path | None = None,
    out: TextIO | None = None,
) -> Surroundings:
    """`folder` is home and, unless `cwd` is another one, the working directory; `environ` is empty."""
    return Surroundings(environ or {}, folder, cwd or folder, out or sys.stdout)
