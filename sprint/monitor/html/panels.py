"""The report's charts, each with what it says in words and as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from sprint.domain import Verdict
from sprint.monitor.figures import VERDICTS, Cause, Day, Figures, PullCounts, Report, Tally
from sprint.monitor.html import charts
from sprint.monitor.html.charts import About, Axis, Series
from sprint.monitor.html.page import label, moment, percent
from sprint.monitor.tally import PERIOD
from sprint.monitor.units import dollars, plural

_DAYS, _MOST_DAYS = 30, 90
_RATE_DAYS = 7
_CAUSES_SHOWN = 10
_FAILURES_APART = 3
_OTHERS = "others"
_NEAR_CEILING = 0.4
_NOTHING = Day("", {}, Tally(), 0.0, 0)
_PASSED = [outcome for outcome, verdict in VERDICTS.items() if verdict is Verdict.PASSED]
_PASSED_COLOURS = {outcome: f"c-p{min(at, 4)}" for at, outcome in enumerate(_PASSED, 1)}
_STATE_COLOURS = {
    "merged": "c-p1",
    "open": "c-accent",
    "closed": "c-n1",
    "reverted": "c-f1",
    "gone": "c-n2",
}


@dataclass(frozen=True)
class Key:
    """One entry of a legend; `count` as it is shown."""

    name: str
    colour: str
    count: str = ""


@dataclass(frozen=True)
class Panel:
    """A chart with its headline and its numbers; `svg` "" where there is nothing to draw.

    `links`: for each row what of the list of all runs it counts, as a fragment of that page's address.
    """

    key: str
    title: str
    lead: str
    note: str
    svg: Any
    legend: tuple[Key, ...]
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    links: tuple[str, ...] = ()


def panels(report: Report) -> tuple[Panel, ...]:
    """The charts there are, in the page's order."""
    stretch = _stretch(report.figures)
    return (
        _runs(stretch),
        _rate(stretch, report.figures),
        _spend(stretch, report.ceiling_usd),
        *([_causes(report.figures)] if report.figures.causes else []),
        _pulls(report.pulls),
    )


@dataclass(frozen=True)
class _Stretch:
    """Days without a gap, the oldest first."""

    dates: tuple[date, ...]
    days: tuple[Day, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(f"{day.day} {day:%b}" for day in self.dates)

    @property
    def name(self) -> str:
        return f"{plural(len(self.days), 'day')} to {self.labels[-1]}"

    def table(self, cells: Callable[[date, Day], tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
        """A row for each day with runs, the newest first."""
        return tuple(
            (day.isoformat(), *cells(day, of_day))
            for day, of_day in zip(reversed(self.dates), reversed(self.days), strict=True)
            if of_day.outcomes
        )


def _stretch(figures: Figures) -> _Stretch:
    last = figures.made_at.date()
    count = _DAYS
    if figures.since is not None:
        count = min(max((last - figures.since.date()).days + 1, 2), _MOST_DAYS)
    dates = tuple(last - timedelta(days=back) for back in reversed(range(count)))
    by_date = {day.day: day for day in figures.days}
    return _Stretch(dates, tuple(by_date.get(day.isoformat(), _NOTHING) for day in dates))


def _runs(stretch: _Stretch) -> Panel:
    counts: Counter[str] = Counter()
    for day in stretch.days:
        counts.update(day.outcomes)
    layers = _layers(counts)
    series = [
        Series(layer.name, layer.colour, [layer.count(day.outcomes) for day in stretch.days])
        for layer in layers
    ]
    total = sum((day.total for day in stretch.days), Tally())
    text = f"{total.passed} passed, {total.failed} failed, {total.neither} neither"
    highest = max((day.total.runs for day in stretch.days), default=0)
    about = About("runs", f"Runs per day by outcome, {stretch.name}", text, "{:.0f}")
    return Panel(
        key="runs",
        title="Runs per day",
        lead=plural(total.runs, "run"),
        note=f"{text}; {stretch.name}",
        svg=charts.columns(about, stretch.labels, series, charts.axis(highest, whole=True)) if series else "",
        legend=tuple(Key(layer.name, layer.colour, f"{layer.count(counts):,}") for layer in layers),
        head=("Day", *(layer.name for layer in layers)),
        rows=stretch.table(lambda _, day: tuple(str(layer.count(day.outcomes)) for layer in layers)),
    )


@dataclass(frozen=True)
class _Layer:
    """One colour of the columns, and the outcomes in it."""

    name: str
    colour: str
    outcomes: tuple[str, ...]

    def count(self, counts: Mapping[str, int]) -> int:
        return sum(counts.get(outcome, 0) for outcome in self.outcomes)


def _layers(counts: Mapping[str, int]) -> list[_Layer]:
    """Passed below, neither between, failed on top; the rare failures share a layer."""
    seen = sorted(counts, key=lambda outcome: (-counts[outcome], outcome))
    failed = [outcome for outcome in seen if VERDICTS[outcome] is Verdict.FAILED]
    neither = tuple(outcome for outcome in seen if VERDICTS[outcome] is Verdict.NEITHER)
    rest = tuple(failed[_FAILURES_APART:])
    layers = [
        *(_Layer(label(name), colour, (name,)) for name, colour in _PASSED_COLOURS.items()),
        _Layer("neither", "c-n1", neither),
        *(_Layer(label(name), f"c-f{at}", (name,)) for at, name in enumerate(failed[:_FAILURES_APART], 1)),
        _Layer("other failures", "c-f4", rest),
    ]
    return [layer for layer in layers if layer.count(counts)]


def _rate(stretch: _Stretch, figures: Figures) -> Panel:
    by_date = {day.day: day.total for day in figures.days}
    until_now = [window.total for window in figures.windows if window.hours == 24 * _RATE_DAYS]

    def lately(day: date) -> Tally:
        if until_now and day == stretch.dates[-1]:  # today is not over
            return until_now[0]
        dates = ((day - timedelta(days=back)).isoformat() for back in range(_RATE_DAYS))
        return sum((by_date.get(name, Tally()) for name in dates), Tally())

    rates = [lately(day).pass_rate for day in stretch.dates]
    known = [rate for rate in rates if rate is not None]
    about = About(
        "rate",
        f"Pass rate over time, {stretch.name}",
        f"From {percent(known[0])} to {percent(known[-1])}, between {percent(min(known))} "
        f"and {percent(max(known))}"
        if known
        else "no run passed or failed",
        "{:.0%}",
    )
    scale = Axis(1.0, {0.0: "0%", 0.25: "25%", 0.5: "50%", 0.75: "75%", 1.0: "100%"})
    line = Series("of runs passed", "c-p1", rates)
    return Panel(
        key="rate",
        title="Pass rate",
        lead=percent(known[-1]) if known else "",
        note=f"passed of those that passed or failed, in the {_RATE_DAYS} days up to each day",
        svg=charts.line(about, stretch.labels, [line], scale) if known else "",
        legend=(),
        head=("Day", "Passed", "Judged", "That day", f"{_RATE_DAYS} days"),
        rows=stretch.table(
            lambda date_, day: (
                str(day.total.passed),
                str(day.total.passed + day.total.failed),
                percent(day.total.pass_rate),
                percent(lately(date_).pass_rate),
            )
        ),
    )


def _spend(stretch: _Stretch, ceiling: float | None) -> Panel:
    spent = [day.spend_usd for day in stretch.days]
    total, highest = sum(spent), max(spent)
    unpriced = sum(day.unpriced for day in stretch.days)
    note = f"{stretch.name}, {dollars(total / len(spent))} a day"
    if ceiling:
        note += f"; the ceiling is {dollars(ceiling)} a day"
    if unpriced:
        note += f"; the price of {plural(unpriced, 'run')} is unknown and in no sum"
    about = About("spend", f"Spend per day, {stretch.name}", f"{dollars(total)} in all, {note}", "${:,.2f}")
    return Panel(
        key="spend",
        title="Spend per day",
        lead=dollars(total),
        note=note,
        svg=charts.columns(
            about, stretch.labels, [Series("", "c-spend", spent)], _dollars_axis(highest, ceiling)
        )
        if total
        else "",
        legend=(),
        head=("Day", "Spent", "Runs", "Price unknown"),
        rows=stretch.table(lambda _, day: (dollars(day.spend_usd), str(day.total.runs), str(day.unpriced))),
    )


def _dollars_axis(highest: float, ceiling: float | None) -> Axis:
    """With a line at the ceiling, where it is near enough to be seen with the rest."""
    places = 0 if highest > 4 else 2 if highest >= 0.1 else 4
    scale = charts.axis(highest, f"${{:,.{places}f}}")
    if not ceiling or not highest >= _NEAR_CEILING * ceiling:
        return scale
    top = max(scale.top, ceiling * 1.05)
    ticks = {value: text for value, text in scale.ticks.items() if abs(value - ceiling) > 0.12 * top}
    return Axis(top, {**ticks, ceiling: f"max ${ceiling:,.0f}"})


def _causes(figures: Figures) -> Panel:
    counts: Counter[str] = Counter()
    for cause in figures.causes:
        counts[cause.outcome] += cause.count
    ranked = counts.most_common()
    total = sum(counts.values())
    shown = _most_frequent(figures.causes)
    since = figures.since or figures.made_at - PERIOD
    listed = ", ".join(f"{count} {label(outcome)}" for outcome, count in ranked)
    about = About("causes", f"Failed runs by outcome, {figures.period}", listed, "{:.0f}")
    series = [Series("", "c-f2", [count for _, count in ranked])]
    labels = [f"{label(outcome)}  {count:,}" for outcome, count in ranked]
    return Panel(
        key="causes",
        title="Why runs failed",
        lead=plural(total, "failure"),
        note=figures.period if figures.since else f"last {figures.period}",
        svg=charts.rows(about, labels, series, ranked[0][1]),
        legend=(),
        head=("Runs", "Outcome", "Cause"),
        rows=tuple((f"{cause.count:,}", label(cause.outcome), cause.detail) for cause in shown),
        links=tuple(_runs_of(cause, since) for cause in shown),
    )


def _runs_of(cause: Cause, since: datetime) -> str:
    if cause.outcome == _OTHERS:
        return ""
    chosen = {"outcome": label(cause.outcome), "cause": cause.detail, "since": f"{since:%Y-%m-%dT%H:%M:%SZ}"}
    return f"#{urlencode(chosen)}"


def _most_frequent(causes: Sequence[Cause]) -> list[Cause]:
    shown = list(causes[:_CAUSES_SHOWN])
    if rest := sum(cause.count for cause in causes[_CAUSES_SHOWN:]):
        shown.append(Cause(_OTHERS, "", rest))
    return shown


def _pulls(pulls: PullCounts) -> Panel:
    states = {name: getattr(pulls, name) for name in _STATE_COLOURS}
    shown = {name: count for name, count in states.items() if count}
    total = sum(shown.values())
    listed = ", ".join(f"{count} {name}" for name, count in shown.items())
    about = About("pulls", "Pull requests by state", listed, "{:.0f}")
    series = [Series(name, _STATE_COLOURS[name], [count]) for name, count in shown.items()]
    asked = f"as of {moment(pulls.asked_at)} UTC" if pulls.asked_at else "the forge was not asked yet"
    return Panel(
        key="pulls",
        title="Pull requests",
        lead=plural(total, "pull request"),
        note=f"{asked}{f'; {pulls.problem}' if pulls.problem else ''}",
        svg=charts.rows(about, [""], series, total) if total else "",
        legend=tuple(Key(name, _STATE_COLOURS[name], f"{count:,}") for name, count in shown.items()),
        head=("State", "Pull requests", "Share"),
        rows=tuple((name, f"{count:,}", percent(count / total)) for name, count in shown.items()),
    )
