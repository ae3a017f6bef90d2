"""Puts a report together from ledger, run folders, heartbeats, pull requests and the servers' answers."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sprint import health, heartbeat, sharing, spend, workspace
from sprint.config import Config
from sprint.domain import LedgerRow, Run, replace
from sprint.errors import SprintError
from sprint.health import Health
from sprint.heartbeat import Heartbeat
from sprint.monitor import pull_states
from sprint.monitor.alarms import Thresholds, alarms
from sprint.monitor.figures import (
    ActiveRun,
    Figures,
    Report,
    RepoRuns,
    RepoStatus,
    Tally,
    Workspaces,
    tally_of,
    verdict_of,
)
from sprint.monitor.live import Asked, Live
from sprint.monitor.tally import figures
from sprint.runs import RunStore
from sprint.surroundings import Surroundings

LIMIT_GRACE = timedelta(minutes=5)  # a run past its limit is given the time to say so
_WATCHED_FOR = timedelta(days=7)
_SHOWN_FOR = timedelta(days=30)  # after its last tick and its last run, where nobody configured it

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scope:
    """What the report is about; `repos` are OWNER/REPO, none means all."""

    since: datetime | None = None
    repos: frozenset[str] = frozenset()


def gather(
    config: Config,
    around: Surroundings,
    now: datetime,
    *,
    scope: Scope | None = None,
    thresholds: Thresholds | None = None,
    ask: bool = True,
) -> Report:
    """The report as things are now; `ask` False leaves the servers in peace. Raises for nothing it reads."""
    scope, thresholds = scope or Scope(), thresholds or Thresholds()
    together = sharing.of(config, around).together()
    results = together.results
    beats = [beat for beat in heartbeat.read(results) if _in(beat.repo, scope)]
    known = {(repo.forge, repo.name) for repo in config.repos if _in(repo.name, scope)}
    known |= {(beat.forge, beat.repo) for beat in beats if scope.repos or now - beat.ticked_at < _SHOWN_FOR}
    asked = Asked(config, around, known) if ask else None
    counted = figures(results, now, since=scope.since, repos=scope.repos)
    known |= _only_in_ledger(counted, known, scope)
    runs = [run for run in _active_runs(results) if _in(run.repo, scope)]
    spent = _spent(results)
    live = asked.live() if asked else Live({}, ())
    repos = _repos(config, known, beats, counted, live, now)
    report = Report(
        made_at=now,
        results=str(config.paths.results),
        figures=counted,
        active=tuple(_active(run, now) for run in runs),
        repos=repos,
        pulls=pull_states.summary(pull_states.load(results), counted, repos=scope.repos),
        services=live.services,
        spent_today_usd=spent,
        ceiling_usd=ceiling(config),
        health=_health(config, results, scope),
        workspaces=_workspaces(config.paths.workspaces, runs),
        hosts=together.hosts,
        fleet_problem=together.problem,
    )
    return replace(report, alarms=alarms(report, thresholds))


def ceiling(config: Config) -> float | None:
    """The dollars per day that the first repository stops at; None where none has a ceiling."""
    ceilings = [repo.limits.usd_per_day for repo in config.repos or (config.defaults,)]
    return min((limit for limit in ceilings if limit is not None), default=None)


def _in(repo: str, scope: Scope) -> bool:
    return not scope.repos or repo in scope.repos


def _spent(results: Path) -> float | None:
    try:
        return spend.spent_today(results)
    except SprintError as error:
        _log.warning("%s", error)
        return None


def _active_runs(results: Path) -> list[Run]:
    try:
        return RunStore(results).active()
    except SprintError as error:
        _log.warning("%s", error)
        return []


def _health(config: Config, results: Path, scope: Scope) -> Health:
    known = health.read(results)
    models = health.in_use(config, known.models)
    return Health(models, tuple(one for one in known.repositories if _in(one.repo, scope)))


def _workspaces(folder: Path, runs: list[Run]) -> Workspaces:
    found = [path.name for path in workspace.newest_first(folder)]
    used = {Path(run.workspace).name for run in runs if run.workspace}
    return Workspaces(str(folder), tuple(found), tuple(name for name in found if name in used))


def _active(run: Run, now: datetime) -> ActiveRun:
    return ActiveRun(
        run_id=run.id,
        forge=run.forge,
        repo=run.repo,
        issue=run.issue,
        title=run.title,
        issue_url=run.issue_url,
        phase=run.phase.value if run.paused_since is None else "paused",
        host=run.host,
        worker=run.worker,
        started_at=run.started_at,
        deadline=run.deadline,
        seconds=max((now - run.started_at).total_seconds(), 0.0),
        environment=run.environment.says if run.environment else "",
        is_stuck=run.paused_since is None and now > run.deadline + LIMIT_GRACE,
        purpose=run.purpose.value,
        round=run.round,
        paused_since=run.paused_since,
        paused_why=run.paused_why,
        pauses=run.pauses,
    )


def _repos(
    config: Config,
    known: set[tuple[str, str]],
    beats: list[Heartbeat],
    counted: Figures,
    live: Live,
    now: datetime,
) -> tuple[RepoStatus, ...]:
    runs = {repo.repo: repo for repo in counted.repos}
    ticks = {(beat.forge, beat.repo): beat for beat in beats}
    configured = {(repo.forge, repo.name): repo.every for repo in config.repos}
    store = RunStore(config.paths.results)
    return tuple(
        _repo(
            at,
            runs.get(at[1], RepoRuns(at[1], (), 0)),
            ticks.get(at),
            live,
            store,
            now,
            is_configured=at in configured,
            every=timedelta(minutes=minutes) if (minutes := configured.get(at)) else None,
        )
        for at in sorted(known, key=lambda at: (at[1], at[0]))
    )


def _only_in_ledger(counted: Figures, known: set[tuple[str, str]], scope: Scope) -> set[tuple[str, str]]:
    named = {name for _, name in known}
    return {
        ("", runs.repo)
        for runs in counted.repos
        if runs.repo not in named
        and (scope.repos or (runs.last and counted.made_at - runs.last[0].finished_at < _SHOWN_FOR))
    }


def _repo(
    at: tuple[str, str],
    runs: RepoRuns,
    beat: Heartbeat | None,
    live: Live,
    store: RunStore,
    now: datetime,
    *,
    is_configured: bool,
    every: timedelta | None,
) -> RepoStatus:
    interval = (beat.interval or every) if beat else None
    issues = live.open_issues.get(at, "")
    latest = None
    if runs.last and isinstance(runs.last[0], LedgerRow):
        with suppress(SprintError):  # only the newest runs still have a folder
            latest = store.load(runs.last[0].run_id)
    return RepoStatus(
        forge=at[0],
        repo=at[1],
        last_six=sum((tally_of(verdict_of(row), 1) for row in runs.last), Tally()),
        last=runs.last,
        latest=runs.last[0] if runs.last else None,
        latest_title=latest.title if latest else "",
        failures_in_a_row=runs.failures_in_a_row,
        open_issues=issues if isinstance(issues, int) else None,
        open_issues_note=issues if isinstance(issues, str) else "",
        ticked_at=beat.ticked_at if beat else None,
        tick_outcome=beat.outcome if beat else "",
        interval_s=interval.total_seconds() if interval else None,
        is_late=beat is not None and beat.is_late(now, every),
        is_watched=is_configured or (beat is not None and now - beat.ticked_at < _WATCHED_FOR),
        exit_code=beat.exit_code if beat else 0,
        failed_ticks=beat.failed_ticks if beat else 0,
        failing_since=beat.failing_since if beat else None,
        latest_id=latest.id if latest else "",
        latest_pauses=latest.pauses if latest else 0,
    )
