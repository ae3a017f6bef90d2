"""All runs as one page: its script filters them and shows a hundred at a time, from data in the page."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from itertools import compress, repeat
from pathlib import Path
from typing import Any

import msgspec

from sprint.clean_text import safe_line
from sprint.config import ForgeConfig
from sprint.domain import Run, Verdict
from sprint.errors import SprintError
from sprint.ledger.rows import OldRow
from sprint.monitor.columns import ColumnReader
from sprint.monitor.figures import Report
from sprint.monitor.html import page
from sprint.monitor.html.report_page import Latest, ListedRun
from sprint.monitor.tally import Source, cause_of, parsed
from sprint.monitor.units import dollars, plural, span

MOST = 20_000  # runs in the list: what a phone's browser filters at once
_WITHOUT_SCRIPT = 50
# One with everything in it, from which the script makes the others.
_PATTERN = ListedRun(
    row=OldRow(datetime(2000, 1, 1, tzinfo=UTC), "-", 0, 0),
    verdict=Verdict.NEITHER,
    outcome="-",
    title="-",
    issue_url="-",
    pr_url="-",
    pr_number="-",
    pr_state="-",
    page="-",
    detail="-",
    model="-",
    seconds=0.0,
    cost_usd=0.0,
    worker="-",
    proof="-",
)


def write_runs(path: Path, mode: int = 0o600, **shown: Any) -> None:
    """Write the page with what `values` gave. Raises SprintError."""
    page.write(path, "runs", mode=mode, has_script=True, **shown)


def values(
    report: Report,
    forges: Mapping[str, ForgeConfig],
    page_of: Callable[[Run], str],
    report_page: str,
    repos: Collection[str] = (),
) -> dict[str, Any]:
    """What the template `runs` shows: the newest runs of a report's ledger, in its scope.

    `page_of`: the address of a run's own page, "" for none; `report_page` that of the report.
    """
    try:
        kept = _newest(Path(report.results), report.figures.since, repos)
    except SprintError:  # which the report itself says
        kept = ()
    listed = Latest(report, forges, page_of).listed(parsed(kept))
    return {
        "report": report,
        "report_page": report_page,
        "listed": listed[:_WITHOUT_SCRIPT],
        "count": len(listed),
        "is_cut": len(kept) == MOST,
        "pattern": _PATTERN,
        "data": page.markup(_as_json(listed)),
    }


def _newest(results: Path, since: datetime | None, repos: Collection[str]) -> tuple[Source, ...]:
    kept: deque[Source] = deque(maxlen=MOST)
    first = f"{since:%Y-%m-%dT%H:%M:%SZ}" if since else ""
    for columns in ColumnReader(results):
        selected = (
            time >= first and (not repos or repo in repos)
            for time, repo in zip(columns.finished_at, columns.repo, strict=True)
        )
        kept.extend(zip(compress(columns.lines, selected), repeat(columns.layouts), strict=False))
    return tuple(reversed(kept))


class _Words:
    """Each text once, cleaned, by its number."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._numbers: dict[str, int] = {}

    def of(self, text: str, limit: int = 200) -> int:
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = len(self.all)
            self.all.append(safe_line(text, limit))
        return number


def _as_json(listed: Iterable[ListedRun]) -> str:
    """For a script's element: nothing in it ends that, or begins a comment."""
    words = _Words()
    runs = [_record(one, words) for one in listed]
    data = msgspec.json.encode({"words": words.all, "runs": runs})
    return data.decode().replace("<", "\\u003c")


def _record(one: ListedRun, words: _Words) -> list[object]:
    """In the order in which runs.js takes them."""
    has_cause = one.verdict is Verdict.FAILED and not isinstance(one.row, OldRow)
    return [
        f"{one.finished_at:%Y-%m-%dT%H:%M:%SZ}",
        words.of(page.moment(one.finished_at)),
        "" if isinstance(one.row, OldRow) else safe_line(one.row.run_id),
        words.of(one.row.repo),
        one.row.issue,
        one.issue_url,
        words.of(one.verdict),
        words.of(one.outcome),
        words.of(one.pr_state),
        words.of(one.proof),
        words.of(one.title),
        words.of(one.detail if one.verdict is not Verdict.PASSED else "", 240),
        words.of(cause_of(one.detail) if has_cause else ""),
        words.of(one.worker, 60),
        words.of(one.model, 80),
        words.of("" if one.seconds is None else span(one.seconds)),
        words.of(plural(one.turns, "turn")),
        words.of("price unknown" if one.cost_usd is None else dollars(one.cost_usd)),
        one.pr_url,
        words.of(one.pr_number),
        one.page,
    ]
