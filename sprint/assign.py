"""Who works on an issue: the worker that is asked for, or the first of its fallbacks that can begin."""

from __future__ import annotations

import logging

from sprint.clean_text import safe_line
from sprint.config import AgentWorkerConfig
from sprint.context import Context
from sprint.domain import Issue
from sprint.errors import SprintError

LABEL = "worker:"

_log = logging.getLogger(__name__)


def wanted(context: Context, issue: Issue) -> str:
    """The name of the worker that the issue's label asks for, where labels may, else the repository's."""
    if context.repo_config.pick.worker_labels:
        for label in issue.labels:
            name = label.removeprefix(LABEL).strip()
            if label.startswith(LABEL) and name in context.config.workers:
                return name
            if label.startswith(LABEL):
                _log.warning("#%d: its label %s names no worker", issue.number, safe_line(label))
    return context.repo_config.worker


def able(context: Context, name: str) -> str:
    """That worker, or the first of its fallbacks, that could begin now. Raises what keeps it from that."""
    first: SprintError | None = None
    for candidate in _line_of(context, name):
        try:
            context.worker(candidate).check()
        except SprintError as error:
            _log.info("worker %s cannot begin: %s", candidate, error)
            first = first or error
            continue
        if first is not None:
            _log.warning("worker %s takes over: %s", candidate, first)
        return candidate
    assert first is not None, "the line holds the worker itself"
    raise first


def _line_of(context: Context, name: str) -> list[str]:
    """The worker, its fallbacks, and theirs, each once."""
    line = [name]
    for candidate in line:  # grows while it is walked
        config = context.config.worker(candidate)
        if isinstance(config, AgentWorkerConfig):
            line += [other for other in dict.fromkeys(config.fallbacks) if other not in line]
    return line
