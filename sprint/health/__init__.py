"""What refuses is remembered, in results/health/, so that it is not asked again at every tick.

A file for each model endpoint: a yes is good for ten minutes, a refusal for 10, 20 and then 40. A file for
each repository in which a fault came up that the next issue would meet as well: while it blocks, no issue is
claimed there. What cannot be written is logged: no tick is lost for it.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from sprint.health.model_health import ModelHealth, ask_again, in_use, model, note_model, refusing_last
from sprint.health.records import every
from sprint.health.repository_health import (
    RepositoryHealth,
    RepositoryTrouble,
    clear_repository,
    config_hash,
    note_repository_fault,
    repository_block,
)

__all__ = [
    "Health",
    "ModelHealth",
    "RepositoryHealth",
    "RepositoryTrouble",
    "ask_again",
    "clear_repository",
    "config_hash",
    "in_use",
    "model",
    "note_model",
    "note_repository_fault",
    "read",
    "refusing_last",
    "repository_block",
]


class Health(msgspec.Struct, frozen=True):
    """Everything that is remembered, fit and unfit, by name."""

    models: tuple[ModelHealth, ...] = ()
    repositories: tuple[RepositoryHealth, ...] = ()


def read(results: Path) -> Health:
    """All that is remembered, also what is no longer good; what cannot be read is logged and left out."""
    models = every(results, "model", ModelHealth)
    repositories = every(results, "repository", RepositoryHealth)
    return Health(
        tuple(sorted(models, key=lambda model: (model.name, model.key))),
        tuple(sorted(repositories, key=lambda repository: (repository.forge, repository.repo))),
    )
