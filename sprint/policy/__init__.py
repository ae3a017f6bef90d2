"""What may be pushed: judged by the tree itself, never by a diff's text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sprint import deferred
from sprint.config import PublishConfig
from sprint.domain import ImportedWork, Refusal, Secret
from sprint.policy.content import known_secrets, new_secrets, raw_large_files
from sprint.policy.names import dangerous_names, submodules
from sprint.policy.protected import protected_paths
from sprint.policy.scan_unfinished import ScanUnfinished
from sprint.policy.sizes import too_many_or_too_large
from sprint.policy.texts import public
from sprint.policy.trees import Trees, escaping_links

__all__ = ["ScanUnfinished", "judge", "public"]

# By it detect-secrets would try a secret; its rules need none of it, and are as fast again to import.
deferred.defer("requests", Response=object)

_Rule = Callable[[Trees, PublishConfig], Iterator[Refusal]]

_RULES: tuple[_Rule, ...] = (
    protected_paths,
    submodules,
    dangerous_names,
    escaping_links,
    too_many_or_too_large,
)
# Reading contents takes time: only for work that may be pushed otherwise.
_CONTENT_RULES: tuple[_Rule, ...] = (raw_large_files, new_secrets)


def judge(
    mirror: Path, work: ImportedWork, rules: PublishConfig, *, known: Sequence[Secret] = (), branch: str = ""
) -> tuple[Refusal, ...]:
    """Every reason not to push imported work; empty means that it may be pushed.

    `known` are the runner's own secrets, looked for in any encoding, also in the branch's name. No reason
    quotes what it found. Raises ScanUnfinished where looking took too long, which says nothing of the work.
    """
    if not work.changes:
        return (Refusal("", "nothing was changed"),)
    trees = Trees(mirror, work)
    refusals = [refusal for rule in _RULES for refusal in rule(trees, rules)]
    refusals += known_secrets(trees, known)
    if branch and public(branch, known) != branch:
        refusals.append(Refusal("", "what looks like a credential is in the branch's name (publish.branch)"))
    if not refusals:
        refusals = [refusal for rule in _CONTENT_RULES for refusal in rule(trees, rules)]
    return tuple(Refusal(_printable(refusal.path), refusal.reason) for refusal in refusals)


def _printable(path: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in path)
