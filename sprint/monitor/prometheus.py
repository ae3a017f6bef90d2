"""The report for node_exporter's textfile collector. Runs and spend count from the ledger's beginning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from sprint import files
from sprint.clean_text import safe_line
from sprint.monitor.figures import PullCounts, Report, Window


def write(report: Report, path: Path) -> None:
    """Replace the file at once, readable for everybody: the exporter is another user. Raises SprintError."""
    files.replace(path, exposition(report), mode=0o644, durable=False)


def exposition(report: Report) -> bytes:
    return generate_latest(_Metrics(report))


_Samples = Iterable[tuple[tuple[str, ...], float]]


@dataclass(frozen=True)
class _Metrics:
    """What the library takes for a registry: it has only to be collected from."""

    report: Report

    def collect(self) -> Iterator[Metric]:
        report, figures, pulls = self.report, self.report.figures, self.report.pulls
        yield _gauge("report_timestamp_seconds", "When this was written.", report.made_at.timestamp())
        yield _gauge("ledger_readable", "1 if the ledger could be read.", float(not figures.unreadable))
        yield _gauge("ledger_bad_lines", "Lines of the ledger that are no row.", figures.bad_lines)
        yield _gauge("alarms", "Alarms there are.", len(report.alarms))
        yield _gauge("active_runs", "Runs that are not settled.", len(report.active))
        paused = sum(run.paused_since is not None for run in report.active)
        yield _gauge("paused_runs", "Runs that wait for a model, a forge or a host.", paused)
        yield _gauge("stuck_runs", "Runs past their limit.", sum(run.is_stuck for run in report.active))
        if figures.windows:
            yield from _of_windows(figures.windows)
        yield _counter("spend_dollars", "Spent on runs whose price is known.", [((), figures.spend_usd)])
        yield _counter("unpriced_runs", "Runs whose price is unknown.", [((), figures.unpriced)])
        if report.spent_today_usd is not None:
            yield _gauge("spend_today_dollars", "Spent today (UTC).", report.spent_today_usd)
        if report.ceiling_usd is not None:
            yield _gauge("spend_ceiling_dollars", "What may be spent in a day.", report.ceiling_usd)
        yield _gauges(
            "pull_requests",
            "Pull requests by what became of them.",
            ["state"],
            [((s,), getattr(pulls, s)) for s in ("open", "merged", "closed", "reverted", "gone")],
        )
        if pulls.usd_per_merged is not None:
            yield _gauge(
                "merged_pull_request_cost_dollars",
                "Spend on all runs by merged ones.",
                pulls.usd_per_merged,
            )
        yield _gauge(
            "open_questions",
            "Questions to people at issues that no run has taken up since.",
            figures.asking_count,
        )
        yield from _of_follow_ups(pulls)
        yield _gauges(
            "service_up",
            "1 if a server that the runs need answers.",
            ["service"],
            [((safe_line(service.name),), float(service.is_up)) for service in report.services],
        )
        yield from self._of_hosts()
        yield from self._of_repos()

    def _of_hosts(self) -> Iterator[Metric]:
        """Of a fleet; none where there is none."""
        if not self.report.hosts and not self.report.fleet_problem:
            return
        yield _gauge(
            "fleet_readable", "1 if the fleet's database answers.", float(not self.report.fleet_problem)
        )
        yield _gauges(
            "host_seen_timestamp_seconds",
            "When a host was seen last.",
            ["host", "id", "version"],
            [
                ((safe_line(host.name), host.id, safe_line(host.version)), host.seen_at.timestamp())
                for host in self.report.hosts
            ],
        )
        yield _gauges(
            "host_drained",
            "1 if a host takes no ticks until it is resumed.",
            ["host", "id"],
            [((safe_line(host.name), host.id), float(host.is_drained)) for host in self.report.hosts],
        )

    def _of_repos(self) -> Iterator[Metric]:
        labels = ["forge", "repo"]
        at = {(repo.forge, repo.repo): repo for repo in self.report.repos}
        yield _gauges(
            "last_tick_timestamp_seconds",
            "When a tick was seen last.",
            labels,
            [(key, repo.ticked_at.timestamp()) for key, repo in at.items() if repo.ticked_at],
        )
        yield _gauges(
            "tick_late",
            "1 if the next tick should have come.",
            labels,
            [(key, float(repo.is_late)) for key, repo in at.items() if repo.ticked_at],
        )
        yield _gauges(
            "failed_ticks_in_a_row",
            "Failed ticks since one did its job.",
            labels,
            [(key, repo.failed_ticks) for key, repo in at.items() if repo.ticked_at],
        )
        yield _gauges(
            "failures_in_a_row",
            "Failed runs since one passed.",
            labels,
            [(key, repo.failures_in_a_row) for key, repo in at.items()],
        )
        yield _gauges(
            "open_issues",
            "Open issues on the forge.",
            labels,
            [(key, repo.open_issues) for key, repo in at.items() if repo.open_issues is not None],
        )


def _of_windows(windows: tuple[Window, ...]) -> Iterator[Metric]:
    runs = windows[-1]
    yield _counter(
        "runs",
        "Finished runs by verdict.",
        [
            ((repo, verdict), getattr(tally, verdict))
            for repo, tally in runs.by_repo.items()
            for verdict in ("passed", "failed", "neither")
        ],
        ["repo", "verdict"],
    )
    yield _counter(
        "outcomes",
        "Finished runs by outcome.",
        [((outcome,), count) for outcome, count in runs.by_outcome.items()],
        ["outcome"],
    )
    rated = [(window.name, window.total.pass_rate) for window in windows]
    yield _gauges(
        "pass_ratio",
        "Passed runs of those that passed or failed.",
        ["window"],
        [((name,), rate) for name, rate in rated if rate is not None],
    )
    proven = [(window.name, window.total.pass_rate_without_unproven) for window in windows]
    yield _gauges(
        "pass_ratio_without_unproven",
        "Passed runs whose work is not unproven, of those that passed or failed.",
        ["window"],
        [((name,), rate) for name, rate in proven if rate is not None],
    )
    yield _counter(
        "proofs",
        "Finished runs that made something, by how it was proven.",
        [((proof,), count) for proof, count in runs.by_proof.items()],
        ["proof"],
    )


def _of_follow_ups(pulls: PullCounts) -> Iterator[Metric]:
    yield _counter("follow_ups", "Follow-ups pushed.", [((), sum(pulls.rounds.values()))])
    yield _counter(
        "follow_ups_begun",
        "Follow-ups begun, by what they were begun for.",
        [((safe_line(what, 40),), count) for what, count in pulls.triggers.items()],
        ["trigger"],
    )
    yield _gauges(
        "followed_pull_requests",
        "Pull requests by how many follow-ups were pushed for them.",
        ["follow_ups"],
        [((str(rounds),), count) for rounds, count in sorted(Counter(pulls.rounds.values()).items())],
    )
    yield _gauges(
        "merged_pull_requests",
        "Merged pull requests by how many follow-ups they took.",
        ["follow_ups"],
        [((str(rounds),), count) for rounds, count in pulls.merged_after.items()],
    )
    yield _gauge(
        "merged_reviewed_pull_requests",
        "Merged ones on which a person had said something before.",
        pulls.merged_reviewed,
    )
    yield _gauge(
        "merged_unseen_pull_requests", "Merged ones on which nobody but us had.", pulls.merged_unseen
    )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"sprint_{name}", text, value=value)


def _gauges(name: str, text: str, labels: list[str], samples: _Samples) -> Metric:
    family = GaugeMetricFamily(f"sprint_{name}", text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _counter(name: str, text: str, samples: _Samples, labels: list[str] | None = None) -> Metric:
    family = CounterMetricFamily(f"sprint_{name}", text, labels=labels or [])
    for values, value in samples:
        family.add_metric(values, value)
    return family
