"""Figures in words, the same in every report."""

from __future__ import annotations

from datetime import datetime

from sprint.domain import Purpose, Run
from sprint.monitor.figures import ActiveRun

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
