"""What is to be started when: pure, over the configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sprint.config import Config, RepoConfig
from sprint.cron_times import DAY, minutes_of
from sprint.errors import ConfigError
from sprint.logs import CRON_LOG

MONITOR_MINUTES = 30
_LONGEST_NAMES = 250  # characters of a command, of which cron takes 1,000 with its PATH and paths

_UNSPEAKABLE = re.compile(r"[\x00-\x1f\x7f\\\ud800-\udfff]")


@dataclass(frozen=True)
class Entry:
    """A command that is started every `every` minutes, first `offset` minutes after midnight."""

    what: str  # OWNER/REPO, with FORGE: where that is needed, or several of one interval, or "monitor"
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
    path: str = ""  # the PATH that they get: agents and toolchains are where its owner's PATH leads


def plan(config: Config, program: Sequence[str], every: int | None, path: str = "") -> Plan:
    """The schedule of the configured repositories and the monitor, no two in one minute where that can be.

    `program` starts sprint, with `path` as the PATH. `every` is for repositories without a time of their own,
    10 by default. Raises ConfigError where a time cannot be kept, or where there is nothing to start.
    """
    source = config.source
    if source is None or not config.repos:
        raise ConfigError(
            "nothing to schedule: list repositories under repos: in a sprint.yaml; `sprint init` writes one"
        )
    log = config.paths.results / CRON_LOG
    start = (*program, "--config", str(source))
    for text in (*start, str(log), path, config.monitor.share):
        if _UNSPEAKABLE.search(text):
            raise ConfigError(
                f"{text!r}: cron cannot be told a path with a backslash or unprintable character"
            )
    wanted = list(_ticks(config, every))
    share = ("--share", config.monitor.share) if config.monitor.share else ()
    wanted.append(("monitor", ("monitor", "--quiet", *share), MONITOR_MINUTES))
    offsets = staggered([minutes for _, _, minutes in wanted])
    return Plan(
        source,
        log,
        tuple(
            Entry(what, (*start, *args), minutes, offset)
            for (what, args, minutes), offset in zip(wanted, offsets, strict=True)
        ),
        path,
    )


def _ticks(config: Config, every: int | None) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """What runs, its arguments and its minutes: repositories of one interval are one process together, which
    starts and reads the configuration once for all of them."""
    by_minutes: dict[int, list[str]] = {}
    for repo in config.repos:
        by_minutes.setdefault(minutes_of(repo.every or every, repo.name), []).append(_name(config, repo))
    for minutes, names in by_minutes.items():
        if len(names) == 1:
            yield names[0], ("run", names[0]), minutes
            continue
        groups = [["--all"]] if len(by_minutes) == 1 else _short_enough(names)
        for number, group in enumerate(groups):
            count = len(names) if len(by_minutes) == 1 else len(group)
            jobs = str(min(count, config.schedule.jobs))
            what = f"repositories every {minutes} minutes{f' ({number + 1})' if number else ''}"
            yield what, ("run", *group, "--jobs", jobs), minutes


def _short_enough(names: Sequence[str]) -> list[list[str]]:
    """In groups whose names fit into one command of cron's."""
    groups: list[list[str]] = [[]]
    for name in names:
        if sum(len(other) + 1 for other in (*groups[-1], name)) > _LONGEST_NAMES and groups[-1]:
            groups.append([])
        groups[-1].append(name)
    return groups


def _name(config: Config, repo: RepoConfig) -> str:
    same = [other for other in config.repos if other.name.lower() == repo.name.lower()]
    return repo.name if len(same) == 1 else f"{repo.forge}:{repo.name}"


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
            near = [distance[minute] for minute in range(offset, DAY, period)]
            return near.count(0), -min(near)

        offset = min(range(period), key=crowding)
        taken.update(range(offset, DAY, period))
        offsets.append(offset)
    return offsets


def _distances(taken: set[int]) -> list[int]:
    """For each minute of the day how far the nearest taken one is, also around midnight."""
    distance = [0 if minute in taken else DAY for minute in range(DAY)]
    for minute in (*range(DAY), *range(DAY)):
        distance[minute] = min(distance[minute], distance[minute - 1] + 1)
    for minute in (*reversed(range(DAY)), *reversed(range(DAY))):
        distance[minute] = min(distance[minute], distance[(minute + 1) % DAY] + 1)
    return distance
