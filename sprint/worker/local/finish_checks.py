"""Looks at what a model says of the history: asked of git in the sandbox, so it is a hint and no proof."""

from __future__ import annotations

import re
from collections.abc import Callable

from sprint.domain import Completed
from sprint.worker.local.tools import BadCall

Git = Callable[..., Completed]
"""Runs git with these arguments inside the sandbox."""

_COMMIT = re.compile(r"[0-9a-fA-F]{7,64}")


def commit_in_history(git: Git, commit: str, base: str) -> str:
    """The full id of a commit that is in the base's history. Raises BadCall where it is not."""
    commit = commit.strip()
    if not _COMMIT.fullmatch(commit):
        raise BadCall(
            "no commit", "already_fixed needs the id of the commit that fixed it: find it with git log."
        )
    found = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}")
    full = found.out.strip()
    if not found.ok or not git("merge-base", "--is-ancestor", full, base or "HEAD").ok:
        raise BadCall("unknown commit", f"There is no commit {commit} in the history: find it with git log.")
    return full
