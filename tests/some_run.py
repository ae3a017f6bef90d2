"""A run, for tests to which most of what it holds does not matter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sprint.domain import Outcome, Phase, Run, replace
from sprint.runs import new_id

NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def some_run(**given: Any) -> Run:
    """Of an hour that began at noon, with what is given in place of the usual."""
    started = given.get("started_at", NOON)
    usual = {
        "id": new_id(started, given.get("repo", "octo/widgets"), given.get("issue", 12)),
        "forge": "home",
        "repo": "octo/widgets",
        "issue": 12,
        "title": "Widgets wobble",
        "attempt": 1,
        "host": "burner",
        "pid": 1234,
        "started_at": started,
        "deadline": started + timedelta(hours=1),
        "worker": "local",
    }
    return Run(**{**usual, **given})


def a_run(minute: int = 0, repo: str = "octo/widgets", issue: int = 12, **changes: Any) -> Run:
    """The same with what tells it from others; so many minutes after noon."""
    return some_run(started_at=NOON + timedelta(minutes=minute), repo=repo, issue=issue, **changes)


def settled(run: Run) -> Run:
    return replace(run, phase=Phase.SETTLED, outcome=Outcome.NO_CHANGE, finished_at=NOON)
