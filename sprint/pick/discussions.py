"""What people have said at each issue, asked for only where something moved.

Whether an issue that was tried before has news shows in a digest of its title, its text and its comments.
The list of issues has all of that but the comments, and how many they are; which comments were made or edited
since a moment, one request tells for the whole repository. So digests are remembered, in a cache of this
host's, as long as neither says otherwise.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec

from sprint import json_file
from sprint.domain import Claim, Comment, Issue
from sprint.errors import ForgeError, SprintError
from sprint.forge import Forge
from sprint.pick.news import issue_digest, was_said_after

# Comments may show up a little later than they are dated, and not every clock at a forge is the same.
_OVERLAP = timedelta(minutes=5)
# How many issues one tick asks for only because the cache is fresh: a thousand must not cost a thousand.
_STRANGERS_AT_ONCE = 1

_log = logging.getLogger(__name__)


_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class _Known(msgspec.Struct):
    """A digest, and what it was made from. `quiet`: the claim against which it was found to be no news."""

    text: str
    comments: int
    digest: str
    quiet: str = ""


class _Memory(msgspec.Struct):
    """`since`: comments that are older have been looked at; both moments are by the forge's clock."""

    began: _Moment
    since: _Moment
    known: dict[int, _Known] = {}


class Discussions:
    """One repository's, in one tick; what is remembered is in the file `path`, and stays as it is unless
    `is_kept`. Every method but `save` raises ForgeError.
    """

    def __init__(self, forge: Forge, repo: str, path: Path, *, is_kept: bool = True) -> None:
        self._forge = forge
        self._repo = repo
        self._path = path
        self._is_kept = is_kept
        self._memory: _Memory | None = None
        self._is_current = False
        self._strangers = 0
        self._heard: dict[int, list[Comment]] = {}

    def digest(self, issue: Issue) -> str:
        """The issue's digest now; one request where it has comments."""
        comments = self._comments(issue) if issue.comments else []
        digest = issue_digest(issue, comments)
        if comments:
            self._remembered().known[issue.number] = _Known(_text(issue), issue.comments, digest)
        return digest

    def has_news(self, issue: Issue, claim: Claim) -> bool:
        """Whether people have said something since the attempt that the claim tells of began.

        Where that attempt ended with a pull request, only what they said after it was closed is news.
        """
        if not claim.seen:
            return False
        digest = self._digest(issue, claim)
        if digest is None or digest == claim.seen:
            return False
        if claim.state == "claimed" or claim.pr is None:
            return True
        return self._is_after_close(issue, digest, claim, claim.pr)

    def save(self, numbers: Collection[int]) -> None:
        """Remember what is known of these issues for the next tick; failing to do so fails no tick."""
        if not self._is_kept or self._memory is None:
            return
        self._memory.known = {n: known for n, known in self._memory.known.items() if n in numbers}
        try:
            json_file.write(self._path, self._memory, durable=False)
        except SprintError as error:
            _log.warning("%s", error)

    def _digest(self, issue: Issue, claim: Claim) -> str | None:
        """None where it is not known, nothing speaks for news, and enough was asked in this tick."""
        if not issue.comments:
            return issue_digest(issue, [])
        known = self._remembered().known.get(issue.number)
        if known is not None and (known.text, known.comments) == (_text(issue), issue.comments):
            self._forget_moved()
            if known := self._remembered().known.get(issue.number):
                return known.digest
        elif known is None and self._is_quiet_stranger(issue, claim):
            self._strangers += 1
            if self._strangers > _STRANGERS_AT_ONCE:
                return None
        return self.digest(issue)

    def _is_quiet_stranger(self, issue: Issue, claim: Claim) -> bool:
        """It was parked before this cache was begun, and has not visibly moved since. That leaves a comment
        made while it was worked on, and on Gitea one that was edited: they are found some ticks later."""
        return claim.expires < self._remembered().began and issue.updated_at <= claim.expires + _OVERLAP

    def _is_after_close(self, issue: Issue, digest: str, claim: Claim, pull_number: int) -> bool:
        known = self._remembered().known.get(issue.number)
        if known is None or known.digest != digest:
            known = _Known(_text(issue), issue.comments, digest)
            self._remembered().known[issue.number] = known
        if known.quiet == claim.sha:
            return False
        try:
            pull = self._forge.pull(self._repo, pull_number)
        except ForgeError as error:
            if error.status != 404:
                raise
            return True
        closed = pull.closed_at or pull.merged_at
        if pull.is_open or closed is None:
            return not pull.is_open
        comments = self._comments(issue) if issue.comments else []
        is_news = was_said_after(closed, issue, comments, claim.seen)
        known.quiet = "" if is_news else claim.sha
        return is_news

    def _comments(self, issue: Issue) -> list[Comment]:
        if issue.number not in self._heard:
            self._heard[issue.number] = self._forge.comments(self._repo, issue.number)
        return self._heard[issue.number]

    def _forget_moved(self) -> None:
        """Once in a tick: forget what was commented on since the last one."""
        if self._is_current:
            return
        self._is_current = True
        memory = self._remembered()
        now = self._forge.clock()
        moved = self._forge.commented_since(self._repo, memory.since - _OVERLAP)
        if moved is None:
            _log.info("%s: what was commented on is not told; asking for each issue", self._repo)
            memory.known.clear()
        for number in moved or ():
            memory.known.pop(number, None)
        memory.since = now

    def _remembered(self) -> _Memory:
        if self._memory is None:
            self._memory = self._loaded() or _Memory(self._forge.clock(), self._forge.clock())
        return self._memory

    def _loaded(self) -> _Memory | None:
        memory = json_file.read_if_sound(self._path, _Memory)
        if memory is None:
            return None
        now = self._forge.clock()
        return memory if max(memory.began, memory.since) <= now + _OVERLAP else None


def _text(issue: Issue) -> str:
    said = msgspec.json.encode([issue.title, issue.body])
    return hashlib.sha256(said).hexdigest()
