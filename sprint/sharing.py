"""What a host shares with others: the claims on the forge alone, or by a fleet's database all it writes.

Two variants of one protocol. Whatever is shared was written to the host's own files first.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from sprint import spend
from sprint.config import Config, Limits
from sprint.domain import Run, Together
from sprint.errors import ConfigError
from sprint.surroundings import Surroundings

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
    """A host by itself: its files are all there is."""

    results: Path

    def why_not_now(self, ceiling: float) -> str:
        spent = spend.spent_today(self.results)
        return f"today's ceiling is reached: ${spent:.2f} of ${ceiling:.2f}" if spent >= ceiling else ""

    def reserve(self, run: Run, limits: Limits) -> str:
        return ""

    def kept(self, run_id: str) -> float:
        return math.inf

    def more(self, run_id: str, usd: float, ceiling: float) -> str:
        return ""

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
        return Together(self.results)


def of(config: Config, around: Surroundings) -> Sharing:
    """As configured; nobody is asked yet. Raises ConfigError where a fleet's URL or packages are missing."""
    if config.fleet is None:
        return Alone(config.paths.results)
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
        raise ConfigError(
            "a fleet needs more than is installed; pip install 'sprint-backlog-burner[fleet]'"
        ) from error
