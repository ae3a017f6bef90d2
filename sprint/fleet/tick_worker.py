"""`sprint fleet worker`: takes ticks as they are due, each in a process of its own, until it is told to stop.

Procrastinate has the loop. Around it stands what a host needs that is left alone: a database that was away is
waited for, what a killed worker left is finished as failed, what is under way on this host is brought on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import procrastinate
import psycopg
from procrastinate.exceptions import ConnectorException
from procrastinate.worker import Worker

from sprint import credentials, files, host, proc
from sprint.config import Config, RepoConfig
from sprint.domain import Secret
from sprint.errors import SprintError
from sprint.fleet import hosts, tables, ticks
from sprint.fleet.database import WATCHFUL, checked, connect, url_of
from sprint.fleet.housekeeping import Housekeeping
from sprint.logs import CRON_LOG
from sprint.surroundings import Surroundings

_POLL_SECONDS = 0.5  # a due tick has to start within two
_HEARTBEAT_SECONDS = 5.0
_LOOK_SECONDS = 5.0
_PATIENCE_SECONDS = 300.0  # with a database that is away, before the worker begins anew
_PATIENCE_AT_THE_END = 5.0
_RETRY_SECONDS = 0.5
_LONGEST_TICK = 7 * 86_400.0
_OUTPUT_CAP = 100_000  # bytes

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """`jobs` ticks at once; `only` these repositories, none for all that are configured."""

    jobs: int = 2
    only: tuple[str, ...] = ()


def work(config: Config, options: Options, around: Surroundings) -> int:
    """Take ticks until SIGTERM or Ctrl-C, which lets those under way end; a second one has them rest.

    Returns 0. Raises SprintError where the database is away or not set up when it begins.
    """
    repos = ticks.wanted(config, options.only)
    files.check_folder(config.paths.results)
    url = checked(url_of(config, around))
    with contextlib.closing(connect(url)) as database:
        tables.check(database)
    _quieten()
    with _handed_on(config, url, around) as (environ, handles):
        taker = _Taker(config, repos, options.jobs, url, around, environ, handles)
        asyncio.run(taker.run())
    return 0


def _quieten() -> None:
    """What these libraries say of a database that is away is said once, by us."""
    if not logging.getLogger().isEnabledFor(logging.DEBUG):
        logging.getLogger("procrastinate").setLevel(logging.CRITICAL)
        logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)


@contextlib.contextmanager
def _handed_on(
    config: Config, url: Secret, around: Surroundings
) -> Iterator[tuple[dict[str, str], tuple[int, ...]]]:
    """The environment and the open files that ticks get: never the URL in a variable."""
    variable = config.fleet.database_env if config.fleet else ""
    environ = {name: value for name, value in around.environ.items() if name != variable}
    if not variable:
        yield environ, ()
        return
    handle = os.memfd_create("sprint-database")
    try:
        os.fchmod(handle, 0o600)
        os.write(handle, url.reveal().encode())
        yield {**environ, credentials.DATABASE_HANDLE: str(handle)}, (handle,)
    finally:
        os.close(handle)


class _Patient(procrastinate.PsycopgConnector):
    """Asks again while the database is away: killed and started anew, it must end no worker."""

    def __init__(self, url: Secret, patience: Callable[[], float]) -> None:
        super().__init__(
            conninfo=url.reveal(),
            min_size=1,
            max_size=4,
            timeout=5.0,
            reconnect_timeout=2.0,
            kwargs={"connect_timeout": 5, "application_name": "sprint worker", **WATCHFUL},
        )
        self._patience = patience

    async def _asked(self, ask: Callable[[], Any]) -> Any:
        began = time.monotonic()
        while True:
            try:
                return await ask()
            except ConnectorException as error:
                is_away = isinstance(error.__cause__, psycopg.OperationalError)
                if not is_away or time.monotonic() > began + self._patience():
                    raise
                await asyncio.sleep(_RETRY_SECONDS)

    async def execute_query_async(self, query: Any, **arguments: Any) -> None:
        await self._asked(lambda: super(_Patient, self).execute_query_async(query, **arguments))

    async def execute_query_one_async(self, query: Any, **arguments: Any) -> dict[str, Any]:
        found: dict[str, Any] = await self._asked(
            lambda: super(_Patient, self).execute_query_one_async(query, **arguments)
        )
        return found

    async def execute_query_all_async(self, query: Any, **arguments: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self._asked(
            lambda: super(_Patient, self).execute_query_all_async(query, **arguments)
        )
        return found


class _Taker:
    """One worker process of this host."""

    def __init__(
        self,
        config: Config,
        repos: list[RepoConfig],
        jobs: int,
        url: Secret,
        around: Surroundings,
        environ: dict[str, str],
        handles: tuple[int, ...],
    ) -> None:
        self._config, self._around, self._environ, self._handles = config, around, environ, handles
        self._jobs, self._url = jobs, url
        self._repos = {hosts.key_of(repo.forge, repo.name): repo for repo in repos}
        self._host_id = host.make_id(config.paths.results)
        self._children: dict[int, int] = {}  # job to process, 0 before it has one
        self._worker: Worker | None = None
        self._stops = 0
        self._stopping = asyncio.Event()
        self._keeper = Housekeeping(config, self._repos, jobs, url, self._running)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(self._jobs + 4, thread_name_prefix="fleet"))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        self._say(
            f"host {self._host_id} takes ticks of {len(self._repos)} repositories, {self._jobs} at once; "
            "SIGTERM lets those under way end, a second one has them rest"
        )
        looking = asyncio.create_task(self._look_again_and_again())
        try:
            while not self._stopping.is_set():
                await self._take_until_stopped()
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            with contextlib.suppress(SprintError):
                await asyncio.to_thread(self._keeper.end)
        self._say("stopped; nothing is under way")

    def _say(self, text: str) -> None:
        self._around.out.write(f"{text}\n")
        self._around.out.flush()

    def _told_to_stop(self) -> None:
        self._stops += 1
        self._stopping.set()
        if self._worker is not None:
            self._worker.stop()  # type: ignore[no-untyped-call]
        if self._stops > 1:
            for pid in filter(None, self._children.values()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)

    def _running(self) -> set[int]:
        return set(self._children)

    async def _take_until_stopped(self) -> None:
        """Take ticks until we are to end, the host is drained, or the database is away."""
        if self._keeper.is_drained:
            await self._rest(_LOOK_SECONDS)
            return
        app = self._app()
        try:
            async with app.open_async():
                self._worker = Worker(
                    app=app,
                    queues=[*map(ticks.queue_of, self._repos), ticks.queue_of_host(self._host_id)],
                    concurrency=self._jobs,
                    fetch_job_polling_interval=_POLL_SECONDS,
                    listen_notify=False,
                    install_signal_handlers=False,
                    update_heartbeat_interval=_HEARTBEAT_SECONDS,
                )
                if not self._stopping.is_set():
                    await self._worker.run()  # type: ignore[no-untyped-call]
        except (ConnectorException, psycopg.Error) as error:
            _log.info("the fleet's database is away: %s", type(error.__cause__ or error).__name__)
            await self._rest(_LOOK_SECONDS)
        finally:
            self._worker = None

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _app(self) -> procrastinate.App:
        """With the ticks of this host's repositories; each host puts them in, and the database takes one."""
        patience = lambda: _PATIENCE_AT_THE_END if self._stopping.is_set() else _PATIENCE_SECONDS  # noqa: E731
        app = procrastinate.App(connector=_Patient(self._url, patience))
        task: Any = app.task(name=ticks.TASK, pass_context=True)(self._tick)
        for key, repo in self._repos.items():
            cron = ticks.due(repo)
            app.periodic_registry.register_task(
                task=task, cron=cron, periodic_id=f"{key[-100:]} {cron}", configure_kwargs=ticks.options(repo)
            )
        return app

    def _tick(self, context: procrastinate.JobContext, /, repo: str, **_: object) -> int | None:
        """One tick to its end, in a thread of its own; returns its exit code."""
        job_id = context.job.id or 0
        self._children[job_id] = 0
        try:
            return self._ran(job_id, repo)
        except SprintError as error:
            _log.error("%s: %s", repo, error)
            return error.exit_code
        finally:
            self._children.pop(job_id, None)

    def _ran(self, job_id: int, repo: str) -> int | None:
        # A worker that is killed takes its ticks along, gently: else another host would tick beside them.
        gently = ("setpriv", "--pdeathsig", "TERM", "--") if proc.find("setpriv") else ()
        config = ("--config", str(self._config.source)) if self._config.source else ()
        done = proc.run(
            [*gently, sys.executable, "-P", "-m", "sprint", *config, "run", repo],
            timeout=_LONGEST_TICK,
            cwd=self._around.cwd,
            env=self._environ,
            pass_fds=self._handles,
            output_cap=_OUTPUT_CAP,
            output_file=Path(self._config.paths.results, CRON_LOG),
            on_start=lambda pid: self._children.update({job_id: pid}),
        )
        if done.err.strip():
            _log.warning("%s", done.err.strip().removeprefix("sprint: "))  # what cron would mail
        return done.exit_code

    async def _look_again_and_again(self) -> None:
        """What is to be done besides ticks; a look that fails is followed by the next one."""
        while True:
            worker = self._worker
            try:
                await asyncio.to_thread(self._keeper.look, worker.worker_id if worker else None)
            except Exception:  # noqa: BLE001 - without looks nobody would finish what is lost
                _log.exception("a look around failed")
            if self._keeper.is_drained and self._worker is not None:
                self._worker.stop()  # type: ignore[no-untyped-call]
            await asyncio.sleep(_LOOK_SECONDS)
