"""What a tick did, and how it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from sprint.clean_text import safe_line
from sprint.domain import PassedOver, Run
from sprint.errors import SprintError

if TYPE_CHECKING:
    from sprint.follow import Decided

_SHOWN = 10  # issues passed over, of which a tick speaks without being asked


class TickReport(Struct, frozen=True):
    """What a tick did, for a person or a program. `waiting` are the runs that are still under way, `run` the
    newest that it began, `trouble` the first failure that left a run where it was."""

    repo: str
    settled: tuple[Run, ...] = ()
    waiting: tuple[Run, ...] = ()
    run: Run | None = None
    idle: str = ""  # why there was nothing to do
    passed_over: tuple[PassedOver, ...] = ()
    trouble: SprintError | None = None
    followed: tuple[Decided, ...] = ()  # our pull requests, and what was decided of each


def lines(report: TickReport) -> list[str]:
    """What a tick did, a line for each run that it brought to an end."""
    said = [line_of(run) for run in (*report.settled, *report.waiting)]
    if report.run and report.run not in report.waiting:
        said.append(line_of(report.run))
    if report.idle:
        said.append(f"{report.repo}: {safe_line(report.idle)}")
    said += [f"  {safe_line(one.says)}" for one in report.followed if one.says != report.idle]
    said += [
        f"  passed over #{p.number} {safe_line(p.title)}: {safe_line(p.reason)}"
        for p in report.passed_over[:_SHOWN]
        if not report.idle.startswith(f"#{p.number}: ")  # of the one that was asked for it is said above
    ]
    if len(report.passed_over) > _SHOWN:
        said.append(f"  and {len(report.passed_over) - _SHOWN} more; --dry-run tells why")
    return said


def line_of(run: Run) -> str:
    outcome = run.outcome or (f"rests: {safe_line(run.paused_why)}" if run.paused_since else run.phase)
    what = f"{run.repo} {run.about} {safe_line(run.title)}: {outcome}"
    return " ".join(filter(None, [what, run.pr_url, f"({safe_line(run.detail)})" if run.detail else ""]))


def as_data(report: TickReport) -> dict[str, Any]:
    """A tick for programs: the shape that `--json` prints, one object a line."""

    def data(run: Run) -> dict[str, Any]:
        return {
            "run_id": run.id,
            "issue": run.issue,
            "title": run.title,
            "attempt": run.attempt,
            "outcome": run.outcome,
            "phase": run.phase,
            "pr_url": run.pr_url,
            "branch": run.branch,
            "detail": run.detail,
        }

    return {
        "repo": report.repo,
        "run": data(report.run) if report.run else None,
        "settled": [data(run) for run in report.settled],
        "waiting": [data(run) for run in report.waiting],
        "idle": report.idle,
        "pull_requests": [
            {"number": one.number, "issue": one.issue, "decision": one.step, "reason": one.reason}
            for one in report.followed
        ],
        "passed_over": [
            {"number": p.number, "title": p.title, "reason": p.reason} for p in report.passed_over
        ],
    }
