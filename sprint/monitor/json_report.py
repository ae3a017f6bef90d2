"""The report for programs: one JSON object, `"schema": 1`.

Keys are only ever added within a schema; whatever is taken away or changes its meaning makes a new number.
Times are ISO 8601 in UTC, money is dollars, lengths of time are seconds, rates go from 0 to 1, and null means
unknown. The definitions of all figures are in figures.py. The object's keys:

- `schema`, `made_at`, `since` (null: all time), `results`
- `alarms`: `[{key, text}]`
- `active`: `[{run_id, forge, repo, issue, title, issue_url, phase, host, worker, started_at, deadline,
  seconds, is_stuck, environment, purpose, round, paused_since, paused_why, pauses}]`
- `repos`: `[{forge, repo, last_six: TALLY, last: [RUN], latest: RUN|null, latest_title, failures_in_a_row,
  open_issues, open_issues_note, ticked_at, tick_outcome, interval_s, is_late, is_watched, exit_code,
  failed_ticks, failing_since, latest_id, latest_pauses}]`
- `windows`: `[{name, hours, total: TALLY, by_repo: {name: TALLY}, by_worker, by_model,
  by_outcome: {name: N}, by_proof: {name: N}}]`
- `days`: `[{day, outcomes: {name: N}, total: TALLY, spend_usd, unpriced}]`
- `causes`: `[{outcome, detail, count}]`; `period`: what causes and medians are over
- `medians`: `{seconds, turns, cost_usd}`
- `usage`: `[{worker, model, runs, medians, spend_usd, unpriced}]` over the same period
- `spend`: `{usd, unpriced_runs, today_usd, ceiling_usd}`
- `health`: `{models: [{key, name, asked_at, until, kind, reason, since, refusals}], repositories: [{forge,
  repo, kind, reason, since, noted_at, until, blocks, issues, base_sha, config_hash}]}`
- `workspaces`: `{folder, all: [NAME], in_use: [NAME]}`
- `fates`: `{asked_at, problem, open, merged, closed, reverted, gone, share_merged, seconds_to_merge,
  usd_per_merged, states: {pr_url: state}, merged_after: {follow-ups: N}, merged_reviewed, merged_unseen,
  rounds: {pr_url: N}, triggers: {trigger: N}}`: what became of the pull requests, and of their follow-ups
- `services`: `[{name, url, is_up, said}]`
- `hosts`: `[{id, name, version, seen_at, has_worker, jobs, repos, worker_id, is_drained}]`, of a fleet: whose
  figures these are; `fleet_problem`: why they are not the newest
- `latest`: `[RUN]`, the newest first; `asking`: `[RUN]`, the newest five of `asking_count`
  whose question is open
- `ledger`: `{rows, old_rows, future_rows, bad_lines, bad_examples: [{number, text, reason}], unreadable}`

TALLY is `{passed, failed, neither, unproven, pass_rate, pass_rate_without_unproven}`: `unproven` of those
that passed handed in work that no check proved. RUN is a row of the ledger by its columns; a row of the
system before has `finished_at`, `repo`, `issue` and `exit_code` only.
"""

from __future__ import annotations

import msgspec

from sprint.monitor.figures import Report

SCHEMA = 1


def dumps(report: Report, *, indent: int = 2) -> str:
    """The object described above; on one line with `indent` 0."""
    figures = report.figures
    data = {
        "schema": SCHEMA,
        "made_at": report.made_at,
        "since": figures.since,
        "results": report.results,
        "alarms": report.alarms,
        "active": report.active,
        "repos": report.repos,
        "windows": figures.windows,
        "days": figures.days,
        "causes": figures.causes,
        "period": figures.period,
        "medians": figures.medians,
        "usage": figures.usage,
        "spend": {
            "usd": figures.spend_usd,
            "unpriced_runs": figures.unpriced,
            "today_usd": report.spent_today_usd,
            "ceiling_usd": report.ceiling_usd,
        },
        "fates": report.pulls,
        "health": report.health,
        "workspaces": report.workspaces,
        "services": report.services,
        "hosts": report.hosts,
        "fleet_problem": report.fleet_problem,
        "latest": figures.latest,
        "asking": figures.asking,
        "asking_count": figures.asking_count,
        "ledger": {
            "rows": figures.rows,
            "old_rows": figures.old_rows,
            "future_rows": figures.future_rows,
            "bad_lines": figures.bad_lines,
            "bad_examples": figures.bad_examples,
            "unreadable": figures.unreadable,
        },
    }
    text = msgspec.json.encode(data)
    return (msgspec.json.format(text, indent=indent) if indent else text).decode()
