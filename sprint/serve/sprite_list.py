"""The sprites of the live report: those that workers are configured with, and the runs that are on them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sprint.config import Config, SpriteWorkerConfig
from sprint.domain import Run
from sprint.errors import SprintError
from sprint.runs import RunStore
from sprint.sprite.composition import EPHEMERAL, load
from sprint.worker.sprite import note as notes

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ListedSprite:
    """One sprite. `run` is the run of this installation's that is on it, with its page; None for none."""

    name: str
    backend: str
    run: Run | None = None
    run_page: str = ""


def listed(config: Config) -> list[ListedSprite]:
    """As files tell; no backend is asked."""
    store = RunStore(config.paths.results)
    busy = {one.name: one for one in _busy(config, store)}
    idle = {name: backend for name, backend in _configured(config) if name not in busy}
    return [*busy.values(), *(ListedSprite(name, backend) for name, backend in sorted(idle.items()))]


def _busy(config: Config, store: RunStore) -> Iterator[ListedSprite]:
    for run in store.active():
        try:
            note = notes.load(store.folder(run.id))
        except SprintError as error:
            _log.warning("%s", error)
            continue
        if note is not None:
            worker = config.workers.get(run.worker)
            backend = _backend(config, worker) if isinstance(worker, SpriteWorkerConfig) else ""
            yield ListedSprite(note.sprite, backend, run, f"/runs/{quote(run.id)}")


def _configured(config: Config) -> Iterator[tuple[str, str]]:
    for worker in config.workers.values():
        if not isinstance(worker, SpriteWorkerConfig) or worker.mode == EPHEMERAL:
            continue
        try:
            names = load(Path(worker.composition)).members if worker.composition else worker.sprites
        except SprintError as error:
            _log.warning("%s", error)
            continue
        yield from ((name, _backend(config, worker)) for name in names)


def _backend(config: Config, worker: SpriteWorkerConfig) -> str:
    return worker.backend or next(iter(config.backends), "")
