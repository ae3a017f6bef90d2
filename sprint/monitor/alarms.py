"""What a person should be told of: pure, over a report's parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from sprint import standing_alarms
from sprint.clean_text import safe_line
from sprint.errors import ModelError, ModelTrouble
from sprint.health import ModelHealth
from sprint.monitor.figures import ActiveRun, Alarm, Report
from sprint.monitor.units import ago, dollars, percent, span

CEILING_SHARE = 0.8
MANY_WORKSPACES = 8
MOST_CUT_SHORT = 5  # as in settle.pauses: then the run is given up
_NAMED = 3  # workspaces
_STALE = timedelta(days=7)
UNSEEN_AFTER = timedelta(minutes=5)  # a worker tells every few seconds that it is there
_LONG_PAUSE = timedelta(hours=1)
_LONG_BUSY = timedelta(hours=1)
_REFUSAL_IS_KNOWN_FOR = timedelta(days=1)  # nobody asks a model while there is nothing to work on
_BLOCK_IS_TRIED_WITHIN = timedelta(hours=1)  # by the next tick after it


@dataclass(frozen=True)
class Thresholds:
    """`fail_below` in percent, of the last 7 days (with --since: since then); None switches it off."""

    failures_in_a_row: int = 5
    fail_below: float | None = None


def alarms(report: Report, thresholds: Thresholds) -> tuple[Alarm, ...]:
    """The alarms there are, the most pressing first; `report` is still without them."""
    return (
        *_of_ledger(report),
        *_of_fleet(report),
        *_of_cron(report),
        *_of_models(report),
        *_of_ticks(report, thresholds.failures_in_a_row),
        *_of_stopped_claims(report),
        *_of_stuck_runs(report),
        *_of_paused_runs(report),
        *_of_short_ticks(report),
        *_of_failures(report, thresholds.failures_in_a_row),
        *_of_pass_rate(report, thresholds.fail_below),
        *_of_spend(report),
        *_of_workspaces(report),
    )


def lasting(report: Report) -> frozenset[str]:
    """Keys of what ticks have told of and what is not over, whether or not it is an alarm by now."""
    return frozenset(
        {
            *(standing_alarms.ticks_key(repo.forge, repo.repo) for repo in report.repos if repo.failed_ticks),
            *(standing_alarms.model_key(model.name) for model in _refusing(report)),
        }
    )


def _of_ledger(report: Report) -> Iterator[Alarm]:
    if report.figures.unreadable:
        yield Alarm("ledger", f"the ledger cannot be read: {report.figures.unreadable}")


def _of_fleet(report: Report) -> Iterator[Alarm]:
    if report.fleet_problem:
        yield Alarm(standing_alarms.FLEET, safe_line(report.fleet_problem, 400))
    for host in report.hosts:
        unseen = report.made_at - host.seen_at
        if host.has_worker and not host.is_drained and unseen > UNSEEN_AFTER:
            yield Alarm(
                f"host {host.id}",
                f"host {safe_line(host.name, 60)} ({host.id}): not seen for {span(unseen.total_seconds())}: "
                f"its worker or the machine is down; `sprint fleet drain {host.id}` if it stays away",
            )
    there = [host for host in report.hosts if report.made_at - host.seen_at <= UNSEEN_AFTER]
    if len({host.version for host in there}) > 1:
        named = ", ".join(f"{safe_line(host.name, 60)} {safe_line(host.version, 20)}" for host in there)
        yield Alarm(
            "versions", f"the hosts have different versions of sprint ({named}): install one everywhere"
        )


def _of_cron(report: Report) -> Iterator[Alarm]:
    why = "no host ticks for it" if report.hosts else "cron looks dead"
    for repo in report.repos:
        if repo.is_late and repo.is_watched and repo.ticked_at and repo.interval_s:
            yield Alarm(
                f"cron {repo.forge}:{repo.repo}",
                f"{repo.repo}: {why}: the last tick was {ago(repo.ticked_at, report.made_at)}, "
                f"and they came every {span(repo.interval_s)}",
            )


def _of_models(report: Report) -> Iterator[Alarm]:
    for model in _refusing(report):
        lasts = report.made_at - (model.since or model.asked_at)
        if model.kind is not ModelTrouble.BUSY or lasts >= _LONG_BUSY:
            yield Alarm(
                standing_alarms.model_key(model.name),
                f"the model {safe_line(model.name, 80)} has refused for {span(lasts.total_seconds())}: "
                f"{safe_line(model.reason, 300)}",
            )


def _refusing(report: Report) -> Iterator[ModelHealth]:
    for model in report.health.models:
        if model.kind is not None and report.made_at - model.asked_at < _REFUSAL_IS_KNOWN_FOR:
            yield model


def _of_ticks(report: Report, limit: int) -> Iterator[Alarm]:
    """Not where the model is why: that is an alarm of its own, and one for all repositories."""
    models = any(_refusing(report))
    for repo in report.repos:
        since = repo.failing_since
        if since is None or not repo.is_watched or (models and repo.exit_code == ModelError.exit_code):
            continue
        lasts = report.made_at - since
        if repo.failed_ticks >= limit or (repo.failed_ticks > 1 and lasts >= timedelta(days=1)):
            yield Alarm(
                standing_alarms.ticks_key(repo.forge, repo.repo),
                f"{repo.repo}: {repo.failed_ticks} ticks failed in a row, for {span(lasts.total_seconds())}, "
                f"the last with exit code {repo.exit_code}: {safe_line(repo.tick_outcome, 300)}",
            )


def _of_stopped_claims(report: Report) -> Iterator[Alarm]:
    for known in report.health.repositories:
        if known.until is not None and report.made_at < known.until + _BLOCK_IS_TRIED_WITHIN:
            yield Alarm(
                f"claims {known.forge}:{known.repo}",
                f"{known.repo}: no issue is begun: {known.kind.words}: {safe_line(known.reason, 300)}; "
                f"tried again after {known.until:%Y-%m-%d %H:%M} UTC, or by `sprint run {known.repo}`",
            )


def _of_stuck_runs(report: Report) -> Iterator[Alarm]:
    for run in report.active:
        if run.is_stuck:
            yield Alarm(
                f"stuck {run.run_id}",
                f"{_what(run)}: stuck: {run.phase} on {run.host or 'an unknown host'} "
                f"since {span(run.seconds)}, past its limit (run {run.run_id})",
            )


def _of_paused_runs(report: Report) -> Iterator[Alarm]:
    for run in report.active:
        lasts = report.made_at - (run.paused_since or report.made_at)
        if lasts >= _LONG_PAUSE:
            yield Alarm(
                f"paused {run.run_id}",
                f"{_what(run)}: paused for {span(lasts.total_seconds())}: {safe_line(run.paused_why, 300)} "
                f"(run {run.run_id})",
            )


def _of_short_ticks(report: Report) -> Iterator[Alarm]:
    """Until a later run of the repository has ended otherwise."""
    too_short = [(f"{run.forge}:{run.repo}", _what(run), run.run_id, run.pauses) for run in report.active]
    too_short += [
        (f"{repo.forge}:{repo.repo}", f"{repo.repo} #{repo.latest.issue}", repo.latest_id, repo.latest_pauses)
        for repo in report.repos
        if repo.latest is not None and report.made_at - repo.latest.finished_at < _STALE
    ]
    for key, what, run_id, pauses in too_short:
        if pauses >= MOST_CUT_SHORT:
            yield Alarm(
                f"short ticks {key}",
                f"{what}: paused {pauses} times without progress: the tick is given less time than the step "
                f"needs; let it run longer (run {run_id})",
            )


def _what(run: ActiveRun) -> str:
    return f"{run.repo} #{run.issue}" if run.issue is not None else f"{run.repo} {run.purpose}"


def _of_failures(report: Report, limit: int) -> Iterator[Alarm]:
    """A repository that nothing ran in for a week is left in peace."""
    for repo in report.repos:
        latest = repo.latest
        if latest and repo.failures_in_a_row >= limit and report.made_at - latest.finished_at < _STALE:
            outcome = getattr(latest, "outcome", "")
            yield Alarm(
                f"failures {repo.repo}",
                f"{repo.repo}: {repo.failures_in_a_row} failures in a row"
                + (f", the last: {outcome}" if outcome else ""),
            )


def _of_pass_rate(report: Report, below: float | None) -> Iterator[Alarm]:
    windows = report.figures.windows
    if below is None or not windows:
        return
    window = windows[-1 if report.figures.since else 1]
    rate = window.total.pass_rate
    if rate is not None and rate * 100 < below:
        yield Alarm(
            "pass rate",
            f"pass rate {percent(rate)} ({window.total.passed} of {window.total.judged}, {window.name}), "
            f"below {below:g}%",
        )


def _of_spend(report: Report) -> Iterator[Alarm]:
    spent, ceiling = report.spent_today_usd, report.ceiling_usd
    if spent is not None and ceiling and spent > CEILING_SHARE * ceiling:
        yield Alarm(
            f"spend {report.made_at:%Y-%m-%d}",
            f"spent {dollars(spent)} today, {percent(spent / ceiling)} of the ceiling of {dollars(ceiling)}",
        )


def _of_workspaces(report: Report) -> Iterator[Alarm]:
    used = report.workspaces.in_use
    if len(used) > MANY_WORKSPACES:
        yield Alarm(
            "workspaces",
            f"{len(used)} workspaces are in use in {report.workspaces.folder}: are some of these runs stuck? "
            f"The newest: {', '.join(used[:_NAMED])}",
        )
