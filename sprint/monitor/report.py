"""The report as text, for a person who looks at it for a minute a day.

Drawn with rich: it knows the terminal's width and colours (and NO_COLOR), measures wide characters, and gives
plain text where nobody looks. What strangers wrote is cleaned and never read as markup.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sprint.clean_text import safe_line
from sprint.domain import Verdict
from sprint.ledger.rows import OldRow
from sprint.monitor.figures import Figures, PullCounts, Report, RepoStatus, Tally, verdict_of
from sprint.monitor.units import ago, dollars, percent, plural, span

MANY_RUNS = 8
_PIPED_WIDTH = 120
_CAUSES_SHOWN = 8
_STYLES = {Verdict.PASSED: "green", Verdict.FAILED: "red", Verdict.NEITHER: "yellow"}
_STATE_STYLES = {True: "green", False: "red"}


def write(report: Report, out: TextIO) -> None:
    """Print the whole report. Width and colour are the terminal's; plain and 120 wide for a pipe."""
    # Drawn in memory first: a pipe gets its own width, and a watched screen changes in one piece.
    drawn = io.StringIO()
    is_terminal = out.isatty()
    console = Console(
        file=drawn,
        width=None if is_terminal else _PIPED_WIDTH,
        force_terminal=is_terminal,
        highlight=False,
        markup=False,
        emoji=False,
    )
    if is_terminal:
        console.width = Console(file=out).width
    for part in _parts(report):
        console.print(part, soft_wrap=not is_terminal and isinstance(part, Text))
    out.write("\n".join(line.rstrip() for line in drawn.getvalue().split("\n")))
    out.flush()


def _parts(report: Report) -> Iterator[Text | Table]:
    yield Text.assemble(
        ("SPRINT MONITOR", "bold"), f"  {report.made_at:%Y-%m-%d %H:%M} UTC  {report.results}"
    )
    for alarm in report.alarms:
        yield Text(f"ALARM  {safe_line(alarm.text, 300)}", "bold red")
    yield Text()
    yield from _active(report)
    for repo in report.repos:
        yield from _repo(repo, report)
    yield from _ledger(report.figures)
    yield from _rates(report.figures)
    yield from _causes(report.figures)
    yield from _money(report)
    yield from _fates(report.fates)
    yield from _services(report)


def _head(text: str, more: str = "") -> Text:
    return Text.assemble((text, "bold"), more)


def _grid(*styles: str) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=1)
    for style in styles:
        grid.add_column(style=style, overflow="fold")
    return grid


def _active(report: Report) -> Iterator[Text | Table]:
    count = len(report.active)
    yield _head(f"ACTIVE RUNS: {count}")
    if count > MANY_RUNS:
        yield Text(f"  WARNING: {count} runs at once: are some of them stuck?", "bold yellow")
    table = _grid("", "", "", "dim")
    for run in report.active:
        table.add_row(
            "",
            Text(f"{run.repo} #{run.issue} {safe_line(run.title, 60)}"),
            Text(run.phase + (" STUCK" if run.is_stuck else ""), "bold red" if run.is_stuck else ""),
            span(run.seconds),
            Text(safe_line(run.host, 40)),
        )
        if run.environment:
            table.add_row("", Text(f"environment {safe_line(run.environment, 100)}", "dim"), "", "", "")
    if report.active:
        yield table
    yield Text()


def _repo(repo: RepoStatus, report: Report) -> Iterator[Text | Table]:
    yield _head(repo.repo, f"  ({repo.forge})" if repo.forge else "")
    table = _grid("dim", "")
    if repo.last:
        table.add_row("", f"last {plural(len(repo.last), 'run')}", _last_runs(repo))
        table.add_row("", "latest", _latest(repo, report))
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
        text.append({"passed": "P", "failed": "F", "neither": "-"}[verdict.value], _STYLES[verdict])
    six = repo.last_six
    text.append(f"  {six.passed} passed, {six.failed} failed, {six.neither} neither")
    return text


def _latest(repo: RepoStatus, report: Report) -> Text:
    row = repo.last[0]
    verdict = verdict_of(row)
    text = Text(f"#{row.issue} {safe_line(repo.latest_title, 80)}".rstrip())
    if isinstance(row, OldRow):
        text.append(f"  exit code {row.exit_code}", _STYLES[verdict])
        return text.append(f"  {ago(row.finished_at, report.made_at)}", "dim")
    text.append(f"  {row.outcome}", _STYLES[verdict]).append(
        f"  {ago(row.finished_at, report.made_at)}", "dim"
    )
    return text.append(f"  {safe_line(row.pr_url or row.detail, 160)}")


def _tick(repo: RepoStatus, report: Report) -> Text:
    if repo.ticked_at is None:
        return Text("never seen", "dim")
    every = f", every {span(repo.interval_seconds)}" if repo.interval_seconds else ""
    text = Text(f"{ago(repo.ticked_at, report.made_at)}{every}")
    if repo.is_late:
        text.append("  LATE: cron looks dead", "bold red" if repo.is_watched else "yellow")
    return text.append(f"  {safe_line(repo.tick_outcome, 120)}", "dim")


def _ledger(figures: Figures) -> Iterator[Text]:
    if figures.unreadable:
        yield Text(f"LEDGER: cannot be read: {figures.unreadable}", "bold red")
    counts = [plural(figures.rows, "row")]
    if figures.old_rows:
        counts.append(f"{figures.old_rows:,} of the system before")
    yield _head("LEDGER: ", ", ".join(counts))
    if figures.future_rows:
        yield Text(
            f"  {plural(figures.future_rows, 'row')} from the future: some host's clock is wrong", "yellow"
        )
    if figures.bad_lines:
        yield Text(
            f"  {plural(figures.bad_lines, 'line is', 'lines are')} no row, and not counted:", "yellow"
        )
        for bad in figures.bad_examples:
            yield Text(
                f"    line {bad.number}: {safe_line(bad.reason, 80)}: {safe_line(bad.text, 60)}", "dim"
            )
    yield Text()


def _rates(figures: Figures) -> Iterator[Text | Table]:
    if not figures.rows:
        return
    yield _head("PASS RATE", "  passed of those that passed or failed; runs that are neither in brackets")
    table = _grid("", *["" for _ in figures.windows])
    table.add_row("", "", *(Text(window.name, "dim") for window in figures.windows))
    table.add_row("", "all", *(_rate(window.total) for window in figures.windows))
    for group in ("by_repo", "by_worker", "by_model"):
        tallies: list[Mapping[str, Tally]] = [getattr(window, group) for window in figures.windows]
        names = sorted(tallies[-1])
        if len(names) > 1 or group != "by_repo":
            for name in names:
                label = Text(group.removeprefix("by_") + " ", "dim").append(safe_line(name, 50), "default")
                table.add_row("", label, *(_rate(tally.get(name, Tally())) for tally in tallies))
    yield table
    yield Text()


def _rate(tally: Tally) -> Text:
    rate = tally.pass_rate
    text = Text("-" if rate is None else f"{percent(rate):>4}", "dim" if rate is None else "")
    if rate is not None:
        text.append(f" {tally.passed}/{tally.passed + tally.failed}", "dim")
    return text.append(f" ({tally.neither})", "dim") if tally.neither else text


def _causes(figures: Figures) -> Iterator[Text | Table]:
    if not figures.causes:
        return
    yield _head("WHY RUNS FAILED", f"  {figures.period}")
    table = _grid("", "red", "")
    for cause in figures.causes[:_CAUSES_SHOWN]:
        table.add_row("", f"{cause.count:,}", cause.outcome, Text(safe_line(cause.detail, 100)))
    if rest := sum(cause.count for cause in figures.causes[_CAUSES_SHOWN:]):
        table.add_row("", f"{rest:,}", Text("others", "dim"), "")
    yield table
    yield Text()


def _money(report: Report) -> Iterator[Text]:
    medians = report.figures.medians
    if medians.seconds is not None:
        cost = f", {dollars(medians.cost_usd)}" if medians.cost_usd is not None else ""
        turns = f", {plural(medians.turns, 'turn')}" if medians.turns is not None else ""
        yield _head("MEDIAN RUN: ", f"{span(medians.seconds)}{turns}{cost}  ({report.figures.period})")
    spent, ceiling = report.spent_today_usd, report.ceiling_usd
    text = dollars(spent)
    if spent is not None and ceiling:
        text += f" of {dollars(ceiling)} ({percent(spent / ceiling)})"
    yield _head("SPENT TODAY: ", text)
    if report.figures.unpriced:
        yield Text(
            f"  the price of {plural(report.figures.unpriced, 'run')} is unknown and in no sum", "yellow"
        )


def _fates(fates: PullCounts) -> Iterator[Text]:
    if not fates.states:
        yield _head("PULL REQUESTS: ", "none known yet; --refresh asks what became of them")
        return
    asked = (
        "not asked yet: --refresh" if fates.asked_at is None else f"as of {fates.asked_at:%Y-%m-%d %H:%M} UTC"
    )
    yield _head("PULL REQUESTS: ", f"{_counts(fates)}  ({asked})")
    wait = "" if fates.seconds_to_merge is None else f", merged after {span(fates.seconds_to_merge)} (median)"
    cost = (
        "" if fates.usd_per_merged is None else f", {dollars(fates.usd_per_merged)} per merged pull request"
    )
    if fates.share_merged is not None:
        yield Text(f"  {percent(fates.share_merged)} of those decided were merged{wait}{cost}")
    if fates.problem:
        yield Text(f"  {safe_line(fates.problem, 300)}", "yellow")


def _counts(fates: PullCounts) -> str:
    states = ("merged", "open", "closed", "reverted", "gone")
    return ", ".join(f"{count} {state}" for state in states if (count := getattr(fates, state)))


def _services(report: Report) -> Iterator[Text]:
    for service in report.services:
        text = _head(f"{safe_line(service.name, 60).upper()}: ")
        text.append("up" if service.is_up else "down", _STATE_STYLES[service.is_up])
        yield text.append(f"  {' '.join(filter(None, [service.url, safe_line(service.said, 200)]))}", "dim")
