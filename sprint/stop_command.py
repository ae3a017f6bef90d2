"""`sprint stop RUN`: a run ended by a person, whether a process works on it or it rests."""

from __future__ import annotations

import time

from sprint import references
from sprint.config import Config, resolve
from sprint.context import open_context
from sprint.domain import Phase, Run
from sprint.errors import Busy, SprintError
from sprint.lock import lock, lock_path
from sprint.runs import RunStore
from sprint.surroundings import Surroundings
from sprint.tick import settle_run
from sprint.tick_report import line_of

_WHY = "stopped by a person"
_LOOK_SECONDS = 0.1
_PATIENCE_SECONDS = 60.0  # what is handed in has its checks run first, by whoever works on it


def stop(config: Config, reference: str, hand_in: bool, around: Surroundings) -> int:
    """Ask whoever works on the run to end it; where nobody does, end it here. Raises SprintError."""
    store = RunStore(config.paths.results)
    run = references.run(config, store, reference)
    if run.phase is Phase.SETTLED:
        raise SprintError(f"run {run.id} is over already: {run.outcome}")
    store.ask_to_stop(run.id, _WHY, hand_in=hand_in)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            run = _ended_here(config, store, run, around)
            break
        except Busy:
            run = store.load(run.id)
            if run.phase is Phase.SETTLED or time.monotonic() > deadline:
                break
            time.sleep(_LOOK_SECONDS)
    print(line_of(run), file=around.out)
    if run.phase is not Phase.SETTLED:
        print(f"run {run.id} was told to end; the process that works on it will", file=around.out)
    return 0


def _ended_here(config: Config, store: RunStore, run: Run, around: Surroundings) -> Run:
    """Raises Busy while a tick has the repository."""
    repo = resolve(config, f"{run.forge}:{run.repo}" if run.forge in config.forges else run.repo)
    with lock(lock_path(config.paths.cache, run.forge, run.repo), what=f"stop of {run.id}"):
        run = store.load(run.id)
        return run if run.phase is Phase.SETTLED else settle_run(open_context(config, repo, around), run)
