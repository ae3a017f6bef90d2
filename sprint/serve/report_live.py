"""The report for its page: gathered from files again when one of them has changed, once for all viewers."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from sprint import backlog_seen, heartbeat, logs
from sprint.backlog_seen import SeenBacklog
from sprint.config import Config
from sprint.domain import Run
from sprint.heartbeat import Heartbeat
from sprint.monitor import prometheus
from sprint.monitor.alarms import Thresholds
from sprint.monitor.figures import Report
from sprint.monitor.gather import gather
from sprint.monitor.html import page, report_page, runs_page
from sprint.serve import pull_list, sprite_list
from sprint.serve.feed import Look
from sprint.surroundings import Surroundings

RUNS = "/runs"
SECONDS = 2.0  # between two looks at what changed
_LEAST_SECONDS = 5.0  # between two reports, however much changes
_MOST_SECONDS = 60.0  # alarms come with time alone
_LOG_BYTES = 40_000
_LOG_LINES = 60
_IDLE_SHARE = 20  # a report takes at most 1/20 of one processor's time, however long the ledger is


@dataclass(frozen=True)
class Rendered:
    """One report: as a page, as metrics, and the page's stamp."""

    page: bytes
    metrics: bytes
    stamp: str


class ReportLooks:
    """The report as it is now, made by whoever asks first; from any thread."""

    def __init__(self, config: Config, around: Surroundings) -> None:
        self.made = 0  # how often
        self._config, self._around = config, around
        self._lock = threading.Lock()
        self._rendered: Rendered | None = None
        self._seen: tuple[object, ...] = ()
        self._made_at = self._took = 0.0

    def look(self) -> Look:
        return Look(state={"stamp": self.now().stamp})

    def now(self) -> Rendered:
        with self._lock:
            age = time.monotonic() - self._made_at
            least = max(_LEAST_SECONDS, _IDLE_SHARE * self._took)
            if self._rendered is None or age > max(_MOST_SECONDS, least):
                return self._make(tuple(_fingerprint(self._config.paths.results)))
            if age > least:
                seen = tuple(_fingerprint(self._config.paths.results))
                if seen != self._seen:
                    return self._make(seen)
            return self._rendered

    def _make(self, seen: tuple[object, ...]) -> Rendered:
        monitor = self._config.monitor
        thresholds = Thresholds(monitor.failures_in_a_row, monitor.fail_below)
        now, began = datetime.now(UTC), time.monotonic()
        report = gather(self._config, self._around, now, thresholds=thresholds, ask=False)
        stamp = hashlib.sha256(repr((seen, report.alarms, now)).encode()).hexdigest()[:16]
        self._rendered = Rendered(_render(self._config, report, stamp), prometheus.exposition(report), stamp)
        self._seen, self._made_at = seen, time.monotonic()
        self._took = self._made_at - began
        self.made += 1
        return self._rendered


class RunsLooks:
    """The list of all runs, made anew when the ledger has grown; from any thread."""

    def __init__(self, config: Config, around: Surroundings) -> None:
        self._config, self._around = config, around
        self._lock = threading.Lock()
        self._page = b""
        self._seen: tuple[object, ...] = ()

    def now(self) -> bytes:
        with self._lock:
            seen = tuple(_fingerprint(self._config.paths.results, ("*.csv", "pull_states.json")))
            if not self._page or seen != self._seen:
                report = gather(self._config, self._around, datetime.now(UTC), ask=False)
                values = runs_page.values(report, self._config.forges, _page_of, "/")
                self._page = page.render("runs", is_served=True, has_script=True, **values)
                self._seen = seen
            return self._page


def _page_of(run: Run) -> str:
    return f"{RUNS}/{quote(run.id)}"


_OF_A_REPORT = (
    "*.csv",
    "*.json",
    "*.log",
    "active/*",
    "heartbeat/*/*/*.json",
    "backlog/*/*/*.json",
    "spend/*",
    "health/*",
)


def _fingerprint(results: Path, patterns: tuple[str, ...] = _OF_A_REPORT) -> Iterator[object]:
    """Which files there are and when each was written, of those that a report is made from."""
    paths = [path for pattern in patterns for path in results.glob(pattern)]
    paths += [results / "runs" / path.name / "run.json" for path in results.glob("active/*")]
    for path in sorted(paths):
        with suppress(OSError):
            found = path.stat()
            yield str(path), found.st_mtime_ns, found.st_size


def _render(config: Config, report: Report, stamp: str) -> bytes:
    values = report_page.values(report, config.forges, _page_of, RUNS)
    results = config.paths.results
    beats = sorted(heartbeat.read(results), key=lambda beat: beat.ticked_at, reverse=True)
    return page.render(
        "live_report",
        is_served=True,
        stamp=stamp,
        hosts=_by_host(beats),
        backlogs=_backlogs(config),
        sprites=sprite_list.listed(config),
        listed_pulls=pull_list.listed(config, report),
        log=_end_of_log(results),
        **values,
    )


def _backlogs(config: Config) -> list[tuple[SeenBacklog, str]]:
    """Each repository's, with the address of its issues."""
    found = []
    for seen in backlog_seen.read(config.paths.results):
        forge = config.forges.get(seen.forge)
        found.append((seen, page.web_address(f"{forge.site}/{seen.repo}/issues") if forge else ""))
    return found


def _by_host(beats: list[Heartbeat]) -> dict[str, list[Heartbeat]]:
    found: dict[str, list[Heartbeat]] = {}
    for beat in beats:
        found.setdefault(beat.host or "unknown", []).append(beat)
    return found


def _end_of_log(results: Path) -> str:
    """What the last ticks said: which issue each took, and why it passed others over."""
    try:
        with (results / logs.CRON_LOG).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - _LOG_BYTES, 0))
            data = file.read(_LOG_BYTES)
    except OSError:
        return ""
    return "\n".join(
        page.printed(line) for line in data.decode("utf-8", "replace").splitlines()[-_LOG_LINES:]
    )
