"""How much a pull request may be."""

from __future__ import annotations

from collections.abc import Iterator

from sprint import git
from sprint.config import PublishConfig
from sprint.domain import Refusal
from sprint.policy.trees import Trees


def too_many_or_too_large(trees: Trees, rules: PublishConfig) -> Iterator[Refusal]:
    """More files than allowed, or more bytes added: a small edit of a big file is a small change."""
    if len(trees.changes) > rules.max_files:
        yield Refusal("", f"{len(trees.changes)} files were changed; at most {rules.max_files} may be")
    if sum(change.size for change in trees.added) <= rules.max_bytes:
        return
    old = {c.path: trees.before[c.path][1] for c in trees.changes if c.status == "M"}
    sizes = git.sizes(trees.mirror, old.values())
    growth = {
        change.path: change.size - (sizes[old[change.path]].size if change.path in old else 0)
        for change in trees.added
    }
    added = {path: size for path, size in growth.items() if size > 0}
    if (total := sum(added.values())) > rules.max_bytes:
        largest = max(added, key=lambda path: added[path])
        yield Refusal(
            largest,
            f"is the largest of changes that add {total} bytes in all; at most {rules.max_bytes} may be",
        )
