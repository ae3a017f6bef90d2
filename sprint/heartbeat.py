"""One small file per repository that every tick rewrites: it tells an empty backlog from a dead cron."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from sprint import json_file
from sprint.errors import SprintError
from sprint.proc import hostname

KEPT_TICKS = 20
_FOLDER = "heartbeat"
# Two ticks closer than this are one to a schedule, for cron cannot start them so close: a person did.
_SAME_TICK = timedelta(seconds=50)
_GRACE = timedelta(minutes=2)

Moment = Annotated[datetime, msgspec.Meta(tz=True)]

_log = logging.getLogger(__name__)


class Heartbeat(msgspec.Struct, frozen=True):
    """A repository's last tick. `outcome`: what it said of itself, shortly; `ticks`: the newest is last.

    `failed_ticks` in a row have failed since `failing_since`, the last with `exit_code`.
    """

    forge: str
    repo: str
    ticked_at: Moment
    outcome: str = ""
    pid: int = 0
    host: str = ""
    ticks: tuple[Moment, ...] = ()
    exit_code: int = 0
    failed_ticks: int = 0
    failing_since: Moment | None = None

    @property
    def interval(self) -> timedelta | None:
        """The time from tick to tick, as the last ones have it (median); None before there are three."""
        gaps = self._gaps()
        return gaps[len(gaps) // 2] if len(gaps) > 1 else None

    def late_after(self, every: timedelta | None = None) -> datetime | None:
        """When the next tick must have come: twice the gap that four in five stay within, and two minutes.

        `every` is the configured gap, which counts until the ticks show one; None where there is neither.
        """
        gaps = self._gaps()
        gap = gaps[math.ceil(0.8 * len(gaps)) - 1] if len(gaps) > 1 else every
        return None if gap is None else self.ticked_at + 2 * gap + _GRACE

    def is_late(self, now: datetime, every: timedelta | None = None) -> bool:
        """Whether cron looks dead; False while the schedule is not known."""
        due = self.late_after(every)
        return due is not None and now > due

    def _gaps(self) -> list[timedelta]:
        times = sorted(self.ticks)
        gaps = (later - earlier for earlier, later in pairwise(times))
        return sorted(gap for gap in gaps if gap >= _SAME_TICK)


def beat(
    results: Path,
    forge: str,
    repo: str,
    outcome: str,
    *,
    exit_code: int | None = 0,
    now: datetime | None = None,
) -> None:
    """Note that a tick took place, and what came of it: "idle: REASON", "busy", a run's name or an error.

    `exit_code` other than 0: it failed; None: it tells nothing, for another tick was at work. A failure to
    note it is logged: no tick is lost for its heartbeat.
    """
    now = now or datetime.now(UTC)
    path = file_of(results / _FOLDER, forge, repo)
    before = json_file.read_if_sound(path, Heartbeat) or Heartbeat(forge, repo, now)
    new = replace(
        before if exit_code is None else _counted(before, exit_code, now),
        forge=forge,
        repo=repo,
        ticked_at=now,
        outcome=" ".join(outcome.encode("utf-8", "replace").decode().split())[:300],
        pid=os.getpid(),
        host=hostname(),
        ticks=(*before.ticks, now)[-KEPT_TICKS:],
    )
    try:
        json_file.write(path, new, durable=False)
    except SprintError as error:
        _log.warning("no heartbeat for %s: %s", repo, error)


def _counted(before: Heartbeat, exit_code: int, now: datetime) -> Heartbeat:
    if exit_code == 0:
        return replace(before, exit_code=0, failed_ticks=0, failing_since=None)
    return replace(
        before,
        exit_code=exit_code,
        failed_ticks=before.failed_ticks + 1,
        failing_since=before.failing_since or now,
    )


def of_all(beats: Sequence[Heartbeat]) -> Heartbeat:
    """One repository's heartbeats of several hosts, at least one, as if one host had made all ticks."""
    newest = max(beats, key=lambda beat: beat.ticked_at)
    ticks = sorted({tick for beat in beats for tick in beat.ticks})
    return replace(newest, ticks=tuple(ticks[-KEPT_TICKS:]))


def usual_interval(results: Path, forge: str, repo: str) -> timedelta | None:
    """The time from tick to tick of one repository, None before there are three."""
    found = json_file.read_if_sound(file_of(results / _FOLDER, forge, repo), Heartbeat)
    return found.interval if found else None


def last_tick(results: Path, forge: str, repo: str) -> datetime | None:
    """When the last tick of one repository on this host ended, None before there is one."""
    found = json_file.read_if_sound(file_of(results / _FOLDER, forge, repo), Heartbeat)
    return found.ticked_at if found else None


def read(results: Path) -> list[Heartbeat]:
    """Every repository's heartbeat, by forge and name; one that cannot be read is logged and left out."""
    paths = sorted((results / _FOLDER).glob("*/*/*.json"))
    found = (json_file.read_if_sound(path, Heartbeat) for path in paths)
    return [beat for beat in found if beat is not None]


def file_of(folder: Path, forge: str, repo: str) -> Path:
    """A repository's own file below a folder, whatever its name is made of."""
    owner, _, name = repo.partition("/")
    parts = [
        quote(part, safe="").replace(".", "%2E", 1 if part.startswith(".") else 0) for part in (forge, owner)
    ]
    return folder.joinpath(*(part or "%" for part in parts), f"{quote(name, safe='')}.json")
