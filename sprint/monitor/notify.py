"""Sends alarms, and pull requests opened if wanted, through apprise: once each, whatever the schedule.

results/notified.json holds the alarms that were sent and last; one that comes back is sent again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec

from sprint import json_file
from sprint.clean_text import safe_line
from sprint.config import Config, NotifyConfig
from sprint.domain import LedgerRow, Purpose
from sprint.errors import ConfigError, how_to_install
from sprint.monitor.figures import Report

_SIZE_CAP = 1_000_000

_log = logging.getLogger(__name__)

Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class _Sent(msgspec.Struct, frozen=True, kw_only=True):
    alarms: dict[str, Moment] = {}
    pulls_until: Moment | None = None


def notify(config: Config, report: Report, environ: Mapping[str, str]) -> None:
    """Send what was not sent yet. What cannot be sent is logged, and tried again the next time.

    Raises ConfigError where the addresses cannot be had or apprise is not installed, SprintError where it
    cannot be noted what was sent: it would be sent every time.
    """
    urls = _urls(config.notify, environ)
    if not urls:
        return
    json_file.change(
        config.paths.results / "notified.json",
        _Sent,
        lambda sent: _sent(sent or _Sent(), report, config.notify, urls),
    )


def _sent(sent: _Sent, report: Report, config: NotifyConfig, urls: list[str]) -> _Sent:
    alarms = {alarm.key: sent.alarms.get(alarm.key) for alarm in report.alarms}
    fresh = [alarm for alarm in report.alarms if alarms[alarm.key] is None]
    if fresh and _send(urls, "sprint: alarm", [safe_line(alarm.text, 500) for alarm in fresh]):
        alarms |= {alarm.key: report.made_at for alarm in fresh}
    kept = {key: when for key, when in alarms.items() if when is not None}
    until = report.made_at  # those from before anybody wanted to hear of them are no news
    if config.pull_requests:
        until = sent.pulls_until or until
        pulls = [
            row
            for row in reversed(report.figures.latest)
            if isinstance(row, LedgerRow) and _is_opened(row) and until < row.finished_at <= report.made_at
        ]
        lines = [f"{row.repo} #{row.issue}: {safe_line(row.pr_url, 500)}" for row in pulls]
        if lines and _send(urls, "sprint: pull requests opened", lines):
            until = pulls[-1].finished_at
    return _Sent(alarms=kept, pulls_until=until)


def _send(urls: list[str], title: str, lines: list[str]) -> bool:
    try:
        import apprise
    except ImportError:
        raise ConfigError(f"notify: apprise is not installed: {how_to_install('notify')}") from None
    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it would log the addresses, which hold secrets
    sender = apprise.Apprise()
    added = [bool(sender.add(url)) for url in urls]
    if not all(added):
        place = added.index(False) + 1
        raise ConfigError(f"notify: address {place} of {len(urls)} is none that apprise knows; see its list")
    if sender.notify(title=title, body="\n".join(lines), body_format=apprise.NotifyFormat.TEXT):
        return True
    _log.warning("notify: not every address took the message; it is sent again the next time")
    return False


def _urls(config: NotifyConfig, environ: Mapping[str, str]) -> list[str]:
    if config.urls_env:
        text = environ.get(config.urls_env, "")
        if not text.strip():
            raise ConfigError(f"notify.urls_env: ${config.urls_env} is empty; set it where sprint runs")
    elif config.urls_file:
        try:
            with Path(config.urls_file).open("rb") as file:
                text = file.read(_SIZE_CAP).decode()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise ConfigError(f"notify.urls_file: cannot read {config.urls_file}: {reason}") from error
    else:
        return []
    return [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]


def _is_opened(row: LedgerRow) -> bool:
    """Whether the run opened a pull request: a follow-up has one that was there."""
    return bool(row.pr_url) and row.purpose == Purpose.ISSUE
