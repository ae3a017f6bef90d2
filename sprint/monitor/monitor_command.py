"""`sprint monitor`: one report, or one every few seconds."""

from __future__ import annotations

import logging
import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sprint import standing_alarms
from sprint.clean_text import safe_line
from sprint.config import Config
from sprint.errors import ConfigError, SprintError
from sprint.monitor import pull_refresh
from sprint.monitor.alarms import Thresholds, lasting
from sprint.monitor.figures import Report
from sprint.monitor.gather import Scope, gather
from sprint.monitor.units import span
from sprint.surroundings import Surroundings
from sprint.terminal_text import clear

_LENGTH = re.compile(r"([0-9]{1,6})(m|h|d|w)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What was asked for. `since`: `7d`, `24h`, `90m`, `2w` or an ISO date or time (UTC unless it says).

    `watch` in seconds. `fail_below` in percent; it and `failures_in_a_row` None: as configured.
    """

    repos: tuple[str, ...] = ()
    since: str = ""
    as_json: bool = False
    quiet: bool = False
    refresh: bool = False
    watch: float | None = None
    prometheus: Path | None = None
    html: Path | None = None
    share: Path | None = None
    fail_below: float | None = None
    failures_in_a_row: int | None = None


def run(config: Config, options: Options, around: Surroundings) -> int:
    """Report; 1 where there is an alarm, else 0. With `watch` until it is interrupted, then 0."""
    if options.watch is None:
        return _once(config, options, around)
    pause = threading.Event()
    try:
        while True:
            _once(config, options, around)
            pause.wait(options.watch)
    except KeyboardInterrupt:
        return 0


def _once(config: Config, options: Options, around: Surroundings) -> int:
    now = datetime.now(UTC)
    scope = Scope(
        since=since_of(options.since, now),
        repos=frozenset(name.rpartition(":")[2] for name in options.repos),
    )
    if options.refresh:
        _refresh(config, around, now)
    needs_servers = not options.quiet or any((options.prometheus, options.html, options.share))
    report = gather(
        config, around, now, scope=scope, thresholds=_thresholds(config, options), ask=needs_servers
    )
    for name in scope.repos - {status.repo for status in report.repos}:
        _log.warning(
            "--repo %s: not configured, and nothing of it is in %s; check the name", name, report.results
        )
    is_whole = scope == Scope()  # of a part one cannot tell which alarms are over
    _write_files(report, config, options, scope)
    if options.quiet and not options.as_json:
        is_news = is_whole and not around.out.isatty()
        told = _news(report) if is_news else [alarm.text for alarm in report.alarms]
        around.out.writelines(f"{safe_line(text, 500)}\n" for text in told)
    else:
        _print(report, options, around)
    around.out.flush()
    if is_whole:
        _notify(config, report, around)
    return 1 if report.alarms else 0


def since_of(text: str, now: datetime) -> datetime | None:
    """The moment that --since means; None for "". Raises ConfigError."""
    if not text:
        return None
    try:
        if length := _LENGTH.fullmatch(text.strip()):
            return now - timedelta(**{_UNITS[length[2]]: int(length[1])})
        moment = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise ConfigError(
            f"--since {text!r}: write a length such as 7d or 24h, or a date such as 2026-11-01"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _thresholds(config: Config, options: Options) -> Thresholds:
    own = config.monitor
    return Thresholds(
        failures_in_a_row=options.failures_in_a_row or own.failures_in_a_row,
        fail_below=own.fail_below if options.fail_below is None else options.fail_below,
    )


def _refresh(config: Config, around: Surroundings, now: datetime) -> None:
    try:
        connecting = pull_refresh.connecting(config, around)
        pull_refresh.refresh(config.paths.results, config, connecting, now)
    except SprintError as error:
        _log.warning("what became of the pull requests is not known: %s", error)


def _write_files(report: Report, config: Config, options: Options, scope: Scope) -> None:
    if options.prometheus is not None:
        from sprint.monitor import prometheus

        prometheus.write(report, options.prometheus)
    if options.html is not None or options.share is not None:
        from sprint.monitor.html.written import write_report, write_share

        if options.html is not None:
            write_report(options.html, report, config.forges, scope)
        if options.share is not None:
            write_share(options.share, report, config.forges, scope)


def _print(report: Report, options: Options, around: Surroundings) -> None:
    out = around.out
    if options.as_json:
        from sprint.monitor import json_report

        out.write(json_report.dumps(report, indent=0 if options.watch else 2) + "\n")
        return
    from sprint.monitor import report as text

    if options.watch and out.isatty():
        clear(out)
    text.write(report, out, around.get("COLUMNS"))


def _news(report: Report) -> list[str]:
    """What cron is to mail: alarms that began or lasted another day, and those that are over."""
    texts = {alarm.key: alarm.text for alarm in report.alarms}
    found = standing_alarms.news(Path(report.results), texts, report.made_at, lasting=lasting(report))
    over = [
        f"over, after {span((report.made_at - alarm.since).total_seconds())}: {alarm.text}"
        for alarm in found.over
    ]
    return [*(text for key, text in texts.items() if key in found.due), *over]


def _notify(config: Config, report: Report, around: Surroundings) -> None:
    if config.notify.urls_env or config.notify.urls_file:
        from sprint.monitor.notify import notify

        notify(config, report, around.environ)
