"""results/backlog/: each repository's backlog as the last pick saw it, for whoever looks on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from sprint import heartbeat, json_file
from sprint.domain import Issue, Pick
from sprint.errors import SprintError
from sprint.heartbeat import Moment

_FOLDER = "backlog"
_MOST = 200  # issues passed over that are kept

_log = logging.getLogger(__name__)


class Entry(msgspec.Struct, frozen=True):
    """An issue; `reason`: why it was passed over, "" where it was not."""

    number: int
    title: str
    reason: str = ""


class SeenBacklog(msgspec.Struct, frozen=True):
    """`taken` or `why_none`; `ahead` are the next ones of the list, not looked at yet. `passed_over` is the
    beginning of those, `passed_count` how many they were.
    """

    forge: str
    repo: str
    at: Moment
    taken: Entry | None
    why_none: str
    ahead: tuple[Entry, ...]
    passed_over: tuple[Entry, ...]
    passed_count: int


def keep(results: Path, forge: str, repo: str, pick: Pick, ahead: Sequence[Issue]) -> None:
    """A failure to write it down is logged, and fails no tick."""
    seen = SeenBacklog(
        forge,
        repo,
        datetime.now(UTC),
        Entry(pick.issue.number, pick.issue.title) if pick.issue else None,
        pick.why_none,
        tuple(Entry(issue.number, issue.title) for issue in ahead),
        tuple(Entry(one.number, one.title, one.reason) for one in pick.passed_over[:_MOST]),
        len(pick.passed_over),
    )
    try:
        json_file.write(heartbeat.file_of(results / _FOLDER, forge, repo), seen, durable=False)
    except SprintError as error:
        _log.warning("the backlog of %s is not written down: %s", repo, error)


def read(results: Path) -> list[SeenBacklog]:
    """All repositories', by forge and name; one that cannot be read is logged and left out."""
    paths = sorted((results / _FOLDER).glob("*/*/*.json"))
    found = (json_file.read_if_sound(path, SeenBacklog) for path in paths)
    return [seen for seen in found if seen is not None]
