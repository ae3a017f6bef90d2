"""The text report's upper half: what is under way, and each repository."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from sprint.clean_text import safe_line
from sprint.domain import LedgerRow, Verdict
from sprint.ledger.rows import OldRow
from sprint.monitor.figures import ActiveRun, Report, RepoStatus, verdict_of
from sprint.monitor.text_parts import grid, head
from sprint.monitor.units import PROOFS, ago, plural, span, waits, work

_MANY_RUNS = 8
_RUNS_LISTED = 3  # of a repository, with their names
STYLES = {Verdict.PASSED: "green", Verdict.FAILED: "red", Verdict.NEITHER: "yellow"}
_PROOF_STYLES = {"proven": "green", "unproven": "yellow"}


def active(report: Report) -> Iterator[Text | Table]:
    count = len(report.active)
    yield head(f"ACTIVE RUNS: {count}")
    if count > _MANY_RUNS:
        yield Text(f"  WARNING: {count} runs at once: are some of them stuck?", "bold yellow")
    table = grid("", "", "", "dim")
    for run in report.active:
        what = f"{run.repo} #{run.issue}" if run.issue is not None else run.repo
        table.add_row(
            "",
            Text(f"{what} {safe_line(run.title, 60)}"),
            _state(run),
            span(run.seconds),
            Text(safe_line(" ".join(filter(None, [run.worker, work(run), run.host])), 60)),
        )
        table.add_row("", Text(run.run_id, "dim"), "", "", "")
        if run.environment:
            table.add_row("", Text(f"environment {safe_line(run.environment, 100)}", "dim"), "", "", "")
    if report.active:
        yield table
    yield Text()


def waiting(report: Report) -> Iterator[Text | Table]:
    """What people are to do: look at pull requests, and answer."""
    asking = report.figures.asking
    said = waits(report)
    if not said:
        return
    yield head("WAITING FOR PEOPLE: ", ", ".join(said))
    table = grid("", "")
    for row in asking:
        if isinstance(row, LedgerRow):
            table.add_row("", f"{row.repo} #{row.issue}", Text(safe_line(row.detail, 160)))
    if more := report.figures.asking_count - len(asking):
        table.add_row("", Text(f"and {more:,} more", "dim"), "")
    if asking:
        yield table
    yield Text()


def _state(run: ActiveRun) -> Text:
    if run.paused_since is not None:
        why = safe_line(run.paused_why, 120) or "no reason is known"
        return Text(f"paused: {why}, since {run.paused_since:%Y-%m-%d %H:%M} UTC", "yellow")
    return Text(f"{run.phase} STUCK", "bold red") if run.is_stuck else Text(run.phase)


def repository(repo: RepoStatus, report: Report) -> Iterator[Text | Table]:
    yield head(repo.repo, f"  ({repo.forge})" if repo.forge else "")
    table = grid("dim", "")
    if repo.last:
        table.add_row("", f"last {plural(len(repo.last), 'run')}", _last_runs(repo))
        latest, *earlier = repo.last[:_RUNS_LISTED]
        table.add_row("", "latest", _listed(latest, report, repo.latest_title))
        if isinstance(latest, LedgerRow):
            said = f"  {safe_line(latest.pr_url or latest.detail, 160)}".rstrip()
            table.add_row("", "", Text.assemble((safe_line(latest.run_id, 120), "dim"), said))
        for row in earlier:
            table.add_row("", "", _listed(row, report).append(_name(row), "dim"))
    else:
        table.add_row("", "last runs", "none")
    issues = str(repo.open_issues) if repo.open_issues is not None else safe_line(repo.open_issues_note, 200)
    table.add_row(
        "", "open issues", Text(issues or "not asked", "" if repo.open_issues is not None else "dim")
    )
    table.add_row("", "last tick", _tick(repo, report))
    yield table
    yield Text()


def _last_runs(repo: RepoStatus) -> Text:
    text = Text()
    for row in reversed(repo.last):
        verdict = verdict_of(row)
        text.append({"passed": "P", "failed": "F", "neither": "-"}[verdict.value], STYLES[verdict])
    six = repo.last_six
    text.append(f"  {six.passed} passed, {six.failed} failed, {six.neither} neither")
    return text


def _listed(row: LedgerRow | OldRow, report: Report, title: str = "") -> Text:
    verdict = verdict_of(row)
    number = f"#{row.issue}" if row.issue is not None else "task"
    text = Text(f"{number} {safe_line(title, 80)}".rstrip())
    when = f"  {ago(row.finished_at, report.made_at)}"
    if isinstance(row, OldRow):
        return text.append(f"  exit code {row.exit_code}", STYLES[verdict]).append(when, "dim")
    text.append(f"  {row.outcome}", STYLES[verdict])
    if row.proof in PROOFS:
        text.append(f" {PROOFS[row.proof]}", _PROOF_STYLES.get(row.proof, "dim"))
    return text.append(when, "dim")


def _name(row: LedgerRow | OldRow) -> str:
    return f"  {safe_line(row.run_id, 120)}" if isinstance(row, LedgerRow) else ""


def _tick(repo: RepoStatus, report: Report) -> Text:
    if repo.ticked_at is None:
        return Text("never seen", "dim")
    every = f", every {span(repo.interval_s)}" if repo.interval_s else ""
    text = Text(f"{ago(repo.ticked_at, report.made_at)}{every}")
    if repo.failed_ticks > 1:
        text.append(f"  {repo.failed_ticks} FAILED IN A ROW", "bold red" if repo.is_watched else "yellow")
    if repo.is_late:
        text.append("  LATE: cron looks dead", "bold red" if repo.is_watched else "yellow")
    return text.append(f"  {safe_line(repo.tick_outcome, 120)}", "dim")
