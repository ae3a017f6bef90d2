"""The report as a page: what it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sprint.config import ForgeConfig
from sprint.domain import LedgerRow, Run, Verdict
from sprint.errors import SprintError
from sprint.ledger.rows import OldRow
from sprint.monitor.figures import Figures, Report, Tally, Window, verdict_of
from sprint.monitor.html import page, panels
from sprint.monitor.units import PROOFS, ago, follow_ups
from sprint.outcomes import FACTS
from sprint.runs import RunStore


def values(
    report: Report, forges: Mapping[str, ForgeConfig], page_of: Callable[[Run], str], runs_page: str
) -> dict[str, Any]:
    """What the template `report` shows. `page_of`: the address of a run's own page, "" for none; `runs_page`
    that of the list of all runs.
    """
    latest = Latest(report, forges, page_of)
    return {
        "report": report,
        "runs_page": runs_page,
        "figures": report.figures,
        "headline": _headline(report.figures),
        "panels": panels.panels(report),
        "follow_ups": list(follow_ups(report.pulls)),
        "rates": _rates(report.figures),
        "repos": [(status, latest.listed(status.last)) for status in report.repos],
        "latest": latest.listed(report.figures.latest),
        "asking": latest.listed(report.figures.asking),
        "active": [(run, page.web_address(run.issue_url)) for run in report.active],
        "ago": lambda when: ago(when, report.made_at),
        "verdict_of": verdict_of,
        "meanings": [(verdict, _meanings(verdict)) for verdict in Verdict],
    }


def _meanings(verdict: Verdict) -> list[tuple[str, str]]:
    return [(page.label(one), facts.means) for one, facts in FACTS.items() if facts.verdict is verdict]


@dataclass(frozen=True)
class ListedRun:
    """One run in a list. Addresses are "" where there is none; `page` is relative to the report."""

    row: LedgerRow | OldRow
    verdict: Verdict
    outcome: str
    title: str
    issue_url: str
    pr_url: str
    pr_number: str
    pr_state: str
    page: str
    detail: str = ""
    model: str = ""
    seconds: float | None = None
    cost_usd: float | None = None
    turns: int = 0
    worker: str = ""
    proof: str = ""

    @property
    def number(self) -> str:
        return "task" if self.row.issue is None else f"#{self.row.issue}"

    @property
    def finished_at(self) -> datetime:
        return self.row.finished_at


class Latest:
    """Lists runs: with titles and links from the run folders that are still there."""

    def __init__(
        self, report: Report, forges: Mapping[str, ForgeConfig], page_of: Callable[[Run], str]
    ) -> None:
        self._store = RunStore(Path(report.results))
        self._page_of = page_of
        self._pull_states = report.pulls.states
        # A repository's runs all lead to the same issues: what one knows serves the others.
        self._issues = dict(_issues_of(report, forges))

    def listed(self, rows: tuple[LedgerRow | OldRow, ...]) -> list[ListedRun]:
        return [self._one(row) for row in rows]

    def _one(self, row: LedgerRow | OldRow) -> ListedRun:
        issues = self._issues.get(row.repo, "")
        issue_url = page.web_address(f"{issues}/{row.issue}") if issues and row.issue is not None else ""
        verdict = verdict_of(row)
        if isinstance(row, OldRow):
            said = f"exit code {row.exit_code}"
            return ListedRun(row, verdict, said, "", issue_url, "", "", "", "")
        run = self._run(row.run_id)
        return ListedRun(
            row=row,
            verdict=verdict,
            outcome=page.label(row.outcome),
            title=run.title if run else "",
            issue_url=page.web_address(run.issue_url if run else "") or issue_url,
            pr_url=page.web_address(row.pr_url),
            pr_number=_number_of(row.pr_url),
            pr_state=self._pull_states.get(row.pr_url, "") if row.pr_url else "",
            page=self._page_of(run) if run else "",
            detail=row.detail,
            model=row.model,
            seconds=row.duration_s,
            cost_usd=row.cost_usd,
            turns=row.turns,
            worker=row.worker,
            proof=PROOFS.get(row.proof, ""),
        )

    def _run(self, run_id: str) -> Run | None:
        with suppress(SprintError):  # only the newest runs still have a folder
            if (self._store.folder(run_id) / "run.json").exists():
                return self._store.load(run_id)
        return None


def _issues_of(report: Report, forges: Mapping[str, ForgeConfig]) -> Iterator[tuple[str, str]]:
    """Where each repository's issues are on the web: by the configuration, else by a pull request of it."""
    for row in report.figures.latest:
        if isinstance(row, LedgerRow) and row.pr_url:
            base, _, _ = row.pr_url.rpartition("/pull")
            if base.endswith(f"/{row.repo}"):
                yield row.repo, f"{base}/issues"
    for status in report.repos:
        if (forge := forges.get(status.forge)) and forge.site:
            yield status.repo, f"{forge.site.rstrip('/')}/{status.repo}/issues"


def _number_of(url: str) -> str:
    """The `#17` that an address ends with; "request" where it ends with anything else."""
    number = url.rstrip("/").rpartition("/")[2]
    return f"#{number}" if number.isascii() and number.isdigit() and len(number) < 19 else "request"


def _headline(figures: Figures) -> Window | None:
    """The window that the report opens with: 7 days, or since --since."""
    if not figures.windows:
        return None
    return figures.windows[-1 if figures.since else 1]


@dataclass(frozen=True)
class Rates:
    """Pass rates of one kind of thing: a row of tallies for each, one for each window."""

    kind: str
    rows: tuple[tuple[str, tuple[Tally, ...]], ...]


def _rates(figures: Figures) -> list[Rates]:
    if not figures.rows:
        return []
    groups = [Rates("", (("all runs", tuple(window.total for window in figures.windows)),))]
    for kind in ("repo", "worker", "model"):
        tallies = [getattr(window, f"by_{kind}") for window in figures.windows]
        rows = tuple(
            (name, tuple(tally.get(name, Tally()) for tally in tallies)) for name in sorted(tallies[-1])
        )
        if rows:
            groups.append(Rates({"repo": "repository"}.get(kind, kind), rows))
    return groups
