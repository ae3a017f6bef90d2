"""The report for programs: one JSON object, `"schema": 1`.

Keys are only ever added within a schema; whatever is taken away or changes its meaning makes a new number.
Times are ISO 8601 in UTC, money is dollars, lengths of time are seconds, rates go from 0 to 1, and null means
unknown. The definitions of all figures are in figures.py. The object's keys:

- `schema`, `made_at`, `since` (null: all time), `results`
- `alarms`: `[{key, text}]`
- `active`: `[{run_id, forge, repo, issue, title, issue_url, phase, host, worker, started_at, deadline,
  seconds, is_stuck, environment}]`
- `repos`: `[{forge, repo, last_six: TALLY, latest: RUN|null, latest_title, failures_in_a_row, open_issues,
  open_issues_note, ticked_at, tick_outcome, interval_s, is_late}]`
- `windows`: `[{name, hours, total: TALLY, by_repo: {name: TALLY}, by_worker, by_model,
  by_outcome: {name: N}}]`
- `days`: `[{day, outcomes: {name: N}, total: TALLY, spend_usd, unpriced}]`
- `causes`: `[{outcome, detail, count}]`; `period`: what causes and medians are over
- `medians`: `{seconds, turns, cost_usd}`
- `spend`: `{usd, unpriced_runs, today_usd, ceiling_usd}`
- `fates`: `{asked_at, problem, open, merged, closed, reverted, gone, share_merged, seconds_to_merge,
  usd_per_merged, states: {pr_url: state}}`
- `services`: `[{name, url, is_up, said}]`
- `latest`: `[RUN]`, the newest first
- `ledger`: `{rows, old_rows, future_rows, bad_lines, bad_examples: [{number, text, reason}], unreadable}`

TALLY is `{passed, failed, neither, pass_rate}`. RUN is a row of the ledger by its columns; a row of the
system before has `finished_at`, `repo`, `issue` and `exit_code` only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from sprint.monitor.figures import Report, RepoStatus, Tally, Window

SCHEMA = 1


def dumps(report: Report, *, indent: int | None = 2) -> str:
    return json.dumps(as_data(report), indent=indent)


def as_data(report: Report) -> dict[str, Any]:
    """The object described above, of plain values."""
    figures, fates = report.figures, report.fates
    data = {
        "schema": SCHEMA,
        "made_at": report.made_at,
        "since": figures.since,
        "results": report.results,
        "alarms": report.alarms,
        "active": report.active,
        "repos": [_repo(repo) for repo in report.repos],
        "windows": [_window(window) for window in figures.windows],
        "days": [
            {
                "day": day.day,
                "outcomes": day.outcomes,
                "total": _tally(day.tally),
                "spend_usd": day.spend_usd,
                "unpriced": day.unpriced,
            }
            for day in figures.days
        ],
        "causes": figures.causes,
        "period": figures.period,
        "medians": figures.medians,
        "spend": {
            "usd": figures.spend_usd,
            "unpriced_runs": figures.unpriced,
            "today_usd": report.spent_today_usd,
            "ceiling_usd": report.ceiling_usd,
        },
        "fates": {**msgspec.to_builtins(fates), "share_merged": fates.share_merged},
        "services": report.services,
        "latest": figures.latest,
        "ledger": {
            "rows": figures.rows,
            "old_rows": figures.old_rows,
            "future_rows": figures.future_rows,
            "bad_lines": figures.bad_lines,
            "bad_examples": figures.bad_examples,
            "unreadable": figures.unreadable,
        },
    }
    plain: dict[str, Any] = msgspec.to_builtins(data)
    return plain


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "passed": tally.passed,
        "failed": tally.failed,
        "neither": tally.neither,
        "pass_rate": tally.pass_rate,
    }


def _tallies(tallies: Mapping[str, Tally]) -> dict[str, Any]:
    return {name: _tally(tally) for name, tally in tallies.items()}


def _window(window: Window) -> dict[str, Any]:
    return {
        "name": window.name,
        "hours": window.hours,
        "total": _tally(window.total),
        "by_repo": _tallies(window.by_repo),
        "by_worker": _tallies(window.by_worker),
        "by_model": _tallies(window.by_model),
        "by_outcome": window.by_outcome,
    }


def _repo(repo: RepoStatus) -> dict[str, Any]:
    return {
        "forge": repo.forge,
        "repo": repo.repo,
        "last_six": _tally(repo.last_six),
        "latest": repo.last[0] if repo.last else None,
        "latest_title": repo.latest_title,
        "failures_in_a_row": repo.failures_in_a_row,
        "open_issues": repo.open_issues,
        "open_issues_note": repo.open_issues_note,
        "ticked_at": repo.ticked_at,
        "tick_outcome": repo.tick_outcome,
        "interval_s": repo.interval_seconds,
        "is_late": repo.is_late,
    }
