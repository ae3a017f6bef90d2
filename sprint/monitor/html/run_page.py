"""`sprint show RUN --html FILE`: one run as a page, from its folder alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sprint import transcript
from sprint.domain import Outcome, Purpose, Run, Usage, Verdict
from sprint.files import refusing
from sprint.monitor.html import page, patch
from sprint.monitor.html.page_budget import Cut, PageBudget
from sprint.monitor.html.transcript_view import conversation
from sprint.monitor.units import PROOFS, dollars, span, work

CACHED = "run.html"
_PAGE_CHARACTERS = 1_500_000  # characters: what a phone's browser opens at once
_TAIL_CAP = 8_000


def write_run(path: Path, folder: Path, run: Run) -> None:
    """Write the page of a run whose files are in `folder`. Raises SprintError."""
    page.write(path, "run", **values(folder, run, lambda name: _link(folder, name, path)))


def values(folder: Path, run: Run, link: Callable[[str], str], report_page: str = "") -> dict[str, Any]:
    """What the template `run` shows. `link` is the address of a file in the folder, "" where there is none;
    `report_page` that of the report, "" where none belongs to the page.

    Raises SprintError.
    """
    budget = PageBudget(_PAGE_CHARACTERS)
    used, model = transcript.usage(folder)
    usage, model = (run.result.usage, run.result.model) if run.result else (used, model)
    return {
        "run": run,
        "verdict": run.outcome.verdict if run.outcome else Verdict.NEITHER,
        "outcome": page.label(run.outcome) if run.outcome else _under_way(run),
        "facts": _facts(run, usage, model),
        "issue_url": page.web_address(run.issue_url),
        "pr_url": page.web_address(run.pr_url),
        "checks": _checks(run, budget),
        "patch": patch.read(folder),
        "talk": conversation(transcript.read(folder), budget),
        "link": link,
        "report_page": report_page,
        "transcript_name": transcript.NAME,
        "raw_name": transcript.RAW,
        "patch_name": patch.NAME,
        "is_question": run.outcome is Outcome.NEEDS_HUMAN,
        "summary": budget.fit(run.result.summary if run.result else "", 8_000),
    }


def cached_page(folder: Path, run: Run) -> Path:
    """The page of a settled run in its own folder, made where it is missing or old. Raises SprintError."""
    target = folder / CACHED
    if not is_current(target, folder):
        write_run(target, folder, run)
    return target


def is_current(target: Path, folder: Path) -> bool:
    """Whether a page is there that is newer than all it is made of. Raises SprintError."""
    sources = [folder / name for name in ("run.json", transcript.NAME, patch.NAME)]
    with refusing("read", folder):
        sources += page.TEMPLATES.iterdir()
        newest = max(source.stat().st_mtime for source in sources if source.exists())
        return target.exists() and target.stat().st_mtime >= newest


def _under_way(run: Run) -> str:
    return "paused" if run.paused_since else f"under way ({run.phase})"


@dataclass(frozen=True)
class Fact:
    name: str
    text: str


def _facts(run: Run, usage: Usage, model: str) -> list[Fact]:
    attempt = f"{run.attempt}, on {run.host}" if run.host else str(run.attempt)
    facts = [Fact("Attempt", attempt), Fact("Started", f"{page.moment(run.started_at)} UTC")]
    if run.finished_at:
        seconds = max((run.finished_at - run.started_at).total_seconds(), 0.0)
        facts.append(Fact("Took", span(max(seconds - run.paused_s, 0.0))))
    if run.paused_since:
        facts.append(Fact("Paused", f"since {page.moment(run.paused_since)} UTC: {run.paused_why}"))
    elif run.paused_s:
        facts.append(Fact("Paused", span(run.paused_s)))
    if run.proof is not None:
        facts.append(Fact("Proof", ": ".join(filter(None, [PROOFS[run.proof.verdict], run.proof.reason]))))
    if run.purpose != Purpose.ISSUE:
        facts.append(Fact("For", work(run)))
    return [
        *facts,
        Fact("Worker", f"{run.worker} {run.worker_version}".rstrip()),
        Fact("Model", model or page.NOTHING),
        Fact("Turns", f"{usage.turns:,}"),
        Fact("Tokens, in + out", f"{usage.prompt_tokens:,} + {usage.completion_tokens:,}"),
        Fact("Cost", dollars(usage.cost_usd)),
    ]


@dataclass(frozen=True)
class Check:
    """One check: what it said before and after the change."""

    command: str
    base: str
    result: str
    verdict: Verdict
    new_failures: tuple[str, ...]
    note: str
    tail: Cut


def _checks(run: Run, budget: PageBudget) -> list[Check]:
    return [
        Check(
            command=one.command,
            base=one.base.status.replace("_", " "),
            result=one.result.status.replace("_", " "),
            verdict=_verdict(one.is_regression, one.result.status == "passed"),
            new_failures=one.new_failures,
            note=one.note or one.result.note,
            tail=budget.fit(one.result.tail, _TAIL_CAP, page.printed),
        )
        for one in (run.proof.comparisons if run.proof else ())
    ]


def _verdict(is_regression: bool, passed: bool) -> Verdict:
    if is_regression:
        return Verdict.FAILED
    return Verdict.PASSED if passed else Verdict.NEITHER


def _link(folder: Path, name: str, path: Path) -> str:
    """A file of the run, relative to the page; "" where it is none."""
    target = file_in(folder, name)
    return quote(os.path.relpath(target.absolute(), path.absolute().parent)) if target else ""


def file_in(folder: Path, name: str) -> Path | None:
    """A run's file by its name below the folder; None where it is none: names come from the transcript."""
    target = folder / name
    try:
        inside = name and target.is_file() and target.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError):
        return None
    return target if inside else None
