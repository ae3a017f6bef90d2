"""Which alarms last, and when each was told last: results/alarms.json, for ticks and the monitor together.

cron mails whatever either of them prints. So each alarm is told when it begins, once a day while it lasts,
and when it is over; between them they tell it once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sprint import json_file
from sprint.errors import SprintError

AGAIN_AFTER = timedelta(hours=23, minutes=50)  # a day, less what one start of cron's differs from another

FLEET = "fleet"  # the alarm that the fleet's database does not answer

Moment = Annotated[datetime, msgspec.Meta(tz=True)]

_log = logging.getLogger(__name__)


class StandingAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """`text` as it was said last; `told_at`: when a person was told last."""

    text: str
    since: Moment
    told_at: Moment


_Alarms = dict[str, StandingAlarm]  # by their keys


class News(Struct, frozen=True):
    """What a person is to be told now: keys of alarms that began or lasted another day, and those over."""

    due: frozenset[str] = frozenset()
    over: tuple[StandingAlarm, ...] = ()


def ticks_key(forge: str, repo: str) -> str:
    """The alarm that ticks fail in a repository."""
    return f"ticks {forge}:{repo}"


def model_key(name: str) -> str:
    """The alarm that a model refuses."""
    return f"model {name}"


def alarm_due(results: Path, key: str, text: str, now: datetime) -> bool:
    """Note that an alarm lasts; True where a person is to be told: it begins, or was told a day ago.

    `key` stays the same while it lasts. Whether it is over is for the monitor to see, and to say.
    """
    due = False

    def noted(alarms: _Alarms | None) -> _Alarms:
        nonlocal due
        alarm, due = _noted((alarms or {}).get(key), text, now)
        return {**(alarms or {}), key: alarm}

    return due if _change(results, noted) else True


def news(results: Path, alarms: Mapping[str, str], now: datetime, *, lasting: Collection[str] = ()) -> News:
    """Note which alarms there are, texts by keys, and return what of that is to be told.

    Those that are neither there nor in `lasting`, which a tick has told of, are over and forgotten.
    """
    if not alarms and not _path(results).exists():
        return News()
    due: set[str] = set()
    over: list[StandingAlarm] = []

    def noted(before: _Alarms | None) -> _Alarms:
        due.clear()
        now_there: _Alarms = {}
        for key, text in alarms.items():
            now_there[key], is_due = _noted((before or {}).get(key), text, now)
            due.update({key} if is_due else ())
        gone = {key: alarm for key, alarm in (before or {}).items() if key not in alarms}
        over[:] = [alarm for key, alarm in gone.items() if key not in lasting]
        return {**now_there, **{key: alarm for key, alarm in gone.items() if key in lasting}}

    if _change(results, noted):
        return News(frozenset(due), tuple(over))
    return News(frozenset(alarms))


def _noted(known: StandingAlarm | None, text: str, now: datetime) -> tuple[StandingAlarm, bool]:
    if known is None:
        return StandingAlarm(text=text, since=now, told_at=now), True
    # A clock that was set back must not keep an alarm quiet.
    is_due = not known.told_at <= now < known.told_at + AGAIN_AFTER
    return replace(known, text=text, told_at=now if is_due else known.told_at), is_due


def _change(results: Path, changed: Callable[[_Alarms | None], _Alarms]) -> bool:
    """Whether that could be noted: where not, it is better to tell twice than never."""
    try:
        json_file.change(_path(results), _Alarms, lambda alarms: changed(alarms) or None)
    except SprintError as error:
        _log.warning("it is not noted which alarms were told: %s", error)
        return False
    return True


def _path(results: Path) -> Path:
    return results / "alarms.json"
