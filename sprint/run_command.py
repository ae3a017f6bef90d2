"""`sprint run`: a tick for each repository asked for, one after the other or several at once."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, structs

from sprint import defects, files, health, heartbeat, logs, sharing, standing_alarms
from sprint.beside import Beside
from sprint.clean_text import safe_line
from sprint.config import Config, RepoConfig, resolve, worker_names
from sprint.domain import Phase, Run, Verdict, replace
from sprint.errors import Busy, ConfigError, ModelError, SprintError
from sprint.lock import lock, lock_path
from sprint.surroundings import Surroundings
from sprint.tick_report import TickReport, as_data, lines

if TYPE_CHECKING:
    from sprint.claim import Board
    from sprint.context import Context

_INTERRUPTED = 130
_HOUSEKEEPING_SECONDS = 3600.0
_SWEEP_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Options(Struct, frozen=True):
    """What was asked for on the command line."""

    repos: tuple[str, ...] = ()
    issue: int | None = None
    pull: int | None = None
    force: bool = False
    dry_run: bool = False
    prompt: bool = False  # which a dry run shows, too
    jobs: int = 1
    worker: str = ""  # in place of the configured one, and of what labels say
    as_json: bool = False
    by_hand: bool = False  # a person looks on
    quiet: bool = False  # and wants to see only what came of it

    @property
    def is_for_a_person(self) -> bool:
        return self.by_hand or self.issue is not None or self.pull is not None

    def asks_for(self, run: Run) -> bool:
        if self.pull is not None:
            return run.is_follow_up and run.pr_number == self.pull
        return run.issue == self.issue


def run_command(config: Config, options: Options, around: Surroundings) -> int:
    """Do it and print what became of it; returns the exit code. One repository's failure stops no other."""
    options = _named(config, options)
    wanted = _wanted(config, options)
    shared = sharing.of(config, around)  # first, for what a fleet lacks is to be told before a forge is asked
    if not options.dry_run:
        files.check_folder(config.paths.results)
        if options.is_for_a_person:
            health.ask_again(config.paths.results)
    stopping = threading.Event()

    def one(repo: RepoConfig) -> int:
        with logs.about(repo.name):
            return _one(config, repo, options, around, stopping)

    with _looked_on(config, options):
        if options.jobs == 1 or len(wanted) == 1:
            codes = _in_turn(one, wanted)
        else:
            codes = _at_once(one, wanted, options.jobs, stopping)
    if not options.dry_run:
        _keep_house(config, around)
        shared.ship()
    return max(codes)


def _keep_house(config: Config, around: Surroundings) -> None:
    """Where a run began since the last time, or an hour went by: remove what is old, ask for pulls."""
    done = config.paths.cache / "housekeeping"
    with contextlib.suppress(FileNotFoundError):
        last = done.stat().st_mtime
        runs = config.paths.results / "runs"
        has_run = runs.exists() and runs.stat().st_mtime >= last
        if not has_run and 0 <= time.time() - last < _HOUSEKEEPING_SECONDS:
            return
    from sprint.monitor.pull_refresh import refresh_if_due
    from sprint.retention import sweep

    started = time.monotonic()
    sweep(config, seconds=_SWEEP_SECONDS)
    is_swept = time.monotonic() - started < _SWEEP_SECONDS
    refresh_if_due(config, around)
    if not is_swept:
        return  # the next tick goes on with it
    files.make_folder(done.parent)
    with files.refusing("write", done):
        done.touch(mode=0o600)


def _looked_on(config: Config, options: Options) -> contextlib.AbstractContextManager[None]:
    """What happens is shown as it happens where a person looks on, or asked for one issue; never to cron."""
    if not options.is_for_a_person or options.quiet or options.as_json or options.dry_run:
        return contextlib.nullcontext()
    from sprint.view.onlooker import looking_on

    return looking_on(config.paths.results, sys.stderr)


def _named(config: Config, options: Options) -> Options:
    """An issue may also be named in the repository's place: OWNER/REPO#N, or its address."""
    if not any("#" in name or "://" in name for name in options.repos):
        return options
    from sprint import references

    found = [references.issue(config, name) for name in options.repos]
    if not any(found):
        return options
    (one, *others) = found
    if others or one is None or options.issue not in (None, one.number):
        raise ConfigError("an issue goes alone: one OWNER/REPO#N or its address, without --issue")
    return replace(options, repos=(one.repo_name,), issue=one.number)


def _wanted(config: Config, options: Options) -> Sequence[RepoConfig]:
    for name, value in (("--issue", options.issue), ("--pr", options.pull)):
        if value is not None and len(options.repos) != 1:
            raise ConfigError(f"{name} goes with exactly one OWNER/REPO")
    if options.issue is not None and options.pull is not None:
        raise ConfigError("--pr goes without --issue")
    wanted = [resolve(config, name) for name in options.repos] or list(config.repos)
    if not wanted:
        raise ConfigError(
            "no repository: name one as OWNER/REPO, or list some under repos: in a sprint.yaml; "
            "`sprint init` writes one"
        )
    return [_with_worker(config, repo, options.worker) for repo in wanted] if options.worker else wanted


def _with_worker(config: Config, repo: RepoConfig, name: str) -> RepoConfig:
    if config.worker(name) is None:
        names = worker_names(config.workers)
        raise ConfigError(f"--worker: no worker is called {name!r}; there are {names}")
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
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="tick") as pool:
        futures = [pool.submit(one, repo) for repo in wanted]
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
    around: Surroundings,
    stopping: threading.Event,
) -> int:
    """One repository's tick, its line of output and its heartbeat; returns its exit code."""
    try:
        if options.dry_run:
            return _preview(config, repo, options, around)
        with lock(lock_path(config.paths.cache, repo.forge, repo.name)):
            report = _ticked(config, repo, options, around, stopping)
    except Busy as error:
        heartbeat.beat(config.paths.results, repo.forge, repo.name, "busy", exit_code=None)
        again = "" if options.issue is None else "; try again when it is over"
        says = f"{repo.name}: another sprint is at work there: {error}{again}"
        _say(options, {"repo": repo.name, "idle": str(error)}, says)
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
    runs = (*(() if report.idle else report.waiting), *report.settled, *filter(None, [report.run]))
    what = runs[-1].id if runs else f"idle: {report.idle}"
    heartbeat.beat(config.paths.results, repo.forge, repo.name, what)
    return _exit_code(report, options)


def _ticked(
    config: Config, repo: RepoConfig, options: Options, around: Surroundings, stopping: threading.Event
) -> TickReport:
    """Each import is as dear as a request, and comes where it is known to be needed."""
    from sprint import first_look

    seen = first_look.look(config, repo, around)
    ahead = first_look.ahead(config, repo, seen.repository, around)
    if (idle := ahead.idle) and not repo.dashboard:
        return TickReport(seen.repository.name, idle=idle)
    from sprint.context import open_context

    context = open_context(config, repo, around, seen=seen, stopping=stopping)
    if idle:
        report = TickReport(seen.repository.name, idle=idle)
    else:
        early = Beside(context.claims.board) if ahead.begins_with_picking else None
        report = _worked(context, options, early)
    if repo.dashboard and options.issue is None and options.pull is None:
        from sprint import dashboard

        dashboard.keep(context, report)
    return report


def _worked(context: Context, options: Options, claims: Beside[Board] | None) -> TickReport:
    """Importing the rest takes as long as reading the claims."""
    try:
        from sprint.tick import tick

        return tick(
            context,
            only=options.issue,
            pull=options.pull,
            force=options.force,
            by_hand=options.by_hand,
            early=claims,
        )
    finally:
        if claims:
            claims.stop()


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
    known = health.read(config.paths.results).models if isinstance(error, ModelError) else ()
    models = health.in_use(config, known)
    keys = [standing_alarms.model_key(model.name) for model in models if model.kind is not None]
    return keys or [standing_alarms.ticks_key(repo.forge, repo.name)]


def _tell(config: Config, repo: RepoConfig, options: Options, text: str, alarms: Sequence[str]) -> None:
    """On stderr, which cron mails, what began with this tick or lasted another day; else on stdout."""
    results, now = config.paths.results, datetime.now(UTC)
    due = [options.dry_run or standing_alarms.alarm_due(results, key, text, now) for key in alarms]
    if any(due) or options.by_hand or options.issue is not None:
        _log.error("%s", text)
    elif not options.as_json:
        _say(options, {}, f"{repo.name}: {safe_line(text.removeprefix(f'{repo.name}: '), 500)}")


def _preview(config: Config, repo: RepoConfig, options: Options, around: Surroundings) -> int:
    from sprint.context import open_context
    from sprint.preview import preview

    with tempfile.TemporaryDirectory(prefix="sprint-dry-run-") as scratch:
        context = open_context(config, repo, around, cache=Path(scratch))
        seen = preview(
            context, only=options.issue, force=options.force, pull=options.pull, with_prompt=options.prompt
        )
    _say(options, seen.as_data(), seen.as_text())
    return 1 if options.issue is not None and seen.pick.issue is None else 0


def _exit_code(report: TickReport, options: Options) -> int:
    if options.issue is None and options.pull is None:
        return 0
    known = (*report.settled, *report.waiting, report.run)
    own = [run for run in known if run and options.asks_for(run)]
    if options.pull is not None and not own:
        return 0  # there was nothing to do about it
    if not own or own[-1].phase is not Phase.SETTLED:
        return 0 if own else 1  # a detached worker is at it
    outcome = own[-1].outcome
    return 1 if outcome is None or outcome.verdict is Verdict.FAILED else 0


def _say(options: Options, data: Mapping[str, Any], text: str) -> None:
    with logs.aside():
        print(json.dumps(data) if options.as_json else text, flush=True)  # noqa: T201
