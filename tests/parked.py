"""A backlog of issues that are all parked: tried, released, and nobody said anything since."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

from sprint.domain import Comment, Issue
from sprint.pick.news import issue_digest
from sprint.prompts import comment_marker
from tests.servers.forge import DemoForge
from tests.widgets import REPO

MANY = 1_000


def write_claims(forge: DemoForge, states: dict[int, dict[str, Any]]) -> None:
    """As other hosts left them; through git itself a thousand would take minutes."""
    stream = []
    for number, state in states.items():
        text = json.dumps(state)
        stream.append(f"commit refs/sprint/issue-{number}\ncommitter s <s@l> 1767323045 +0000\n")
        stream.append(f"data {len(text.encode())}\n{text}\n")
    subprocess.run(
        ["git", "-C", str(forge.path(REPO)), "fast-import", "--quiet"],
        input="".join(stream).encode(),
        check=True,
    )


def park_all(forge: DemoForge, count: int) -> None:
    long_ago = datetime.now(UTC).replace(microsecond=0) - timedelta(days=9)
    for n in range(1, count + 1):
        at = long_ago + timedelta(minutes=n)
        number = forge.add_issue(REPO, f"Issue {n}", created_at=at, comments=[("acme", "Please.")])
        with forge.store.lock:
            forge.store.add_comment(forge.issue(REPO, number), forge.login, comment_marker(number), at)
    write_claims(forge, {n: released(forge, n) for n in range(1, count + 1)})


def released(forge: DemoForge, number: int) -> dict[str, Any]:
    """The claim of an issue at which nobody said anything since; made without asking."""
    stored = forge.issue(REPO, number)
    issue = Issue(number, stored.title, stored.body, stored.author, stored.created_at, stored.updated_at)
    comments = [Comment(c.id, c.author, c.body, c.created_at, c.updated_at) for c in stored.comments]
    return {
        "state": "released",
        "run": f"20260101T000000Z-acme-widgets-{number}-3f9c21aa",
        "host": "somewhere",
        "attempt": 3,
        "expires": (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
        "outcome": "no_change",
        "seen": issue_digest(issue, comments),
    }
