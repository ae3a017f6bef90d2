"""What became of each pull request, as the forges had it last: results/pull_states.json."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec.structs import replace

from sprint import decoding, json_file, ledger
from sprint.config import Config
from sprint.domain import LedgerRow
from sprint.errors import SprintError
from sprint.ledger import rows
from sprint.monitor.figures import Figures, PullCounts
from sprint.runs import RunStore

STATES = ("open", "merged", "closed", "reverted", "gone")
_OLD_NAME = "fates.json"  # of the file, and of what is in it, before 0.2
_NUMBER = re.compile(r"/(?:pulls?|pull-requests|merge_requests)/([0-9]{1,18})/?$")

Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class PullState(msgspec.Struct, frozen=True, kw_only=True):
    """One pull request. `state` is one of STATES; `forge` "" where it is not known."""

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
    is_reviewed: bool | None = None  # whether a person had said something at it when it was merged


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The file. `ledger_read`: how many bytes of the ledger are in it; `heads`: commits looked through."""

    version: int = 2
    tried_at: Moment | None = None
    asked_at: Moment | None = None
    problem: str = ""
    ledger_read: int = 0
    heads: dict[str, str] = {}
    pulls: tuple[PullState, ...] = ()


def load(results: Path) -> Stored:
    """What is stored; nothing where the file is missing, or broken (that is logged: it can be asked anew)."""
    stored = json_file.read_if_sound(_path(results), Stored)
    return stored or _of_old_file(results / _OLD_NAME) or Stored()


def save(results: Path, stored: Stored) -> None:
    """Raises SprintError where it cannot be written."""
    json_file.write(_path(results), stored)


def _path(results: Path) -> Path:
    return results / "pull_states.json"


def _of_old_file(path: Path) -> Stored | None:
    old = json_file.read_if_sound(path, dict[str, Any])
    try:
        return decoding.convert({**old, "version": 2, "pulls": old.get("fates", ())}, Stored) if old else None
    except msgspec.ValidationError:
        return None  # as for one that is missing


def with_new(stored: Stored, results: Path, config: Config) -> Stored:
    """What is stored and the pull requests that came to the ledger since. Raises SprintError."""
    end = ledger.size(results)
    start = stored.ledger_read if stored.ledger_read <= end else 0
    known = {pull.pr_url: pull for pull in stored.pulls}
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
    return replace(stored, ledger_read=end, pulls=tuple(known.values()))


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


def summary(stored: Stored, figures: Figures, *, repos: Collection[str] = ()) -> PullCounts:
    """The figures on pull requests opened since `figures.since` in `repos` (empty: all).

    Those of the ledger that nobody asked for yet are open, as far as is known.
    """
    pulls = [
        pull
        for pull in stored.pulls
        if (not repos or pull.repo in repos) and (figures.since is None or pull.opened_at >= figures.since)
    ]
    states = dict.fromkeys(figures.pull_urls - {pull.pr_url for pull in stored.pulls}, "open")
    states |= {pull.pr_url: pull.state for pull in pulls}
    found = Counter(states.values())
    count = {state: found[state] for state in STATES}
    waits = sorted(
        max((pull.merged_at - pull.opened_at).total_seconds(), 0.0) for pull in pulls if pull.merged_at
    )
    merged = [pull for pull in pulls if pull.state == "merged"]
    is_priced = figures.spend_usd > 0 or not figures.unpriced
    return PullCounts(
        asked_at=stored.asked_at,
        problem=stored.problem,
        seconds_to_merge=waits[(len(waits) - 1) // 2] if waits else None,
        usd_per_merged=figures.spend_usd / count["merged"] if count["merged"] and is_priced else None,
        states=states,
        merged_after=dict(sorted(Counter(figures.rounds.get(pull.pr_url, 0) for pull in merged).items())),
        merged_reviewed=sum(pull.is_reviewed is True for pull in merged),
        merged_unseen=sum(pull.is_reviewed is False for pull in merged),
        rounds=figures.rounds,
        triggers=figures.triggers,
        **count,
    )
