"""The hosts that share one ledger, and what they have together."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from msgspec import Struct


class Host(Struct, frozen=True):
    """One host, by the random id of its results folder. `name` is the machine's.

    `has_worker`: it takes ticks, `jobs` at once, of `repos` (FORGE:OWNER/REPO), or did and has not said that
    it ended. `worker_id` is Procrastinate's. `is_drained`: it takes none until it is resumed.
    """

    id: str
    name: str
    version: str
    seen_at: datetime
    has_worker: bool = False
    jobs: int = 0
    repos: tuple[str, ...] = ()
    worker_id: int | None = None
    is_drained: bool = False


class Together(Struct, frozen=True):
    """What is known of all hosts, in a folder like a host's results. `problem`: why it is not the newest."""

    results: Path
    hosts: tuple[Host, ...] = ()
    problem: str = ""
