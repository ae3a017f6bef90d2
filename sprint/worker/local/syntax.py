"""Has a language's own checker look at a file that was just written, inside the sandbox.

Nothing is written by it and nothing of the project is run. A checker that is not there says nothing; nor does
one that did not understand the file as it was before: then it is no judge of it.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

_SECONDS = 5
_SHOWN = 500  # characters
_PYTHON = "import sys; compile(open(sys.argv[1], 'rb').read(), sys.argv[1], 'exec')"
_JSON = "import json, sys; json.load(open(sys.argv[1], 'rb'))"
_TOML = "import sys, tomllib; tomllib.load(open(sys.argv[1], 'rb'))"

# The program that has to be there, and what is run with the file as "$p".
_CHECKERS: dict[str, tuple[str, str]] = {
    ".py": ("python3", f'python3 -I -c "{_PYTHON}" "$p"'),
    ".json": ("python3", f'python3 -I -c "{_JSON}" "$p"'),
    ".toml": ("python3", f'python3 -I -c "{_TOML}" "$p"'),
    ".js": ("node", 'node --check "$p"'),
    ".mjs": ("node", 'node --check "$p"'),
    ".cjs": ("node", 'node --check "$p"'),
    ".go": ("gofmt", 'gofmt -e "$p" >/dev/null'),
    ".rb": ("ruby", 'ruby -c "$p" >/dev/null'),
    ".php": ("php", 'php -l "$p"'),
    ".sh": ("bash", 'bash -n "$p"'),
    ".bash": ("bash", 'bash -n "$p"'),
}
# What a checker says where it is too old, or was not told which dialect a file is in.
_NO_JUDGE = re.compile(
    r"outside a module|Unexpected token '(?:<|export)'|type annotations?|No module named|timed out",
    re.IGNORECASE,
)

_NOISE = ("Traceback", "at ", 'File "<string>"', "Node.js")


def script(path: str) -> str:
    """Shell text that checks the file "$p" just written, whose content before is in "$before" (empty: none).

    It prints what is wrong with it, and changes nothing. "" where there is no checker for such a file.
    """
    program, command = _CHECKERS.get(PurePosixPath(path).suffix.lower(), ("", ""))
    if not program:
        return ""
    return f"""
check() {{ timeout {_SECONDS} {command}; }}
command -v {program} >/dev/null || exit 0
said=$(check 2>&1) && exit 0
if [ -n "$before" ]; then
    now=$(mktemp) && cat -- "$p" >"$now" && cat -- "$before" >"$p"
    check >/dev/null 2>&1 && was=fine
    cat -- "$now" >"$p"; rm -f -- "$now"
    [ "${{was-}}" ] || exit 0
fi
printf '%s\\n' "$said" | tail -n 8
"""


def complaint(path: str, said: str) -> str:
    """What a checker said, in a line or two for the model; "" where it is no judge of the file."""
    program, _ = _CHECKERS.get(PurePosixPath(path).suffix.lower(), ("", ""))
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    lines = [
        line for line in lines if not line.startswith(("Traceback", "at ", 'File "<string>"', "Node.js"))
    ]
    if not program or not lines or _NO_JUDGE.search(said):
        return ""
    text = "\n".join(lines)
    return f"[{program} finds a mistake in it now: {text[-_SHOWN:]}]"
