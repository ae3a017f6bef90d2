"""`sprint run`: a tick for each repository asked for, one after the other or several at once."""

from __future__ import annotations

import json
import logging
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import structs

from sprint import defects, files, health, heartbeat, logs, standing_alarms
from sprint.clean_text import safe_line
from sprint.config import Config, RepoConfig, resolve
from sprint.context import open_context
from sprint.domain import Phase, Run, Verdict
from sprint.errors import Busy, ConfigError, ModelError, SprintError
from sprint.lock import lock
from sprint.monitor.pull_refresh import refresh_if_due
from sprint.retention import sweep
from sprint.tick import TickReport, lock_path, tick

_INTERRUPTED = 130
_SHOWN = 10  # issues passed over, of which a tick speaks without being asked

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line."""

    repos: tuple[str, ...] = ()
    issue: int | None = None
    force: bool = False
    dry_run: bool = False
    jobs: int = 1
    worker: str = ""  # in place of the configured one, and of what labels say
    as_json: bool = False
    by_hand: bool = False  # a person looks on


def run_command(config: Config, options: Options, environ: Mapping[str, str], home: Path) -> int:
    """Do it and print what became of it; returns the exit code. One repository's failure stops no other."""
    wanted = _wanted(config, options)
    if not options.dry_run:
        files.check_folder(config.paths.results)
    stopping = threading.Event()

    def one(repo: RepoConfig) -> int:
        with logs.about(repo.name):
            return _one(config, repo, options, environ, home, stopping)

    if options.jobs == 1 or len(wanted) == 1:
        codes = _in_turn(one, wanted)
    else:
        codes = _at_once(one, wanted, options.jobs, stopping)
    if not options.dry_run:
        sweep(config)
        refresh_if_due(config, environ, home)
    return max(codes)


def _wanted(config: Config, options: Options) -> Sequence[RepoConfig]:
    if options.issue is not None and len(options.repos) != 1:
        raise ConfigError("--issue goes with exactly one OWNER/REPO")
    wanted = [resolve(config, name) for name in options.repos] or list(config.repos)
    if not wanted:
        raise ConfigError("no repository: name one as OWNER/REPO, or list some under repos: in sprint.yaml")
    return [_with_worker(config, repo, options.worker) for repo in wanted] if options.worker else wanted


def _with_worker(config: Config, repo: RepoConfig, name: str) -> RepoConfig:
    if name not in config.workers:
        raise ConfigError(f"--worker: no worker is called {name!r}; there are {', '.join(config.workers)}")
    return structs.replace(repo, worker=name, pick=structs.replace(repo.pick, worker_labels=False))


def _in_turn(one: Callable[[RepoConfig], int], wanted: Sequence[RepoConfig]) -> list[int]:
    codes = []
    for repo in wanted:
        codes.append(one(repo))
        if codes[-1] == _INTERRUPTED:  # the others were meant as well
            break
    return codes


def _at_once(
    one: Callable[[RepoConfig], int], wanted: Sequence[RepoConfig], jobs: int, stopping: threading.Event
) -> list[int]:
    with ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="tick") as pool:
        futures: list[Future[int]] = [pool.submit(one, repo) for repo in wanted]
        try:
            return [future.result() for future in futures]
        except KeyboardInterrupt:
            stopping.set()
            pool.shutdown(cancel_futures=True)
            raise


def _one(
    config: Config,
    repo: RepoConfig,
    options: Options,
    environ: Mapping[str, str],
    home: Path,
    stopping: threading.Event,
) -> int:
    """One repository's tick, its line of output and its heartbeat; returns its exit code."""
    try:
        if options.dry_run:
            return _preview(config, repo, options, environ, home)
        with lock(lock_path(config.paths.cache, repo.forge, repo.name)):
            context = open_context(config, repo, environ, home, stopping=stopping)
            report = tick(context, only=options.issue, force=options.force, by_hand=options.by_hand)
    except Busy as error:
        heartbeat.beat(config.paths.results, repo.forge, repo.name, "busy", exit_code=None)
        _say(options, {"repo": repo.name, "idle": str(error)}, f"{repo.name}: {error}")
        return 1 if options.issue is not None else 0
    except SprintError as error:
        return _failed(config, repo, options, error)
    except KeyboardInterrupt:
        _beat_failed(config, repo, options, _INTERRUPTED, "interrupted")
        raise
    except Exception as error:  # noqa: BLE001 - it stops no other repository
        _beat_failed(config, repo, options, defects.EXIT_CODE, f"error: {type(error).__name__}")
        key = standing_alarms.ticks_key(repo.forge, repo.name)
        return defects.tell(error, lambda text: _tell(config, repo, options, text, [key]))
    _say(options, as_data(report), "\n".join(lines(report)))
    if report.trouble is not None:
        return _failed(config, repo, options, report.trouble)
    what = report.run.id if report.run else f"idle: {report.idle}"
    heartbeat.beat(config.paths.results, repo.forge, repo.name, what)
    return _exit_code(report, options)


def _failed(config: Config, repo: RepoConfig, options: Options, error: SprintError) -> int:
    _beat_failed(config, repo, options, error.exit_code, f"error: {error}")
    _tell(config, repo, options, str(error), _alarms_of(config, repo, error))
    _log.debug("where it came from", exc_info=error)
    if options.as_json:
        _say(options, {"repo": repo.name, "error": str(error), "exit_code": error.exit_code}, "")
    return error.exit_code


def _beat_failed(config: Config, repo: RepoConfig, options: Options, exit_code: int, outcome: str) -> None:
    if not options.dry_run:
        heartbeat.beat(config.paths.results, repo.forge, repo.name, outcome, exit_code=exit_code)


def _alarms_of(config: Config, repo: RepoConfig, error: SprintError) -> list[str]:
    """The keys of the monitor's alarms for what a tick failed of: a model that refuses is one for all."""
    models = health.read(config.paths.results).models if isinstance(error, ModelError) else ()
    keys = [standing_alarms.model_key(model.name) for model in models if model.kind is not None]
    return keys or [standing_alarms.ticks_key(repo.forge, repo.name)]


def _tell(config: Config, repo: RepoConfig, options: Options, text: str, alarms: Sequence[str]) -> None:
    """On stderr, which cron mails, what began with this tick or lasted another day; else on stdout."""
    results, now = config.paths.results, datetime.now(UTC)
    due = [options.dry_run or standing_alarms.alarm_due(results, key, text, now) for key in alarms]
    if any(due) or options.by_hand or options.issue is not None:
        _log.error("%s", text)
    elif not options.as_json:
        _say(options, {}, f"{repo.name}: {safe_line(text, 500)}")


def _preview(
    config: Config, repo: RepoConfig, options: Options, environ: Mapping[str, str], home: Path
) -> int:
    from sprint.preview import preview

    with tempfile.TemporaryDirectory(prefix="sprint-dry-run-") as scratch:
        context = open_context(config, repo, environ, home, cache=Path(scratch))
        seen = preview(context, only=options.issue, force=options.force)
    _say(options, seen.as_data(), seen.as_text())
    return 1 if options.issue is not None and seen.pick.issue is None else 0


def _exit_code(report: TickReport, options: Options) -> int:
    if options.issue is None:
        return 0
    known = (*report.settled, *report.waiting, report.run)
    own = [run for run in known if run and run.issue == options.issue]
    if not own or own[-1].phase is not Phase.SETTLED:
        return 0 if own else 1  # a detached worker is at it
    outcome = own[-1].outcome
    return 1 if outcome is None or outcome.verdict is Verdict.FAILED else 0


def lines(report: TickReport) -> list[str]:
    """What a tick did, a line for each run that it brought to an end."""
    said = [line_of(run) for run in (*report.settled, *report.waiting)]
    if report.run and report.run not in report.waiting:
        said.append(line_of(report.run))
    if report.idle:
        said.append(f"{report.repo}: {safe_line(report.idle)}")
    said += [
        f"  passed over #{p.number} {safe_line(p.title)}: {safe_line(p.reason)}"
        for p in report.passed_over[:_SHOWN]
    ]
    if len(report.passed_over) > _SHOWN:
        said.append(f"  and {len(report.passed_over) - _SHOWN} more; --dry-run tells why")
    return said


def line_of(run: Run) -> str:
    outcome = run.outcome or (f"rests: {safe_line(run.paused_why)}" if run.paused_since else run.phase)
    what = f"{run.repo} #{run.issue} {safe_line(run.title)}: {outcome}"
    return " ".join(filter(None, [what, run.pr_url, f"({safe_line(run.detail)})" if run.detail else ""]))


def as_data(report: TickReport) -> dict[str, Any]:
    """A tick for programs: the shape that `--json` prints, one object a line."""

    def data(run: Run) -> dict[str, Any]:
        return {
            "run_id": run.id,
            "issue": run.issue,
            "title": run.title,
            "attempt": run.attempt,
            "outcome": run.outcome,
            "phase": run.phase,
            "pr_url": run.pr_url,
            "branch": run.branch,
            "detail": run.detail,
        }

    return {
        "repo": report.repo,
        "run": data(report.run) if report.run else None,
        "settled": [data(run) for run in report.settled],
        "waiting": [data(run) for run in report.waiting],
        "idle": report.idle,
        "passed_over": [
            {"number": p.number, "title": p.title, "reason": p.reason} for p in report.passed_over
        ],
    }


def _say(options: Options, data: Mapping[str, Any], text: str) -> None:
    print(json.dumps(data) if options.as_json else text, flush=True)  # noqa: T201
