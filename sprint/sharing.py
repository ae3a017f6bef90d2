"""What a host shares with others: the claims on the forge alone, or by a fleet's database all it writes.

Two variants of one protocol. Whatever is shared was written to the host's own files first.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from sprint import spend
from sprint.config import Config, Limits, SpriteWorkerConfig
from sprint.domain import Run, Together
from sprint.errors import ConfigError, SprintError, how_to_install
from sprint.lock import lock
from sprint.runs import RunStore
from sprint.surroundings import Surroundings

_PATIENCE_SECONDS = 30.0
_PACKAGES = ("procrastinate", "psycopg", "psycopg_pool")


class Sharing(Protocol):
    """Each call says what it does where the others cannot be reached."""

    def why_not_now(self, ceiling: float) -> str:
        """Why no run may begin today within so many dollars of all, or ""; also where that cannot be told."""
        ...

    def reserve(self, run: Run, limits: Limits) -> str:
        """Keep what a run may spend, before it claims anything; returns why it may not begin, or ""."""
        ...

    def kept(self, run_id: str) -> float:
        """How many dollars a run may spend, from its beginning, before it has to ask for `more`.

        Raises SprintError where that cannot be told.
        """
        ...

    def more(self, run_id: str, usd: float, ceiling: float) -> str:
        """Asked of a run that has spent `usd` and may have kept less: why it may spend no more, or "".

        Raises SprintError where that cannot be told: then the run rests.
        """
        ...

    def saved(self, run: Run) -> None:
        """A run was written down. Never raises: what could not be told now is told by `ship`."""
        ...

    def ship(self) -> None:
        """Tell the others what is new here. Never raises: it is told the next time."""
        ...

    def tick_soon(self, forge: str, repo: str) -> bool:
        """Have some host tick for a repository at once; False where it has to be this one."""
        ...

    def left_behind(self, forge: str, repo: str) -> Sequence[tuple[Run, dict[str, str]]]:
        """Runs of hosts that are gone or drained, with files of their folders; none where nobody can tell."""
        ...

    def took_over(self, run: Run) -> None:
        """This host has the run's claim now. Raises SprintError where the others cannot be told."""
        ...

    def is_elsewhere(self, run_id: str) -> bool:
        """Whether another host has taken a run of ours over. Raises SprintError where that cannot be told."""
        ...

    def is_lost(self, host_id: str) -> bool:
        """Whether a host is gone, or takes no ticks. Raises SprintError where that cannot be told."""
        ...

    def together(self) -> Together:
        """What is known of all hosts. Never raises: see `Together.problem`."""
        ...


class Alone(Struct, frozen=True):
    """A host by itself: its files are all there is.

    Whoever asks a model here sees what all others have spent before it asks again. An agent elsewhere with a
    key of its own is seen when a tick looks: of the day's ceiling it keeps what it may spend.
    """

    config: Config

    def why_not_now(self, ceiling: float) -> str:
        spent, kept = self._counted()
        return _full(spent, kept, ceiling) if spent + kept >= ceiling else ""

    def reserve(self, run: Run, limits: Limits) -> str:
        if limits.usd_per_day is None or not self._is_seen_late(run):
            return ""
        with self._one_at_a_time():
            spent, kept = self._counted(without=run.id)
            left = limits.usd_per_day - spent - kept
            if left <= 0:
                return _full(spent, kept, limits.usd_per_day)
            spend.keep(self._store.folder(run.id), left if limits.usd is None else min(limits.usd, left))
        return ""

    def kept(self, run_id: str) -> float:
        known = spend.kept(self._store.folder(run_id))
        return math.inf if known is None else known

    def more(self, run_id: str, usd: float, ceiling: float) -> str:
        own = self.kept(run_id)
        is_enough = usd < own - spend.A_TRIFLE if own < math.inf else not self._kept(without=run_id)
        if is_enough:  # so far as nobody else spends, which whoever asks has seen
            return ""
        with self._one_at_a_time():
            spent, kept = self._counted(without=run_id)
            if spent + kept >= ceiling:
                return f"limits.usd_per_day: {_full(spent, kept, ceiling)}"
            if own < math.inf:
                spend.keep(self._store.folder(run_id), usd + ceiling - spent - kept)
        return ""

    @property
    def _results(self) -> Path:
        return self.config.paths.results

    @property
    def _store(self) -> RunStore:
        return RunStore(self._results)

    def _counted(self, *, without: str = "") -> tuple[float, float]:
        """The dollars of today: spent, and kept by runs under way but the one of that id."""
        return spend.spent_today(self._results), self._kept(without=without)

    def _kept(self, *, without: str) -> float:
        """Dollars that runs under way keep and have not spent, as far as was seen; but the one of that id."""
        store, kept = self._store, 0.0
        for run_id in store.active_ids():
            if run_id != without and (usd := spend.kept(store.folder(run_id))) is not None:
                with contextlib.suppress(SprintError):  # of what cannot be read all may be to come
                    usd -= store.load(run_id).spent.cost_usd or 0.0
                kept += max(usd, 0.0)
        return kept

    def _one_at_a_time(self) -> AbstractContextManager[None]:
        return lock(self._results / "spend.lock", wait=_PATIENCE_SECONDS, what="day's ceiling")

    def _is_seen_late(self, run: Run) -> bool:
        """And by what it costs; where no price is known, no ceiling in dollars can hold."""
        worker = self.config.worker(run.worker)
        has_own_key = isinstance(worker, SpriteWorkerConfig) and worker.key == "file"
        return has_own_key and spend.has_price(self.config, run)

    def saved(self, run: Run) -> None:
        pass

    def ship(self) -> None:
        pass

    def tick_soon(self, forge: str, repo: str) -> bool:
        return False

    def left_behind(self, forge: str, repo: str) -> Sequence[tuple[Run, dict[str, str]]]:
        return ()

    def took_over(self, run: Run) -> None:
        pass

    def is_elsewhere(self, run_id: str) -> bool:
        return False

    def is_lost(self, host_id: str) -> bool:
        return False

    def together(self) -> Together:
        return Together(self._results)


def _full(spent: float, kept: float, ceiling: float) -> str:
    own = f", and ${kept:.2f} kept by runs under way" if kept else ""
    return f"today's ceiling is reached: ${spent:.2f} of ${ceiling:.2f}{own}"


def of(config: Config, around: Surroundings) -> Sharing:
    """As configured; nobody is asked yet. Raises ConfigError where a fleet's URL or packages are missing."""
    if config.fleet is None:
        return Alone(config)
    with packages():
        from sprint.fleet.shared import shared
    return shared(config, around)


@contextlib.contextmanager
def packages() -> Iterator[None]:
    """Raises ConfigError where the block imports what a fleet needs, and it is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _PACKAGES:
            raise
        raise ConfigError(f"a fleet needs more than is installed: {how_to_install('fleet')}") from error
