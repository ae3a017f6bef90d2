"""What a person should be told of: pure, over a report's parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sprint.monitor.figures import ActiveRun, Alarm, Figures, RepoStatus
from sprint.monitor.units import ago, dollars, percent, span

CEILING_SHARE = 0.8
_STALE = timedelta(days=7)


@dataclass(frozen=True)
class Thresholds:
    """`fail_below` in percent, of the last 7 days (with --since: since then); None switches it off."""

    failures_in_a_row: int = 5
    fail_below: float | None = None


def alarms(
    figures: Figures,
    repos: tuple[RepoStatus, ...],
    active: tuple[ActiveRun, ...],
    spent: float | None,
    ceiling: float | None,
    thresholds: Thresholds,
) -> tuple[Alarm, ...]:
    """The alarms there are, the most pressing first; spend and ceiling in dollars, None where unknown."""
    return (
        *_of_ledger(figures),
        *_of_cron(repos, figures.made_at),
        *_of_stuck_runs(active),
        *_of_failures(repos, figures.made_at, thresholds.failures_in_a_row),
        *_of_pass_rate(figures, thresholds.fail_below),
        *_of_spend(figures.made_at, spent, ceiling),
    )


def _of_ledger(figures: Figures) -> Iterator[Alarm]:
    if figures.unreadable:
        yield Alarm("ledger", f"the ledger cannot be read: {figures.unreadable}")


def _of_cron(repos: tuple[RepoStatus, ...], now: datetime) -> Iterator[Alarm]:
    for repo in repos:
        if repo.is_late and repo.is_watched and repo.ticked_at and repo.interval_seconds:
            yield Alarm(
                f"cron {repo.forge}:{repo.repo}",
                f"{repo.repo}: cron looks dead: the last tick was {ago(repo.ticked_at, now)}, "
                f"and they came every {span(repo.interval_seconds)}",
            )


def _of_stuck_runs(active: tuple[ActiveRun, ...]) -> Iterator[Alarm]:
    for run in active:
        if run.is_stuck:
            yield Alarm(
                f"stuck {run.run_id}",
                f"{run.repo} #{run.issue}: stuck: {run.phase} on {run.host or 'an unknown host'} "
                f"since {span(run.seconds)}, past its limit (run {run.run_id})",
            )


def _of_failures(repos: tuple[RepoStatus, ...], now: datetime, limit: int) -> Iterator[Alarm]:
    """A repository that nothing ran in for a week is left in peace."""
    for repo in repos:
        if repo.failures_in_a_row >= limit and repo.last and now - repo.last[0].finished_at < _STALE:
            detail = getattr(repo.last[0], "outcome", "")
            yield Alarm(
                f"failures {repo.repo}",
                f"{repo.repo}: {repo.failures_in_a_row} failures in a row"
                + (f", the last: {detail}" if detail else ""),
            )


def _of_pass_rate(figures: Figures, below: float | None) -> Iterator[Alarm]:
    if below is None or not figures.windows:
        return
    window = figures.windows[-1 if figures.since else 1]
    rate = window.total.pass_rate
    if rate is not None and rate * 100 < below:
        judged = window.total.passed + window.total.failed
        yield Alarm(
            "pass rate",
            f"pass rate {percent(rate)} ({window.total.passed} of {judged}, {window.name}), below {below:g}%",
        )


def _of_spend(now: datetime, spent: float | None, ceiling: float | None) -> Iterator[Alarm]:
    if spent is not None and ceiling and spent > CEILING_SHARE * ceiling:
        yield Alarm(
            f"spend {now:%Y-%m-%d}",
            f"spent {dollars(spent)} today, {percent(spent / ceiling)} of the ceiling of {dollars(ceiling)}",
        )
