"""What a worker is shown of its own work before it is handed in: what a reviewer would see, as text.

The runner says what there is; a worker says which checks ran. Neither depends on the kind of the worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct

from sprint import prompts
from sprint.domain import DiffStat, Refusal

_FEW_FILES = 5
_FEW_LINES = 80
_NOTHING = (
    "Nothing has changed in the working tree. If the change is still to be made, make it; if the issue is "
    "solved already, say that it is fixed already and by which commit; if not, {confirm}."
)


class Ran(StrEnum):
    """Whether a check of the project ran since the last edit."""

    YES = "yes"
    IN_PART = "in part"
    BEFORE = "before the last edit only"
    NO = "no"


class Inspection(Struct, frozen=True):
    """The work as the runner would hand it in now.

    `changes` are all but `scratch`, which would be left out. `unreferenced` are those of the new files in the
    root that nothing refers to. `refusals` are the policy's.
    """

    changes: tuple[DiffStat, ...]
    scratch: tuple[str, ...] = ()
    unreferenced: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    @property
    def tracked(self) -> tuple[DiffStat, ...]:
        return tuple(change for change in self.changes if change.status != "A")


class CheckRun(Struct, frozen=True):
    """One of the project's checks."""

    command: str
    ran: Ran


def is_plain(found: Inspection, checks: Sequence[CheckRun]) -> bool:
    """True where there is nothing to tell: a small diff of tracked files, with the checks run after it."""
    lines = [sum(change.lines or (0, _FEW_LINES)) for change in found.changes]
    return (
        bool(found.changes)
        and found.tracked == found.changes
        and not found.scratch
        and not found.refusals
        and len(found.changes) <= _FEW_FILES
        and sum(lines) <= _FEW_LINES
        and all(check.ran is Ran.YES for check in checks)
    )


def text(found: Inspection, checks: Sequence[CheckRun], confirm: str) -> str:
    """The review. `confirm` says how the work is handed in for good: "call `finish` again"."""
    if not (found.changes or found.scratch or found.refusals):
        return _NOTHING.format(confirm=confirm)
    return prompts.review(
        found.changes,
        scratch=found.scratch,
        unreferenced=found.unreferenced,
        refusals=found.refusals,
        checks=[(check.command, check.ran.value) for check in checks],
        confirm=confirm,
    )
