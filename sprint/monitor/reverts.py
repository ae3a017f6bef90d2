"""Merged work that was undone: found by the words that git and the forges put into a revert's message."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
from msgspec.structs import replace

from sprint import decoding
from sprint.errors import ForgeError
from sprint.forge import Forge
from sprint.monitor.pull_states import PullState

_PAGE = 50
_PAGES = 10
_CLOCK_SLACK = timedelta(hours=1)  # commits have the time of who made them
_OF_COMMIT = re.compile(r"This reverts commit ([0-9a-f]{7,64})")
_OF_PULL = re.compile(r"^Reverts (?:(?P<repo>[\w.-]+/[\w.-]+))?[#!](?P<number>[0-9]{1,18})\b", re.MULTILINE)


class _Person(msgspec.Struct):
    date: Annotated[datetime, msgspec.Meta(tz=True)]


class _Inner(msgspec.Struct):
    message: str
    author: _Person
    committer: _Person | None = None


class _Commit(msgspec.Struct):
    """A commit as Gitea, Forgejo and GitHub list it."""

    sha: str
    commit: _Inner

    @property
    def made_at(self) -> datetime:
        return (self.commit.committer or self.commit.author).date


def look_for(
    forge: Forge, merged: Iterable[PullState], heads: dict[str, str], check_time: Callable[[], None]
) -> Iterator[PullState]:
    """The pull requests whose state changes: reverted, or merged again where the revert was reverted.

    `merged` are merged ones of this forge, reverted or not. `heads` holds the newest commit looked at for
    each branch; it is brought up to date once what came of it was taken. Raises ForgeError, and what
    `check_time` raises.
    """
    branches: dict[tuple[str, str, str], list[PullState]] = {}
    for pull in merged:
        branches.setdefault((pull.forge, pull.repo, pull.base), []).append(pull)
    for (name, repo, base), pulls in branches.items():
        key = f"{name}:{repo}:{base}"
        since = min(pull.merged_at for pull in pulls if pull.merged_at) - _CLOCK_SLACK
        commits = _commits(forge, repo, base, heads.get(key, ""), since, check_time)
        yield from _judged(pulls, repo, commits)
        if commits:
            heads[key] = commits[-1].sha


def _commits(
    forge: Forge, repo: str, base: str, known: str, since: datetime, check_time: Callable[[], None]
) -> list[_Commit]:
    """A branch's commits, oldest first, from the one after `known` or from `since`."""
    found: list[_Commit] = []
    first = 0  # a server may give smaller pages than asked for
    for page in range(1, _PAGES + 1):
        check_time()
        size = {"limit": str(_PAGE), "per_page": str(_PAGE), "page": str(page)}
        listed = _listed(forge.read(repo, "commits", {"sha": base, "stat": "false", **size}), repo)
        for commit in listed:
            if commit.sha == known or commit.made_at < since:
                return found[::-1]
            found.append(commit)
        first = first or len(listed)
        if len(listed) < max(first, 1):
            break
    return found[::-1]


def _listed(answer: object, repo: str) -> list[_Commit]:
    try:
        return decoding.convert(answer or [], list[_Commit])
    except msgspec.ValidationError as error:
        raise ForgeError(f"{repo}: its list of commits cannot be understood: {error}") from error


def _judged(pulls: list[PullState], repo: str, commits: list[_Commit]) -> list[PullState]:
    now = {pull.number: pull for pull in pulls}
    for commit in commits:
        message = commit.commit.message
        undone = _OF_COMMIT.findall(message)
        numbers = {
            int(match["number"])
            for match in _OF_PULL.finditer(message)
            if match["repo"] is None or match["repo"].lower() == repo.lower()
        }
        for pull in now.copy().values():
            if pull.reverted_by and _names(undone, pull.reverted_by):
                now[pull.number] = replace(pull, state="merged", reverted_at=None, reverted_by="")
            elif pull.number in numbers or _names(undone, pull.merge_commit) or _names(undone, pull.head_sha):
                now[pull.number] = replace(
                    pull, state="reverted", reverted_at=commit.made_at, reverted_by=commit.sha
                )
    return [pull for pull in now.values() if pull not in pulls]


def _names(undone: list[str], sha: str) -> bool:
    return bool(sha) and any(sha.startswith(name) for name in undone)
