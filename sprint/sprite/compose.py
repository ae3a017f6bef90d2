"""`sprint sprite compose`: sprites made as a composition says, and what is otherwise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from sprint.sprite import audit
from sprint.sprite.backend import Backend
from sprint.sprite.composition import MANAGED_BY, OURS, PERSONA, Composition, Difference, compare


def show_difference(backend: Backend, composition: Composition, out: TextIO) -> int:
    """A line for each sprite that is not as it shall be; 1 where there is one."""
    difference = compare(composition, backend.list())
    _show(composition, difference, out)
    return 0 if difference.is_none else 1


def apply(
    backend: Backend, composition: Composition, results: Path, out: TextIO, *, execute: bool = False
) -> int:
    """Make what is missing, bring up to date what drifted; extra ones are named and left alone.

    Only shown without `execute`. The labels that say that a sprite is as it shall be come last: where this is
    cut off, it goes on from there when it is done again.
    """
    there = {sprite.name: sprite for sprite in backend.list()}
    difference = compare(composition, list(there.values()))
    _show(composition, difference, out)
    if difference.is_none or not execute:
        if difference.missing or difference.drifted:
            print("nothing was done yet: --execute does it", file=out)
        return 0
    for name in difference.missing:
        labels = {MANAGED_BY: OURS, PERSONA: composition.labels(name)[PERSONA]}
        backend.create(name, labels)
        audit.note(results, backend.name, "create", name, composition.name)
        furnish(backend, composition, name, labels)
        print(f"{name}: made", file=out)
    for name in difference.drifted:
        furnish(backend, composition, name, there[name].labels)
        print(f"{name}: brought up to date", file=out)
    return 0


def furnish(backend: Backend, composition: Composition, sprite: str, labels: Mapping[str, str]) -> None:
    """The composition's files, then what the labels say of them; who manages the sprite stays as it is."""
    for file in composition.kits[sprite]:
        backend.put(sprite, file.path, file.data, mode=file.mode)
    listed = json.dumps({"files": [file.path for file in composition.kits[sprite]]})
    backend.put(sprite, ".sprint/kit.json", listed.encode())  # for the homes of runs: see errands.py
    backend.label(sprite, {MANAGED_BY: OURS, **labels, **composition.labels(sprite)})


def _show(composition: Composition, difference: Difference, out: TextIO) -> None:
    for name in difference.missing:
        print(f"missing  {name}: {composition.members[name].preference or 'no preference'}", file=out)
    for name, why in difference.drifted.items():
        print(f"drifted  {name}: {why}", file=out)
    for name in difference.extra:
        print(f"extra    {name}: not in {composition.name}; `sprint sprite destroy` removes it", file=out)
    if difference.is_none:
        print(f"all {len(composition.members)} are as {composition.name} says", file=out)
