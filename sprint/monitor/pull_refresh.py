"""Asks the forges what became of the pull requests.

A pull request is asked for while it is open and for two weeks after it was closed (it may be opened again);
the commits that came after a merge are looked through for a revert for thirty days.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from sprint import credentials, files
from sprint.config import Config
from sprint.domain import PullRequest
from sprint.errors import Busy, ForgeError, SprintError
from sprint.forge import Forge, connect
from sprint.lock import lock
from sprint.monitor import pull_states, reverts
from sprint.monitor.pull_states import PullState, Stored
from sprint.surroundings import Surroundings

DUE_AFTER = timedelta(hours=1)
_ASK_CLOSED_FOR = timedelta(days=14)
_WATCH_FOR = timedelta(days=30)

_log = logging.getLogger(__name__)


def refresh_due(results: Path, now: datetime) -> bool:
    """Whether an hour went by since the forges were asked, with or without success."""
    tried = pull_states.load(results).tried_at
    return tried is None or not now - DUE_AFTER < tried <= now


def refresh_if_due(config: Config, around: Surroundings, *, seconds: float = 20.0) -> None:
    """For the end of a tick: refresh where it is due. A failure is logged: no tick fails for it."""
    now = datetime.now(UTC)
    if refresh_due(config.paths.results, now):
        try:
            refresh(config.paths.results, config, connecting(config, around), now, seconds=seconds)
        except SprintError as error:
            _log.warning("what became of the pull requests is not known: %s", error)


def connecting(config: Config, around: Surroundings) -> Callable[[str], Forge]:
    """What connects a configured forge by its name; it raises SprintError."""

    def connected(name: str) -> Forge:
        if name not in config.forges:
            raise ForgeError(f"no forge is called {name!r} any more; put it back under forges")
        token = credentials.forge_token(name, config.forges[name], around)
        return connect(config.forges[name], token, patience=10.0, timeout=10.0)

    return connected


def refresh(
    results: Path,
    config: Config,
    forge_named: Callable[[str], Forge],
    now: datetime,
    *,
    seconds: float = 60.0,
) -> Stored:
    """Ask the forges and store what they say; what was not asked within `seconds` is asked the next time.

    `forge_named` connects a forge by its name in the configuration. A forge that fails is a `problem` in
    what is stored, not an error. Does nothing where another process is at it. Raises SprintError where the
    ledger cannot be read or the file not be written.
    """
    files.make_folder(results)
    try:
        with lock(results / "pull_states.lock", what="asks for pull requests"):
            stored = pull_states.with_new(pull_states.load(results), results, config)
            stored = _asked(stored, forge_named, now, seconds)
            pull_states.save(results, stored)
            return stored
    except Busy:
        return pull_states.load(results)


def _asked(stored: Stored, forge_named: Callable[[str], Forge], now: datetime, seconds: float) -> Stored:
    deadline = time.monotonic() + seconds
    pulls = {pull.pr_url: pull for pull in stored.pulls}
    heads, problems = dict(stored.heads), []
    for name in sorted({pull.forge for pull in pulls.values() if pull.forge}):
        own = [pull for pull in pulls.values() if pull.forge == name]
        try:
            forge = forge_named(name)
            for pull in _asking_order(own, now):
                _check_time(deadline)
                pulls[pull.pr_url] = _ask(forge, pull, now)
            own = [pulls[pull.pr_url] for pull in own]
            watched = [p for p in own if p.merged_at is not None and now - p.merged_at < _WATCH_FOR]
            for pull in reverts.look_for(forge, watched, heads, lambda: _check_time(deadline)):
                pulls[pull.pr_url] = pull
        except SprintError as error:
            problems.append(f"{name}: {error}")
    return replace(
        stored,
        tried_at=now,
        asked_at=stored.asked_at if problems else now,
        problem="; ".join(problems),
        heads=heads,
        pulls=tuple(pulls.values()),
    )


def _check_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise ForgeError("not all pull requests could be asked for in time; the rest follows the next time")


def _asking_order(pulls: list[PullState], now: datetime) -> list[PullState]:
    """Those whose state may change, the one asked longest ago first."""
    asked = [
        pull
        for pull in pulls
        if pull.state == "open"
        or (pull.state == "closed" and pull.closed_at is not None and now - pull.closed_at < _ASK_CLOSED_FOR)
    ]
    return sorted(asked, key=lambda pull: pull.asked_at or datetime.min.replace(tzinfo=UTC))


def _ask(forge: Forge, known: PullState, now: datetime) -> PullState:
    try:
        pull = forge.pull(known.repo, known.number)
        is_reviewed = forge.is_reviewed(known.repo, pull) if pull.merged_at else known.is_reviewed
    except ForgeError as error:
        if error.status in (404, 410):
            return replace(known, state="gone", asked_at=now)
        raise
    return replace(
        known,
        state=_state(pull),
        base=pull.base,
        head_sha=pull.head_sha,
        merge_commit=pull.merge_commit or "",
        merged_at=pull.merged_at,
        closed_at=pull.closed_at or (None if pull.is_open else now),
        asked_at=now,
        is_reviewed=is_reviewed,
    )


def _state(pull: PullRequest) -> str:
    if pull.merged_at is not None:
        return "merged"
    return "open" if pull.is_open else "closed"
