"""The pull requests of the live report: what became of each, and of its follow-ups, as far as files tell."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from sprint.config import Config
from sprint.domain import LedgerRow, Run
from sprint.errors import SprintError
from sprint.ledger.rows import OldRow
from sprint.monitor import pull_states
from sprint.monitor.figures import Report
from sprint.monitor.html import page
from sprint.monitor.pull_states import PullState
from sprint.monitor.units import ago
from sprint.runs import RunStore

_OPEN, _DECIDED = 50, 10  # how many are listed

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ListedPull:
    """One pull request. `followed`: its latest follow-up, in words; addresses, and the title, are "" where
    there is none."""

    name: str
    url: str
    title: str
    run_page: str
    state: str
    said: str
    followed: str


def listed(config: Config, report: Report) -> list[ListedPull]:
    """The open ones, the newest first, and then those that were decided last."""
    results = config.paths.results
    stored = pull_states.load(results)
    try:
        stored = pull_states.with_new(stored, results, config)
    except SprintError as error:
        _log.warning("%s", error)
    opened = sorted(stored.pulls, key=lambda pull: pull.opened_at, reverse=True)
    still = [pull for pull in opened if pull.state == "open"]
    decided = sorted((pull for pull in opened if pull.state != "open"), key=_decided_at, reverse=True)
    rounds = _rounds(report.figures.latest)
    return [
        ListedPull(
            name=f"{pull.repo} #{pull.number}",
            url=page.web_address(pull.pr_url),
            title=run.title if run else "",
            run_page=f"/runs/{quote(run.id)}" if run else "",
            state=pull.state,
            said=_said(pull, report.made_at),
            followed=_followed(rounds.get(pull.pr_url), report.made_at),
        )
        for pull in (*still[:_OPEN], *decided[:_DECIDED])
        for run in (_run(results, pull.run_id),)
    ]


def _decided_at(pull: PullState) -> datetime:
    return pull.reverted_at or pull.merged_at or pull.closed_at or pull.opened_at


def _said(pull: PullState, now: datetime) -> str:
    opened = f"opened {ago(pull.opened_at, now)}"
    decided = _decided_at(pull)
    return opened if decided == pull.opened_at else f"{opened}, {pull.state} {ago(decided, now)}"


def _rounds(rows: Iterable[LedgerRow | OldRow]) -> dict[str, LedgerRow]:
    """The newest follow-up of each pull request, by its address."""
    found: dict[str, LedgerRow] = {}
    for row in rows:  # the newest first
        if isinstance(row, LedgerRow) and row.purpose == "follow_up" and row.pr_url:
            found.setdefault(row.pr_url, row)
    return found


def _followed(row: LedgerRow | None, now: datetime) -> str:
    if row is None:
        return ""
    return f"follow-up {row.round} {ago(row.finished_at, now)}: {page.label(row.outcome)}"


def _run(results: Path, run_id: str) -> Run | None:
    """As long as its folder is kept."""
    store = RunStore(results)
    with suppress(SprintError):
        if (store.folder(run_id) / "run.json").exists():
            return store.load(run_id)
    return None
