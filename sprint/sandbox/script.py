"""How a shell gets its script: by its environment, which only its own user may read.

Arguments can be read in /proc by everybody on the machine. A script in the environment is the same to a shell
as one in its arguments, its line numbers included; what it starts does not have the variable.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

VARIABLE = "_SPRINT_SCRIPT"
NESTED = "_SPRINT_NESTED_SCRIPT"

_RUN_IT = f'eval "unset {VARIABLE}; ${VARIABLE}"'
# For a script whose $0 is a shell: runs in that shell what its environment has as NESTED.
RUN_NESTED = f"""{VARIABLE}="${NESTED}" "$0" -c 'unset {NESTED}; {_RUN_IT}'"""
_SHELLS = frozenset({"sh", "bash", "dash"})


def hidden(argv: Sequence[str], first: str = "") -> tuple[list[str], dict[str, str]]:
    """A command that runs `first` (for any shell) and becomes argv, and what its environment must have.

    Only a shell's script is hidden: whatever else argv holds, the program that it names will show itself.
    """
    if len(argv) > 2 and argv[1] == "-c" and PurePath(argv[0]).name in _SHELLS:
        shell, _, script, *rest = argv
        return [shell, "-c", first + _RUN_IT, *rest], {VARIABLE: script}
    return (["/bin/sh", "-c", f'{first}exec "$@"', "sh", *argv] if first else list(argv)), {}
