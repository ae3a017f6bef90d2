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
from sprint.monitor import report_repos
from sprint.monitor.figures import Figures, PullCounts, Report, Tally
from sprint.monitor.text_parts import grid, head
from sprint.monitor.units import PROOFS, ago, dollars, follow_ups, percent, plural, span

_PIPED_WIDTH = 120
_CAUSES_SHOWN = 8
_WORKSPACES_NAMED = 3
_USAGE_HEAD = ("runs", "time", "turns", "cost", "spent")
_STATE_STYLES = {True: "green", False: "red"}


def write(report: Report, out: TextIO, columns: str = "") -> None:
    """Print the whole report. Width and colour are the terminal's; plain for a pipe.

    `columns`, as the variable COLUMNS has it, is a pipe's width; without it tables are 120 wide and other
    lines as long as they are.
    """
    # Drawn in memory first: a pipe gets its own width, and a watched screen changes in one piece.
    drawn = io.StringIO()
    is_terminal = out.isatty()
    piped_width = int(columns) if columns.isdecimal() and 20 <= int(columns) <= 10_000 else None
    console = Console(
        file=drawn,
        width=None if is_terminal else piped_width or _PIPED_WIDTH,
        force_terminal=is_terminal,
        highlight=False,
        markup=False,
        emoji=False,
    )
    if is_terminal:
        console.width = Console(file=out).width
    for part in _parts(report):
        console.print(part, soft_wrap=not (is_terminal or piped_width) and isinstance(part, Text))
    out.write("\n".join(line.rstrip() for line in drawn.getvalue().split("\n")))
    out.flush()


def _parts(report: Report) -> Iterator[Text | Table]:
    yield Text.assemble(
        ("SPRINT MONITOR", "bold"), f"  {report.made_at:%Y-%m-%d %H:%M} UTC  {report.results}"
    )
    for alarm in report.alarms:
        yield Text(f"ALARM  {safe_line(alarm.text, 300)}", "bold red")
    yield from _hosts(report)
    yield Text()
    yield from report_repos.active(report)
    yield from report_repos.waiting(report)
    issues = [repo.open_issues for repo in report.repos if repo.open_issues is not None]
    if len(issues) > 1:
        yield head("OPEN ISSUES: ", f"{sum(issues):,} in {plural(len(issues), 'repository', 'repositories')}")
        yield Text()
    for repo in report.repos:
        yield from report_repos.repository(repo, report)
    yield from _ledger(report.figures)
    yield from _rates(report.figures)
    yield from _usage(report.figures)
    yield from _causes(report.figures)
    yield from _proofs(report.figures)
    yield from _money(report)
    yield from _pulls(report.pulls)
    yield from _services(report)
    yield from _workspaces(report)


def _hosts(report: Report) -> Iterator[Text]:
    """From whom all that follows is, where it is not this host alone."""
    if report.hosts:
        said = []
        for host in report.hosts:
            what = ", drained" if host.is_drained else ""
            seen_at = min(host.seen_at, report.made_at)  # this one has been seen while the report was made
            said.append(
                f"{safe_line(host.name, 60)} {safe_line(host.version, 20)} "
                f"({ago(seen_at, report.made_at)}{what})"
            )
        yield head("HOSTS: ", ", ".join(said))


def _ledger(figures: Figures) -> Iterator[Text]:
    if figures.unreadable:
        yield Text(f"LEDGER: cannot be read: {figures.unreadable}", "bold red")
    counts = [plural(figures.rows, "row")]
    if figures.old_rows:
        counts.append(f"{figures.old_rows:,} of the system before")
    yield head("LEDGER: ", ", ".join(counts))
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
    yield head("PASS RATE", "  passed of those that passed or failed; runs that are neither in brackets")
    table = grid("", *["" for _ in figures.windows])
    table.add_row("", "", *(Text(window.name, "dim") for window in figures.windows))
    table.add_row("", "all", *(_rate(window.total) for window in figures.windows))
    if figures.windows[-1].total.unproven:
        table.add_row("", "without unproven", *(_rate_without_unproven(w.total) for w in figures.windows))
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
    return _share(tally.pass_rate, tally.passed, tally)


def _rate_without_unproven(tally: Tally) -> Text:
    return _share(tally.pass_rate_without_unproven, tally.passed - tally.unproven, tally)


def _share(rate: float | None, passed: int, tally: Tally) -> Text:
    text = Text("-" if rate is None else f"{percent(rate):>4}", "dim" if rate is None else "")
    if rate is not None:
        text.append(f" {passed:,}/{tally.judged:,}", "dim")
    return text.append(f" ({tally.neither:,})", "dim") if tally.neither else text


def _proofs(figures: Figures) -> Iterator[Text]:
    for window in figures.windows[-2:-1] if not figures.since else figures.windows[-1:]:
        counts = window.by_proof
        if counts:
            named = ", ".join(f"{counts[name]:,} {what}" for name, what in PROOFS.items() if name in counts)
            yield head("PROOF: ", f"{named}  ({figures.period})")


def _usage(figures: Figures) -> Iterator[Text | Table]:
    """What runs take, by worker and model; one kind of run alone is the median run below."""
    if len(figures.usage) < 2:
        return
    yield head("WHAT RUNS TAKE", f"  medians, {figures.period}")
    table = grid("", *["" for _ in _USAGE_HEAD])
    table.add_row("", *(Text(name, "dim") for name in ("", *_USAGE_HEAD)))
    for used in figures.usage:
        medians = used.medians
        table.add_row(
            "",
            Text(safe_line(f"{used.worker} {used.model}", 60)),
            f"{used.runs:>5,}",
            "-" if medians.seconds is None else span(medians.seconds),
            "-" if medians.turns is None else f"{medians.turns:>4,}",
            dollars(medians.cost_usd),
            dollars(used.spend_usd) if used.unpriced < used.runs else "unknown",
        )
    yield table
    yield Text()


def _causes(figures: Figures) -> Iterator[Text | Table]:
    if not figures.causes:
        return
    yield head("WHY RUNS FAILED", f"  {figures.period}")
    table = grid("", "red", "")
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
        yield head("MEDIAN RUN: ", f"{span(medians.seconds)}{turns}{cost}  ({report.figures.period})")
    spent, ceiling = report.spent_today_usd, report.ceiling_usd
    text = dollars(spent)
    if spent is not None and ceiling:
        text += f" of {dollars(ceiling)} ({percent(spent / ceiling)})"
    yield head("SPENT TODAY: ", text)
    if report.figures.unpriced:
        yield Text(
            f"  the price of {plural(report.figures.unpriced, 'run')} is unknown and in no sum", "yellow"
        )


def _pulls(pulls: PullCounts) -> Iterator[Text]:
    if not pulls.states:
        yield head("PULL REQUESTS: ", "none yet")
        return
    asked = (
        "not asked yet: --refresh" if pulls.asked_at is None else f"as of {pulls.asked_at:%Y-%m-%d %H:%M} UTC"
    )
    yield head("PULL REQUESTS: ", f"{_counts(pulls)}  ({asked})")
    wait = "" if pulls.seconds_to_merge is None else f", merged after {span(pulls.seconds_to_merge)} (median)"
    cost = (
        "" if pulls.usd_per_merged is None else f", {dollars(pulls.usd_per_merged)} per merged pull request"
    )
    if pulls.share_merged is not None:
        yield Text(f"  {percent(pulls.share_merged)} of those decided were merged{wait}{cost}")
    for name, figures in follow_ups(pulls):
        yield Text(f"  {name}: {figures}")
    if pulls.problem:
        yield Text(f"  {safe_line(pulls.problem, 300)}", "yellow")


def _counts(pulls: PullCounts) -> str:
    states = ("merged", "open", "closed", "reverted", "gone")
    return ", ".join(f"{count} {state}" for state in states if (count := getattr(pulls, state)))


def _services(report: Report) -> Iterator[Text]:
    for service in report.services:
        text = head(f"{safe_line(service.name, 60).upper()}: ")
        text.append("up" if service.is_up else "down", _STATE_STYLES[service.is_up])
        yield text.append(f"  {' '.join(filter(None, [service.url, safe_line(service.said, 400)]))}", "dim")
    for model in report.health.models:
        if model.kind is not None:
            since = ago(model.since or model.asked_at, report.made_at)
            text = Text.assemble((f"  {safe_line(model.name, 60)} refuses", "red"), f" since {since}: ")
            yield text.append(safe_line(model.reason, 200), "dim")


def _workspaces(report: Report) -> Iterator[Text]:
    found = report.workspaces
    if found.all:
        newest = ", ".join(found.all[:_WORKSPACES_NAMED])
        yield head(
            "WORKSPACES: ",
            f"{len(found.all)} in {found.folder}, {len(found.in_use)} in use; newest: {newest}",
        )
