"""What became of each pull request: results/fates.json, beside the ledger, as the forges had it last.

A pull request is asked for while it is open and for two weeks after it was closed (it may be opened again);
the commits that came after a merge are looked through for a revert for thirty days.
"""

from __future__ import annotations

import fcntl
import logging
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec.structs import replace

from sprint import credentials, files, ledger
from sprint.config import Config
from sprint.domain import LedgerRow, PullRequest
from sprint.errors import ForgeError, SprintError
from sprint.forge import Forge, connect
from sprint.ledger import rows
from sprint.monitor import reverts
from sprint.monitor.figures import Figures, PullCounts
from sprint.runs import RunStore

DUE_AFTER = timedelta(hours=1)
_ASK_CLOSED_FOR = timedelta(days=14)
_WATCH_FOR = timedelta(days=30)
_NUMBER = re.compile(r"/(?:pulls?|pull-requests|merge_requests)/([0-9]{1,18})/?$")

log = logging.getLogger(__name__)

Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class PullState(msgspec.Struct, frozen=True, kw_only=True):
    """One pull request. `state`: open, merged, closed, reverted or gone; `forge` "" where it is not known."""

    pr_url: str
    repo: str
    number: int
    run_id: str
    opened_at: Moment
    forge: str = ""
    state: str = "open"
    base: str = ""
    head_sha: str = ""
    merge_commit: str = ""
    merged_at: Moment | None = None
    closed_at: Moment | None = None
    reverted_at: Moment | None = None
    reverted_by: str = ""
    asked_at: Moment | None = None


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The file. `ledger_read`: how many bytes of the ledger are in it; `heads`: commits looked through."""

    version: int = 1
    tried_at: Moment | None = None
    asked_at: Moment | None = None
    problem: str = ""
    ledger_read: int = 0
    heads: dict[str, str] = {}
    fates: tuple[PullState, ...] = ()


def load(results: Path) -> Stored:
    """What is stored; nothing where the file is missing, or broken (that is logged: it can be asked anew)."""
    path = _path(results)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Stored)
    except FileNotFoundError:
        return Stored()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("cannot read %s: %s; it is made anew", path, error)
        return Stored()


def refresh_due(results: Path, now: datetime) -> bool:
    """Whether an hour went by since the forges were asked, with or without success."""
    tried = load(results).tried_at
    return tried is None or not now - DUE_AFTER < tried <= now


def refresh_if_due(config: Config, environ: Mapping[str, str], home: Path, *, seconds: float = 20.0) -> None:
    """For the end of a tick: refresh where it is due. A failure is logged: no tick fails for it."""
    now = datetime.now(UTC)
    if refresh_due(config.paths.results, now):
        try:
            refresh(config.paths.results, config, connecting(config, environ, home), now, seconds=seconds)
        except SprintError as error:
            log.warning("what became of the pull requests is not known: %s", error)


def connecting(config: Config, environ: Mapping[str, str], home: Path) -> Callable[[str], Forge]:
    """What connects a configured forge by its name; it raises SprintError."""

    def connected(name: str) -> Forge:
        if name not in config.forges:
            raise ForgeError(f"no forge is called {name!r} any more; put it back under forges")
        token = credentials.forge_token(name, config.forges[name], environ, home)
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
    with _alone(results) as is_ours:
        stored = load(results)
        if is_ours:
            stored = _asked(_with_new(stored, results, config), forge_named, now, seconds)
            files.replace(_path(results), msgspec.json.encode(stored) + b"\n")
    return stored


def summary(stored: Stored, figures: Figures, *, repos: Collection[str] = ()) -> PullCounts:
    """The figures on fates, of pull requests opened since `figures.since` in `repos` (empty: all)."""
    fates = [
        fate
        for fate in stored.fates
        if (not repos or fate.repo in repos) and (figures.since is None or fate.opened_at >= figures.since)
    ]
    count = {state: sum(fate.state == state for fate in fates) for state in _STATES}
    waits = sorted(
        max((fate.merged_at - fate.opened_at).total_seconds(), 0.0) for fate in fates if fate.merged_at
    )
    is_priced = figures.spend_usd > 0 or not figures.unpriced
    return PullCounts(
        asked_at=stored.asked_at,
        problem=stored.problem,
        seconds_to_merge=waits[(len(waits) - 1) // 2] if waits else None,
        usd_per_merged=figures.spend_usd / count["merged"] if count["merged"] and is_priced else None,
        states={fate.pr_url: fate.state for fate in fates},
        **count,
    )


_STATES = ("open", "merged", "closed", "reverted", "gone")


def _path(results: Path) -> Path:
    return results / "fates.json"


@contextmanager
def _alone(results: Path) -> Iterator[bool]:
    """Whether no other process is refreshing; holds that off until the end."""
    path = results / "fates.lock"
    try:
        with path.open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
    except OSError as error:
        raise files.refusal("lock", path, error) from error


def _with_new(stored: Stored, results: Path, config: Config) -> Stored:
    """What is stored and the pull requests that came to the ledger since."""
    end = ledger.size(results)
    start = stored.ledger_read if stored.ledger_read <= end else 0
    known = {fate.pr_url: fate for fate in stored.fates}
    for row in _rows_with_pulls(results, start, end):
        number = _NUMBER.search(row.pr_url)
        if number and row.pr_url not in known:
            known[row.pr_url] = PullState(
                pr_url=row.pr_url,
                repo=row.repo,
                number=int(number[1]),
                run_id=row.run_id,
                opened_at=row.finished_at,
                forge=_forge_name(row, config, results),
            )
    return replace(stored, ledger_read=end, fates=tuple(known.values()))


def _rows_with_pulls(results: Path, start: int, end: int) -> Iterator[LedgerRow]:
    if end <= start:
        return
    layouts = [ledger.header(ledger.path_of(results))]
    for block in ledger.blocks(results, start=start, end=end):
        for line in block:
            if "://" in line:
                row = rows.parse(line, layouts)
                if isinstance(row, LedgerRow) and row.pr_url:
                    yield row


def _forge_name(row: LedgerRow, config: Config, results: Path) -> str:
    """The forge that a row's pull request is on: by its run, its address or its repository; or ""."""
    try:
        return RunStore(results).load(row.run_id).forge
    except SprintError:
        pass  # its folder is gone
    for name, forge in config.forges.items():
        if row.pr_url.startswith(f"{forge.site}/"):
            return name
    named = {repo.forge for repo in config.repos if repo.name == row.repo}
    return named.pop() if len(named) == 1 else ""


def _asked(stored: Stored, forge_named: Callable[[str], Forge], now: datetime, seconds: float) -> Stored:
    deadline = time.monotonic() + seconds
    fates = {fate.pr_url: fate for fate in stored.fates}
    heads, problems = dict(stored.heads), []
    for name in sorted({fate.forge for fate in fates.values() if fate.forge}):
        own = [fate for fate in fates.values() if fate.forge == name]
        try:
            forge = forge_named(name)
            for fate in _asking_order(own, now):
                _check_time(deadline)
                fates[fate.pr_url] = _ask(forge, fate, now)
            own = [fates[fate.pr_url] for fate in own]
            watched = [f for f in own if f.merged_at is not None and now - f.merged_at < _WATCH_FOR]
            for fate in reverts.look_for(forge, watched, heads, lambda: _check_time(deadline)):
                fates[fate.pr_url] = fate
        except SprintError as error:
            problems.append(f"{name}: {error}")
    return replace(
        stored,
        tried_at=now,
        asked_at=stored.asked_at if problems else now,
        problem="; ".join(problems),
        heads=heads,
        fates=tuple(fates.values()),
    )


def _check_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise ForgeError("not all pull requests could be asked for in time; the rest follows the next time")


def _asking_order(fates: list[PullState], now: datetime) -> list[PullState]:
    """Those whose state may change, the one asked longest ago first."""
    asked = [
        fate
        for fate in fates
        if fate.state == "open"
        or (fate.state == "closed" and fate.closed_at is not None and now - fate.closed_at < _ASK_CLOSED_FOR)
    ]
    return sorted(asked, key=lambda fate: fate.asked_at or datetime.min.replace(tzinfo=UTC))


def _ask(forge: Forge, fate: PullState, now: datetime) -> PullState:
    try:
        pull = forge.pull(fate.repo, fate.number)
    except ForgeError as error:
        if error.status in (404, 410):
            return replace(fate, state="gone", asked_at=now)
        raise
    return replace(
        fate,
        state=_state(pull),
        base=pull.base,
        head_sha=pull.head_sha,
        merge_commit=pull.merge_commit or "",
        merged_at=pull.merged_at,
        closed_at=pull.closed_at or (None if pull.is_open else now),
        asked_at=now,
    )


def _state(pull: PullRequest) -> str:
    if pull.merged_at is not None:
        return "merged"
    return "open" if pull.is_open else "closed"
