"""What is to be started when: pure, over the configuration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sprint.config import Config, RepoConfig
from sprint.errors import ConfigError
from sprint.logs import CRON_LOG

DEFAULT_MINUTES = 10
MONITOR_MINUTES = 30

_HOUR = 60
_DAY = 24 * _HOUR
# Those that cron and systemd can keep from one hour, or day, to the next.
POSSIBLE_MINUTES = (
    *(minutes for minutes in range(1, _HOUR + 1) if _HOUR % minutes == 0),
    *(minutes for minutes in range(2 * _HOUR, _DAY + 1, _HOUR) if _DAY % minutes == 0),
)
_UNSPEAKABLE = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")


@dataclass(frozen=True)
class Entry:
    """A command that is started every `every` minutes, first `offset` minutes after midnight."""

    what: str  # OWNER/REPO, with FORGE: where that is needed, or "monitor"
    argv: tuple[str, ...]
    every: int
    offset: int

    @property
    def is_monitor(self) -> bool:
        return self.what == "monitor"


@dataclass(frozen=True)
class Plan:
    """All that is to be started for one configuration file, and where what it prints goes."""

    source: Path
    log: Path
    entries: tuple[Entry, ...]


def plan(config: Config, program: Sequence[str], every: int | None) -> Plan:
    """The schedule of the configured repositories and the monitor, no two in one minute where that can be.

    `program` starts sprint. `every` is for repositories without a time of their own, 10 by default.
    Raises ConfigError where a time cannot be kept, or where there is nothing to start.
    """
    source = config.source
    if source is None or not config.repos:
        raise ConfigError(
            "nothing to schedule: list repositories under repos: in a sprint.yaml; `sprint init` writes one"
        )
    log = config.paths.results / CRON_LOG
    start = (*program, "--config", str(source))
    for text in (*start, str(log)):
        if _UNSPEAKABLE.search(text):
            raise ConfigError(
                f"{text!r}: cron cannot be told a path with a backslash or unprintable character"
            )
    wanted = [
        (_name(config, repo), ("run", _name(config, repo)), _minutes(repo.every or every, repo.name))
        for repo in config.repos
    ]
    wanted.append(("monitor", ("monitor", "--quiet"), MONITOR_MINUTES))
    offsets = staggered([minutes for _, _, minutes in wanted])
    return Plan(
        source,
        log,
        tuple(
            Entry(what, (*start, *args), minutes, offset)
            for (what, args, minutes), offset in zip(wanted, offsets, strict=True)
        ),
    )


def _name(config: Config, repo: RepoConfig) -> str:
    same = [other for other in config.repos if other.name.lower() == repo.name.lower()]
    return repo.name if len(same) == 1 else f"{repo.forge}:{repo.name}"


def _minutes(minutes: int | None, repo: str) -> int:
    if minutes is None:
        return DEFAULT_MINUTES
    if minutes not in POSSIBLE_MINUTES:
        below = max((possible for possible in POSSIBLE_MINUTES if possible < minutes), default=1)
        above = min((possible for possible in POSSIBLE_MINUTES if possible > minutes), default=_DAY)
        raise ConfigError(
            f"{repo}: every {minutes} minutes cannot be kept from hour to hour; take {below} or {above}"
        )
    return minutes


def staggered(periods: Sequence[int]) -> list[int]:
    """For each period in minutes its first minute: as far from all earlier ones as it can be.

    A period's place depends on those before it only: one more at the end moves none.
    """
    taken: set[int] = set()
    offsets = []
    for period in periods:
        distance = _distances(taken)

        def crowding(
            offset: int, period: int = period, distance: Sequence[int] = distance
        ) -> tuple[int, int]:
            near = [distance[minute] for minute in range(offset, _DAY, period)]
            return near.count(0), -min(near)

        offset = min(range(period), key=crowding)
        taken.update(range(offset, _DAY, period))
        offsets.append(offset)
    return offsets


def _distances(taken: set[int]) -> list[int]:
    """For each minute of the day how far the nearest taken one is, also around midnight."""
    distance = [0 if minute in taken else _DAY for minute in range(_DAY)]
    for minute in (*range(_DAY), *range(_DAY)):
        distance[minute] = min(distance[minute], distance[minute - 1] + 1)
    for minute in (*reversed(range(_DAY)), *reversed(range(_DAY))):
        distance[minute] = min(distance[minute], distance[(minute + 1) % _DAY] + 1)
    return distance
