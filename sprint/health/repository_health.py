"""Repositories with a fault that the next issue would meet as well: no issue is claimed while it blocks."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

import msgspec

from sprint import json_file
from sprint.config import RepoConfig
from sprint.health.records import Moment, logged, path_of, update

_BLOCK_LASTS = timedelta(hours=1)
_LONGEST_BLOCK = timedelta(hours=24)
_ISSUES_TO_BLOCK = 2  # one push may be refused for what is in it


class RepositoryTrouble(StrEnum):
    """A fault that the next issue would meet as well."""

    SETUP = "setup"
    PUSH = "push"

    @property
    def words(self) -> str:
        """Words of ours, fit for a forge."""
        return _WORDS[self]


_WORDS = {
    RepositoryTrouble.SETUP: "the project's setup fails at the base",
    RepositoryTrouble.PUSH: "the server refuses the pushes",
}


class RepositoryHealth(msgspec.Struct, frozen=True, kw_only=True):
    """A repository's fault. `until` None: it does not block yet. `blocks` counts them, each twice as long.

    `issues` are those that met it, the last two. `base_sha` and `config_hash` are what it was met with.
    """

    forge: str
    repo: str
    kind: RepositoryTrouble
    reason: str
    since: Moment
    noted_at: Moment
    until: Moment | None = None
    blocks: int = 0
    issues: tuple[int, ...] = ()
    base_sha: str = ""
    config_hash: str = ""


def repository_block(
    results: Path,
    forge: str,
    repo: str,
    *,
    base_sha: str = "",
    config_hash: str = "",
    now: datetime | None = None,
) -> RepositoryHealth | None:
    """Why no issue is to be claimed in a repository now, or None.

    A block ends with its time, and where the base commit or the configuration is another than then; "" for
    what is not known.
    """
    known = json_file.read_if_sound(_path(results, forge, repo), RepositoryHealth)
    if known is None or known.until is None or (now or datetime.now(UTC)) >= known.until:
        return None
    return None if _has_moved(known, base_sha, config_hash) else known


def note_repository_fault(
    results: Path,
    forge: str,
    repo: str,
    kind: RepositoryTrouble,
    reason: str,
    *,
    issue: int,
    base_sha: str = "",
    config_hash: str = "",
    now: datetime | None = None,
) -> RepositoryHealth:
    """Remember a fault of the repository, and block it where the next issue would meet it as well.

    At once for a set-up that fails at the base, and with the second issue in a row for a refused push.
    Blocks last 1, 2, 4 and so on up to 24 hours. `reason` is one line for the operator.
    """
    now = now or datetime.now(UTC)

    def noted(before: RepositoryHealth | None) -> RepositoryHealth:
        if before is not None and before.kind is not kind:
            before = None
        issues = tuple(dict.fromkeys((*(before.issues if before else ()), issue)))[-_ISSUES_TO_BLOCK:]
        until, blocks = (before.until, before.blocks) if before else (None, 0)
        is_blocked = until is not None and now < until
        if before is not None and is_blocked and _has_moved(before, base_sha, config_hash):
            is_blocked = False
        if not is_blocked and (kind is RepositoryTrouble.SETUP or len(issues) >= _ISSUES_TO_BLOCK):
            blocks += 1
            until = now + min(_BLOCK_LASTS * (1 << min(blocks - 1, 8)), _LONGEST_BLOCK)
        return RepositoryHealth(
            forge=forge,
            repo=repo,
            kind=kind,
            reason=reason,
            since=before.since if before else now,
            noted_at=now,
            until=until,
            blocks=blocks,
            issues=issues,
            base_sha=base_sha,
            config_hash=config_hash,
        )

    return update(results, _path(results, forge, repo), RepositoryHealth, noted, now)


def clear_repository(results: Path, forge: str, repo: str, kind: RepositoryTrouble) -> None:
    """Forget a fault of this kind: a set-up that succeeded, a push that was taken."""
    path = _path(results, forge, repo)
    if not path.exists():
        return
    with logged():
        json_file.change(
            path, RepositoryHealth, lambda before: None if before is None or before.kind is kind else before
        )


def config_hash(repo: RepoConfig) -> str:
    """What changes with each change of a repository's configuration."""
    return hashlib.sha256(msgspec.json.encode(repo)).hexdigest()[:16]


def _has_moved(known: RepositoryHealth, base_sha: str, config_hash: str) -> bool:
    pairs = ((known.base_sha, base_sha), (known.config_hash, config_hash))
    return any(then and now and then != now for then, now in pairs)


def _path(results: Path, forge: str, repo: str) -> Path:
    return path_of(results, "repository", forge, repo.lower())
