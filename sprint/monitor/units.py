"""Figures in words, the same in every report."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sprint.clean_text import safe_line
from sprint.domain import Purpose, Run
from sprint.monitor.figures import ActiveRun, PullCounts, Report

PROOFS = {"proven": "proven", "unproven": "unproven", "none": "without checks"}
_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"))


def span(seconds: float) -> str:
    """A length of time in its largest fitting unit: `45 s`, `12 min`, `3.5 h`, `2 d`."""
    for size, unit in _UNITS:
        if abs(seconds) >= size:
            count = seconds / size
            return (
                f"{count:.1f}".removesuffix(".0") + f" {unit}" if abs(count) < 10 else f"{count:.0f} {unit}"
            )
    return f"{seconds:.0f} s"


def ago(then: datetime, now: datetime) -> str:
    seconds = (now - then).total_seconds()
    return f"{span(seconds)} ago" if seconds >= 0 else f"in {span(-seconds)}"


def percent(share: float | None) -> str:
    """Rounded, but never up to 100 % or down to 0 % what is neither."""
    if share is None:
        return "-"
    rounded = round(share * 100)
    if 0 < share < 1:
        rounded = min(max(rounded, 1), 99)
    return f"{rounded}%"


def dollars(amount: float | None) -> str:
    """Two places, and four for less than ten cents; `unknown` for None."""
    if amount is None:
        return "unknown"
    return f"${amount:.4f}" if 0 < amount < 0.1 else f"${amount:,.2f}"


def work(run: ActiveRun | Run) -> str:
    """What a run is for and which round of it, "" for the usual: an issue."""
    if run.purpose == Purpose.ISSUE:
        return ""
    return f"{run.purpose.replace('_', '-')} {run.round}" if run.round else run.purpose.replace("_", "-")


def plural(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def waits(report: Report) -> list[str]:
    """What waits for people, in words; nothing where nothing does."""
    asking, pulls = report.figures.asking_count, report.pulls.open
    said = [plural(pulls, "pull request")] if pulls else []
    return [*said, plural(asking, "question")] if asking else said


def follow_ups(pulls: PullCounts) -> Iterator[tuple[str, str]]:
    """What is known of follow-ups and of who looked before a merge: a name for each, and its figures."""
    if pulls.triggers or pulls.rounds:
        yield "follow-ups pushed", _rounds(pulls)
    if any(pulls.merged_after):
        taken = (f"{count} after {rounds or 'none'}" for rounds, count in pulls.merged_after.items())
        yield "merged by follow-ups that they took", ", ".join(taken)
    if pulls.merged_reviewed or pulls.merged_unseen:
        yield "merged unseen", f"{pulls.merged_unseen}, after a person's word {pulls.merged_reviewed}"


def _rounds(pulls: PullCounts) -> str:
    pushed, most = sum(pulls.rounds.values()), max(pulls.rounds.values(), default=0)
    of_one = f", at most {most} for one" if most > 1 else ""
    for_what = ", ".join(f"{count} for {safe_line(what, 40)}" for what, count in pulls.triggers.items())
    begun = f"; begun: {for_what}" if for_what else ""
    return f"{pushed} for {plural(len(pulls.rounds), 'pull request')}{of_one}{begun}"
