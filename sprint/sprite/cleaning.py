"""`sprint sprite clean`: sprites that were made for one task and outlived it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

from sprint.domain import Phase
from sprint.errors import SprintError
from sprint.runs import RunStore
from sprint.sprite import audit
from sprint.sprite.backend import Backend, Sprite
from sprint.sprite.composition import BB, EPHEMERAL, MANAGED_BY, MODE, OURS, RUN
from sprint.sprite.onlooking import Seen, look_at_all

_OLD = timedelta(hours=1)
_OTHERS = timedelta(days=1)  # where another host may be about to collect from it


@dataclass(frozen=True)
class Verdict:
    """`why` it is destroyed, or stays."""

    sprite: Sprite
    is_stale: bool
    why: str


def clean(backend: Backend, results: Path, out: TextIO, *, execute: bool = False) -> int:
    """Destroy what is stale; without `execute` say what would be. Never what sprint did not make."""
    sprites = backend.list()
    candidates = [one for one in sprites if _is_candidate(one)]
    seen = look_at_all(backend, candidates)
    now, store = datetime.now(UTC), RunStore(results)
    for verdict in judged(candidates, seen, store, now):
        name = verdict.sprite.name
        if not verdict.is_stale:
            print(f"kept       {name}: {verdict.why}", file=out)
        elif not execute:
            print(f"would go   {name}: {verdict.why}", file=out)
        else:
            backend.destroy(name)
            audit.note(results, backend.name, "destroy", name, f"clean: {verdict.why}")
            print(f"destroyed  {name}: {verdict.why}", file=out)
    for sprite in sprites:
        if sprite.labels.get(MANAGED_BY) == BB:
            print(f"kept       {sprite.name}: bb made it; `sprint sprite destroy` removes it", file=out)
    if candidates and not execute:
        print("nothing was done yet: --execute does it", file=out)
    return 0


def _is_candidate(sprite: Sprite) -> bool:
    return sprite.labels.get(MANAGED_BY) == OURS and sprite.labels.get(MODE) == EPHEMERAL


def judged(sprites: Sequence[Sprite], seen: Sequence[Seen], store: RunStore, now: datetime) -> list[Verdict]:
    """Of ephemeral sprites which are stale: over an hour old, at no work, and of no run under way."""
    verdicts = []
    for sprite, look in zip(sprites, seen, strict=True):
        age = now - sprite.created if sprite.created else timedelta()
        run = sprite.labels.get(RUN, "")
        stays = {
            "when it was made is not known": sprite.created is None,
            "it is younger than an hour": age < _OLD,
            look.trouble: bool(look.trouble),
            f"its agent is {look.state.get('status')}": look.is_running,
            f"run {run} is under way": bool(run) and _is_under_way(store, run),
            f"run {run} may be another host's": bool(run) and age < _OTHERS and not _is_known(store, run),
        }
        why = next((why for why, holds in stays.items() if holds), "")
        hours = f"{age.total_seconds() / 3600:.1f} h old, and no run needs it"
        verdicts.append(Verdict(sprite, not why, why or hours))
    return verdicts


def _is_known(store: RunStore, run: str) -> bool:
    try:
        return store.exists(run)
    except SprintError:  # no run's name
        return True


def _is_under_way(store: RunStore, run: str) -> bool:
    try:
        return store.exists(run) and store.load(run).phase is not Phase.SETTLED
    except SprintError:
        return False
