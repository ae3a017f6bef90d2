"""What the loop offers to a model: the tools, the guides that fit, and the prompt that names them."""

from __future__ import annotations

from typing import Any

from sprint import prompts, resources
from sprint.domain import Endpoint, Prompt
from sprint.resources import Skill
from sprint.task import Task
from sprint.worker.local import window
from sprint.worker.local.tools import definitions

GUIDES_FROM = 64_000  # tokens of window: in a smaller one a guide costs more than it helps


def guides(forge_kind: str, tokens: int) -> dict[str, Skill]:
    """The skills that a model with a window of `tokens` may read, by name."""
    return resources.offered_skills(forge_kind) if tokens >= GUIDES_FROM else {}


def tools(skills: dict[str, Skill]) -> list[dict[str, Any]]:
    """The definitions in the shape of the API; of each guide, what its description says first."""
    return definitions({name: skill.description.partition(". ")[0] for name, skill in skills.items()})


def prompt(task: Task, endpoint: Endpoint | None = None) -> Prompt:
    """What a model is told of a task. `endpoint`: the model, as far as it is known before it is asked."""
    tokens = window.first_guess(endpoint) if endpoint else window.HOSTED_WINDOW
    return prompts.loop_prompt(task, tools(guides(task.forge_kind, tokens)))
