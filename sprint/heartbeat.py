"""One small file per repository that every tick rewrites: it tells an empty backlog from a dead cron."""

from __future__ import annotations

import logging
import math
import os
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import msgspec

from sprint import files
from sprint.errors import SprintError
from sprint.proc import hostname

KEPT_TICKS = 20
# Two ticks closer than this are one to a schedule, for cron cannot start them so close: a person did.
_SAME_TICK = timedelta(seconds=50)
_GRACE = timedelta(minutes=2)

Moment = Annotated[datetime, msgspec.Meta(tz=True)]

log = logging.getLogger(__name__)


class Heartbeat(msgspec.Struct, frozen=True):
    """A repository's last tick. `outcome`: what it said of itself, shortly; `ticks`: the newest is last."""

    forge: str
    repo: str
    ticked_at: Moment
    outcome: str = ""
    pid: int = 0
    host: str = ""
    ticks: tuple[Moment, ...] = ()

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


def beat(results: Path, forge: str, repo: str, outcome: str, *, now: datetime | None = None) -> None:
    """Note that a tick took place, and what came of it: "idle: REASON", "busy", a run's name or an error.

    A failure is logged: no tick is lost for its heartbeat.
    """
    now = now or datetime.now(UTC)
    path = _path(results, forge, repo)
    before = _load(path)
    new = Heartbeat(
        forge=forge,
        repo=repo,
        ticked_at=now,
        outcome=" ".join(outcome.encode("utf-8", "replace").decode().split())[:300],
        pid=os.getpid(),
        host=hostname(),
        ticks=((before.ticks if before else ()) + (now,))[-KEPT_TICKS:],
    )
    try:
        files.make_folder(path.parent)
        files.replace(path, msgspec.json.encode(new) + b"\n", durable=False)
    except SprintError as error:
        log.warning("no heartbeat for %s: %s", repo, error)


def usual_interval(results: Path, forge: str, repo: str) -> timedelta | None:
    """The time from tick to tick of one repository, None before there are three."""
    found = _load(_path(results, forge, repo))
    return found.interval if found else None


def read(results: Path) -> list[Heartbeat]:
    """Every repository's heartbeat, by forge and name; one that cannot be read is logged and left out."""
    found = (_load(path) for path in sorted((results / "heartbeat").glob("*/*/*.json")))
    return [beat for beat in found if beat is not None]


def _load(path: Path) -> Heartbeat | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Heartbeat)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("cannot read the heartbeat %s: %s", path, error)
        return None


def _path(results: Path, forge: str, repo: str) -> Path:
    owner, _, name = repo.partition("/")
    parts = [
        quote(part, safe="").replace(".", "%2E", 1 if part.startswith(".") else 0) for part in (forge, owner)
    ]
    return results.joinpath("heartbeat", *(part or "%" for part in parts), f"{quote(name, safe='')}.json")
