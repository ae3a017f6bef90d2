"""How a shell gets its script: by its environment, which only its own user may read.

Arguments can be read in /proc by everybody on the machine. A script in the environment is the same to a shell
as one in its arguments, its line numbers included; what it starts does not have the variable.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import NamedTuple

VARIABLE = "_SPRINT_SCRIPT"
NESTED = "_SPRINT_NESTED_SCRIPT"

_RUN_IT = f'eval "unset {VARIABLE}; ${VARIABLE}"'
# For a script whose $0 is a shell: runs in that shell what its environment has as NESTED.
RUN_NESTED = f"""{VARIABLE}="${NESTED}" "$0" -c 'unset {NESTED}; {_RUN_IT}'"""
_SHELLS = frozenset({"sh", "bash", "dash"})
# What a shell does not let itself be told, or takes only when it starts.
_SHELLS_OWN = frozenset(
    {"BASHOPTS", "BASH_ENV", "ENV", "EUID", "IFS", "POSIXLY_CORRECT", "PPID", "SHELLOPTS", "UID"}
)


def hidden(argv: Sequence[str], first: str = "") -> tuple[list[str], dict[str, str]]:
    """A command that runs `first` (for any shell) and becomes argv, and what its environment must have.

    Only a shell's script is hidden: whatever else argv holds, the program that it names will show itself.
    """
    if _is_script(argv):
        shell, _, script, *rest = argv
        return [shell, "-c", first + _RUN_IT, *rest], {VARIABLE: script}
    return (["/bin/sh", "-c", f'{first}exec "$@"', "sh", *argv] if first else list(argv)), {}


class Waiting(NamedTuple):
    """What a shell has to know of its command when it is started: the shell itself, and its $0."""

    shell: str
    zero: str

    def argv(self, go: int, words: int, first: str) -> list[str]:
        """The shell that waits for a line from the descriptor `go`, takes in the words, runs `first`, and
        then is what they say. Both descriptors are of one digit."""
        wait = f"read -r _ <&{go} || exit; . /proc/self/fd/{words}; exec {go}<&- {words}<&-; "
        return [self.shell, "-c", wait + first + _RUN_IT, self.zero]


def waiting_for(argv: Sequence[str]) -> Waiting:
    """The shell that can become that command."""
    if _is_script(argv):
        return Waiting(argv[0], argv[3] if len(argv) > 3 else argv[0])
    return Waiting("/bin/sh", "sh")


def words(argv: Sequence[str], env: Mapping[str, str]) -> str:
    """What the waiting shell is told: the variables to export, its script and its arguments."""
    script, rest = (argv[2], argv[4:]) if _is_script(argv) else ('exec "$@"', argv)
    told = [f"export {name}={shlex.quote(value)}" for name, value in env.items()]
    told.append(f"{VARIABLE}={shlex.quote(script)}")
    told.append(shlex.join(["set", "--", *rest]))
    return "\n".join(told)


def settable(env: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The variables that a shell can set, and the others."""
    told = {
        name: value
        for name, value in env.items()
        if name.isascii() and name.isidentifier() and name not in _SHELLS_OWN
    }
    return told, {name: value for name, value in env.items() if name not in told}


def _is_script(argv: Sequence[str]) -> bool:
    return len(argv) > 2 and argv[1] == "-c" and PurePath(argv[0]).name in _SHELLS
