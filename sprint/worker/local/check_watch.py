"""Which of the project's checks a model has run since its last edit.

A command that runs a check leaves a mark inside the sandbox when it ends; what changed is then newer than the
mark or not. So it does not matter by which tool or command the files were written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sprint.sandbox.script import RUN_NESTED
from sprint.worker.local.file_tools import RunScript
from sprint.worker.review import CheckRun, Ran

_SECONDS = 30.0
_MARK = '"$TMPDIR/.sprint-check-$1"'
# The exit code stays the command's own.
MARKING = f"{RUN_NESTED} 2>&1; code=$?; touch -- {_MARK}; exit $code"
# $1 how many marks; the paths that changed, each ended by NUL, on standard input. A line for each mark.
_LOOK = """
paths=$(mktemp) && cat >"$paths"; number=0
while [ "$number" -lt "$1" ]; do
    mark="$TMPDIR/.sprint-check-$number"; number=$((number + 1))
    [ -e "$mark" ] || { echo never; continue; }
    newer='for path; do [ "$path" -nt "$0" ] && echo x; done; :'
    [ "$(xargs -0 -r sh -c "$newer" "$mark" <"$paths" | head -n 1)" ] && echo before || echo since
done
rm -f -- "$paths"
"""
_PYTHON = re.compile(r"\b(?:python[\d.]*|py)(?= )")
_ENDS = re.compile(r"\s*(?:$|[;&|)<>#\n]|\d>)")
_RUNNERS = frozenset(("go", "npm", "pnpm", "yarn", "bun", "cargo", "make", "deno", "mix", "dotnet", "just"))
_SAYS_NOTHING = frozenset(("python3", "npx", "uv", "run", "poetry", "bundle", "exec", "env", "sh", "bash"))


class CheckWatch:
    """`checks` are the commands of the project's checks that can run here."""

    def __init__(self, checks: Sequence[str], run: RunScript) -> None:
        self._checks = checks
        self._run = run
        self._how: dict[int, Ran] = {}

    def seen(self, command: str) -> int | None:
        """The number of the check that a command runs, whole or in part; None where it runs none."""
        for wanted in (Ran.YES, Ran.IN_PART):
            for number, check in enumerate(self._checks):
                if how(check, command) is wanted:
                    self._how[number] = wanted
                    return number
        return None

    def runs(self, changed: Sequence[str]) -> tuple[CheckRun, ...]:
        """For each check whether it ran after all of these paths were written."""
        if not self._checks:
            return ()
        stdin = b"".join(path.encode("utf-8", "surrogateescape") + b"\0" for path in changed)
        argv = ["sh", "-c", _LOOK, "sh", str(len(self._checks))]
        told = self._run(argv, stdin, _SECONDS, 10_000).out.splitlines()
        return tuple(
            CheckRun(check, self._state(number, told[number] if number < len(told) else "never"))
            for number, check in enumerate(self._checks)
        )

    def _state(self, number: int, told: str) -> Ran:
        if told == "never":
            return Ran.NO
        return Ran.BEFORE if told == "before" else self._how.get(number, Ran.YES)


def how(check: str, command: str) -> Ran:
    """Whether a command line runs a check: YES as it is written, IN_PART with other arguments, or NO."""
    check, command = _plain(check), _plain(command)
    at = -1
    while (at := command.find(check, at + 1)) >= 0:
        if _ENDS.match(command, at + len(check)):
            return Ran.YES
    name = _name(check)
    return Ran.IN_PART if name and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", command) else Ran.NO


def _plain(command: str) -> str:
    return _PYTHON.sub("python3", re.sub(r"[ \t]+", " ", command).strip())


def _name(check: str) -> str:
    """The words that say what a check runs: `pytest`, `go test`, `make check`."""
    words = [
        word
        for word in check.split()
        if not word.startswith("-") and "=" not in word and word not in _SAYS_NOTHING
    ]
    return " ".join(words[: 2 if words and words[0] in _RUNNERS else 1])
