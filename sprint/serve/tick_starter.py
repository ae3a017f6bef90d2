"""Starts ticks when something has happened that a tick should see, as cron would: `sprint run OWNER/REPO`."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from sprint import files, proc, sharing
from sprint.config import Config
from sprint.domain import Phase
from sprint.errors import SprintError
from sprint.lock import is_held, lock_path
from sprint.logs import CRON_LOG
from sprint.runs import RunStore
from sprint.surroundings import Surroundings

GATHER_SECONDS = 1.0  # what comes within them falls together
LEAST_SECONDS = 10.0  # from one tick's beginning to the next one's
_TRIES = 4  # for a run that was said to be done: what says so may still have to end
_LOOK_SECONDS = 0.5

_log = logging.getLogger(__name__)


@dataclass
class _Asked:
    """What was asked of one repository's next tick: the runs to settle, and how often each was tried."""

    forge: str
    repo: str
    runs: dict[str, int] = field(default_factory=dict)


class TickStarter:
    """One tick of a repository at a time; all that is asked meanwhile becomes one more. A tick of cron's is
    waited for. What it started goes on when this ends. To be used in one event loop.
    """

    def __init__(self, config: Config, around: Surroundings) -> None:
        self.started = 0
        self._config, self._around = config, around
        self._store = RunStore(config.paths.results)
        self._sharing = sharing.of(config, around)
        self._asked: dict[tuple[str, str], _Asked] = {}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    def ask(self, forge: str, repo: str, run_id: str = "") -> None:
        """Have a tick of that repository begin soon. With `run_id`: until that run is at work no more."""
        asked = self._remember(forge, repo)
        if run_id:
            asked.runs.setdefault(run_id, 0)
        key = (forge, repo)
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._keep_up(key))

    def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    def _remember(self, forge: str, repo: str) -> _Asked:
        return self._asked.setdefault((forge, repo), _Asked(forge, repo))

    async def _keep_up(self, key: tuple[str, str]) -> None:
        try:
            while key in self._asked:
                await asyncio.sleep(GATHER_SECONDS)
                await self._until_free(lock_path(self._config.paths.cache, *key))
                asked, began = self._asked.pop(key), time.monotonic()
                await self._tick(asked)
                await asyncio.sleep(began + LEAST_SECONDS - time.monotonic())
                for run_id, tries in asked.runs.items():
                    if tries + 1 < _TRIES and await asyncio.to_thread(self._is_at_work, run_id):
                        self._remember(*key).runs[run_id] = tries + 1
        except (SprintError, OSError) as error:
            _log.warning("no tick of %s was started: %s", key[1], error)
        finally:
            del self._tasks[key]

    async def _until_free(self, lock: Path) -> None:
        while await asyncio.to_thread(is_held, lock):
            await asyncio.sleep(2 * _LOOK_SECONDS)

    async def _tick(self, asked: _Asked) -> None:
        if not asked.runs and await asyncio.to_thread(self._sharing.tick_soon, asked.forge, asked.repo):
            self.started += 1
            return
        config = self._config
        name = f"{asked.forge}:{asked.repo}" if asked.forge in config.forges else asked.repo
        argv = [sys.executable, "-m", "sprint"]
        argv += ["--config", str(config.source)] if config.source else []
        files.make_folder(config.paths.results)
        log = config.paths.results / CRON_LOG
        pid = proc.detach([*argv, "run", name], env=self._around.environ, cwd=self._around.cwd, log=log)
        self.started += 1
        while not proc.is_over(pid):
            await asyncio.sleep(_LOOK_SECONDS)

    def _is_at_work(self, run_id: str) -> bool:
        try:
            return self._store.exists(run_id) and self._store.load(run_id).phase is Phase.WORKING
        except SprintError:
            return False
