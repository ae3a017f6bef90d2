"""`sprint gateway RUN`: a run's way to its model as a process of its own, for work that outlives a tick.

In runs/<id>/gateway/ (0700), while it is up: `model.http`, a socket that speaks HTTP (0600); `key.json`, with
the run's own `key` and the `model` (0600); `inside/`, to be shown to a sandbox as for any other gateway. It
ends with the run, at its deadline, or when it is told to; whoever started it may be gone by then.
"""

from __future__ import annotations

import contextlib
import logging
import time
from datetime import UTC, datetime
from pathlib import Path

from sprint import json_file, sharing, transcript
from sprint.budget import Budget
from sprint.config import AgentWorkerConfig, Config, SpriteWorkerConfig, resolve
from sprint.credentials.endpoints import model_endpoints
from sprint.domain import Phase, Purpose, Run
from sprint.errors import ConfigError, SprintError
from sprint.gateway import Door, opened
from sprint.gateway.models.dialect import Dialect
from sprint.gateway.models.provider import misplaced
from sprint.gateway.models.route import ModelRoute
from sprint.gateway.models.used import Tally
from sprint.gateway.own_process import FOLDER, KEY, SOCKET, Key
from sprint.lock import lock
from sprint.runs import RunStore
from sprint.surroundings import Surroundings
from sprint.worker.agents.model_way import beginning_with
from sprint.worker.sprite import asked

_LOCK = "gateway.lock"
_LOOK_SECONDS = 0.5
_log = logging.getLogger(__name__)


def gateway(config: Config, reference: str, speaks: Dialect | None, around: Surroundings) -> int:
    """Serve a run until it is over. Raises SprintError, and Busy where another process does so."""
    store = RunStore(config.paths.results)
    run = store.find(reference)
    if _is_over(store, run.id):
        raise SprintError(f"run {run.id} is over, or past its deadline: it may ask no model any more")
    folder = store.folder(run.id)
    before = json_file.read_if_sound(folder / FOLDER / KEY, Key)  # of one that was killed: agents know it
    with (
        lock(folder / _LOCK, what=f"the gateway of {run.id}"),
        contextlib.closing(_route(config, run, speaks, folder, around, before)) as route,
        opened(folder, {"model": Door(route, {}, {})}, name=FOLDER) as made,
    ):
        json_file.write(made.folder / KEY, {"key": route.key, "model": route.model})
        _log.info("run %s: its model can be asked at %s", run.id, made.folder / SOCKET)
        while not _is_over(store, run.id):
            time.sleep(_LOOK_SECONDS)
    return 0


def _route(
    config: Config,
    run: Run,
    speaks: Dialect | None,
    folder: Path,
    around: Surroundings,
    before: Key | None,
) -> ModelRoute:
    dialect = speaks or _dialect_of(config, run)
    worker = asked.load(folder).section if run.purpose is Purpose.TASK else config.workers.get(run.worker)
    endpoints = tuple(model_endpoints(config, around))
    if isinstance(worker, AgentWorkerConfig | SpriteWorkerConfig):
        endpoints = beginning_with(endpoints, worker.model, worker.price)
    for endpoint in endpoints:
        if why := misplaced(endpoint):
            raise ConfigError(f"model {endpoint.name}: {why}")
    limits = resolve(config, f"{run.forge}:{run.repo}" if run.forge in config.forges else run.repo).limits
    results = config.paths.results
    return ModelRoute(
        dialect,
        endpoints,
        tally=Tally(folder),
        budget=Budget(limits, results, run.id, sharing.of(config, around)),
        limits=limits,
        results=results,
        note=lambda text: transcript.append(folder, "note", text=text),
        key=before.key if before else "",
    )


def _dialect_of(config: Config, run: Run) -> Dialect:
    from sprint.worker.agents.catalogue import AGENTS

    worker = config.workers.get(run.worker)
    if not isinstance(worker, AgentWorkerConfig):
        raise ConfigError(f"run {run.id}: its worker tells no API; say which with --speaks")
    return AGENTS[type(worker)].DIALECT


def _is_over(store: RunStore, run_id: str) -> bool:
    """Whether the run needs no model any more; also where its folder is gone."""
    if not store.exists(run_id):
        return True
    run = store.load(run_id)
    return run.phase in (Phase.CONCLUDED, Phase.SETTLED) or datetime.now(UTC) > run.deadline
