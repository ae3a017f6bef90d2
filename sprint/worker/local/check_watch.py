"""Which of the project's checks a model has run since its last edit.

A command that runs a check leaves a mark inside the sandbox when it ends; what changed is then newer than the
mark or not. So it does not matter by which tool or command the files were written.
"""

from __future__ import annotations

from collections.abc import Sequence

from sprint.sandbox.script import RUN_NESTED
from sprint.worker.check_runs import how
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


class CheckWatch:
    """`checks` are the commands of the project's checks that can run here."""

    def __init__(self, checks: Sequence[str], run: RunScript) -> None:
        self._checks = checks
        self._run = run
        self._how: dict[int, Ran] = {}
        self._newest: int | None = None  # the check that ended, where nothing was done since

    def seen(self, command: str) -> int | None:
        """The number of the check that a command runs, whole or in part; None where it runs none."""
        for wanted in (Ran.YES, Ran.IN_PART):
            for number, check in enumerate(self._checks):
                if how(check, command) is wanted:
                    self._how[number] = wanted
                    return number
        return None

    def done(self, check: int | None, *, is_whole: bool = True) -> None:
        """Something that may have written files has ended: a check, by its number, or another command."""
        self._newest = check if is_whole else None

    def runs(self, changed: Sequence[str]) -> tuple[CheckRun, ...]:
        """For each check whether it ran after all of these paths were written."""
        if not self._checks:
            return ()
        if len(self._checks) == 1 and self._newest == 0:
            return (CheckRun(self._checks[0], self._state(0, "since")),)
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
