"""What was seen of our pull requests, and what the forge has to be asked again.

An idle tick costs the list of open pull requests, which picking asks for as well, and one look at the base
branch. Details are asked for where one of these moved, or the last look left something open; the state of
CI where it was not final, of five at most in a tick, the longest not looked at first. That somebody edited
what they had said moves nothing that a list shows: what was said at one of them is read again once an hour.
What was seen is a cache of this host's: lost, it costs requests and nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec

from sprint import git, json_file
from sprint.context import Context
from sprint.domain import Claim, PullRequest, Remark, Status, Trigger
from sprint.errors import ForgeError, SprintError
from sprint.follow.decide import Decision, Seen
from sprint.settle import Mirrored, mirroring

_CI_AT_ONCE = 5
_SAME_MOMENT = timedelta(seconds=10)
_REREAD = timedelta(hours=1)
_WITHOUT_CI = timedelta(hours=1)  # after which a check that has not reported is not waited for

_log = logging.getLogger(__name__)
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Look(msgspec.Struct):
    """The last look at one pull request: what the list showed then, and what was decided."""

    updated_at: str
    head: str
    base_sha: str
    claim: str
    at: _Moment
    is_final: bool
    is_ci_final: bool
    step: str
    reason: str
    greens: int = 0
    has_conflict: bool | None = None
    is_behind: bool = False
    base_failures: tuple[str, ...] = ()  # checks of its head's that fail at the base, or may
    base_at: _Moment | None = None  # when the base was first seen at `base_sha`
    read_at: _Moment | None = None  # when what was said at it was read


class _Asked(msgspec.Struct, frozen=True):
    """What the forge said of a pull request, and the time when it was asked."""

    at: datetime
    statuses: tuple[Status, ...]
    remarks: tuple[Remark, ...]


class _Memory(msgspec.Struct):
    known: dict[int, Look] = {}


class Looks:
    """One repository's, in one tick. Every method but `save` and `close` raises ForgeError."""

    def __init__(self, context: Context, *, is_kept: bool = True, is_fresh: bool = False) -> None:
        self._context = context
        self._is_kept = is_kept
        self._is_fresh = is_fresh  # nothing is remembered, nor forgotten of the others
        self._mirrors: dict[str, Mirrored] = {}  # by the base that is asked about
        owner, name = context.repository.name.split("/")
        cache = context.config.paths.cache
        self._path: Path = cache / "follow" / context.repo_config.forge / owner / f"{name}.json"
        found = None if is_fresh else json_file.read_if_sound(self._path, _Memory)
        self._memory = found or _Memory()
        self._bases: dict[str, str] = {}
        self._ci_due: set[int] = set()
        self._reread: int | None = None
        self._read: set[int] = set()
        self._asked: dict[int, _Asked] = {}

    def begin(self, pulls: Sequence[PullRequest]) -> None:
        """Look at the bases of these, and choose whose CI is asked for."""
        bases, usual = {pull.base for pull in pulls}, self._context.base
        if any(pull.base == usual and self._is_new(pull) for pull in pulls):
            # Whether it conflicts will be asked: the mirror is wanted anyway, and tells where the base is.
            bases.remove(usual)
            self._begin_mirror(usual)
        if bases:
            heads = git.ls_remote(self._context.remote, *sorted(f"refs/heads/{base}" for base in bases))
            self._bases = {ref.removeprefix("refs/heads/"): sha for ref, sha in heads.items()}
        numbers = {pull.number for pull in pulls}
        known = {n: look for n, look in self._memory.known.items() if n in numbers}
        waiting = [n for n, look in known.items() if not look.is_ci_final]
        self._ci_due = set(sorted(waiting, key=lambda n: known[n].at)[:_CI_AT_ONCE])
        read = {n: look.read_at or look.at for n, look in known.items()}
        oldest = min(read, key=read.__getitem__, default=None)
        is_old = oldest is not None and read[oldest] < self._context.forge.clock() - _REREAD
        self._reread = oldest if is_old else None

    @property
    def mirrored(self) -> Mirrored | None:
        """The mirror as it was brought up to date for the base that new runs begin at; None where it was not,
        or is not known to have come to its end."""
        base = self._context.base
        return self._mirrors.get(base) if base in self._bases else None

    def close(self) -> None:
        """Leave what was begun and is not done."""
        for mirrored in self._mirrors.values():
            mirrored.stop()

    def last(self, pull: PullRequest) -> Look | None:
        return self._memory.known.get(pull.number)

    def seen(self, pull: PullRequest, claim: Claim) -> Seen | None:
        """All about a pull request; None where nothing moved since a look that left nothing to do."""
        is_calm = self._is_calm(pull, claim)
        if is_calm and self._is_at_the_same_base(pull) and pull.number not in self._ci_due:
            return None
        forge, name = self._context.forge, self._context.repository.name
        if _is_out_of_our_hands(pull, claim):
            return Seen(pull, forge.clock(), pushers=self._pushers(pull))
        asked = self._asked.get(pull.number) or self._ask(pull, is_calm=is_calm)
        now, statuses, remarks = asked.at, asked.statuses, asked.remarks
        is_same = self._has_its_head(pull) and self._is_at_the_same_base(pull)
        has_conflict, is_behind = self._merging(pull, is_same=is_same)
        if is_calm and (is_behind or not is_same):
            remarks = self._remarks(pull)
        must_be_current: bool | None = False
        if is_behind and has_conflict is False and self._context.repo_config.follow.update == "needed":
            must_be_current = forge.must_be_current(name, pull)
        base_failures, is_base_known = self._base_failures(pull, statuses, now)
        return Seen(
            pull=pull,
            now=now,
            remarks=remarks,
            statuses=statuses,
            base_failures=base_failures,
            is_base_known=is_base_known,
            has_conflict=has_conflict,
            is_behind=is_behind,
            must_be_current=must_be_current,
            pushers=None if claim.follow.head else self._pushers(pull),
            greens=self._greens(pull, statuses),
        )

    def ask_ahead(self, ours: Iterable[tuple[PullRequest, Claim]]) -> None:
        """Ask what needs no mirror, where one is under way. The first that fails is the last; it fails again,
        and is told, in `seen`."""
        if not self._mirrors:
            return
        with suppress(ForgeError):
            for pull, claim in ours:
                is_calm = self._is_calm(pull, claim)
                if not _is_out_of_our_hands(pull, claim) and (not is_calm or pull.number in self._ci_due):
                    self._asked[pull.number] = self._ask(pull, is_calm=is_calm)

    def _ask(self, pull: PullRequest, *, is_calm: bool) -> _Asked:
        now = self._context.forge.clock()  # before: what is said meanwhile is for the next look
        statuses = tuple(self._context.forge.statuses(self._context.repository.name, pull.head_sha))
        return _Asked(now, statuses, () if is_calm else self._remarks(pull))

    def keep(self, seen: Seen, claim: Claim, decision: Decision) -> None:
        pull, last = seen.pull, self.last(seen.pull)
        is_read = pull.number in self._read
        self._memory.known[pull.number] = Look(
            updated_at=_stamp(pull),
            head=pull.head_sha,
            base_sha=self._base_of(pull),
            claim=claim.sha,
            at=seen.now,
            # A forge's times are of whole seconds: what was said right after this look may have the same.
            is_final=decision.is_final and _is_past(pull, seen.now),
            is_ci_final=_is_ci_final(seen, claim),
            step=decision.step,
            reason=decision.reason,
            greens=seen.greens,
            has_conflict=seen.has_conflict,
            is_behind=seen.is_behind,
            base_failures=tuple(sorted(seen.base_failures)),
            base_at=self._base_since(pull, seen.now),
            read_at=seen.now if is_read or last is None else last.read_at,
        )

    def save(self, numbers: Iterable[int]) -> None:
        """Remember it for the next tick; failing to do so fails no tick."""
        if not self._is_kept or self._is_fresh:
            return
        wanted = set(numbers)
        self._memory.known = {n: look for n, look in self._memory.known.items() if n in wanted}
        try:
            json_file.write(self._path, self._memory, durable=False)
        except SprintError as error:
            _log.warning("%s", error)

    def _is_calm(self, pull: PullRequest, claim: Claim) -> bool:
        """Whether the last look left nothing to do, and nothing that the list shows has moved since."""
        look = self.last(pull)
        if look is None or not look.is_final or pull.number == self._reread:
            return False
        then = (look.head, look.updated_at, look.claim)
        return then == (pull.head_sha, _stamp(pull), claim.sha)

    def _has_its_head(self, pull: PullRequest) -> bool:
        """Whether the last look saw the commit that is proposed now."""
        look = self.last(pull)
        return look is not None and look.head == pull.head_sha

    def _greens(self, pull: PullRequest, statuses: Sequence[Status]) -> int:
        """How many looks in a row, with this one, found all of its head's CI green."""
        if not statuses or any(status.state != "success" for status in statuses):
            return 0
        look = self.last(pull)
        return (look.greens if look and self._has_its_head(pull) else 0) + 1

    def _remarks(self, pull: PullRequest) -> tuple[Remark, ...]:
        self._read.add(pull.number)
        return tuple(self._context.forge.remarks(self._context.repository.name, pull.number))

    def _is_at_the_same_base(self, pull: PullRequest) -> bool:
        look = self.last(pull)
        return look is not None and look.base_sha == self._base_of(pull)

    def _base_of(self, pull: PullRequest) -> str:
        if pull.base not in self._bases and pull.base in self._mirrors:
            self._bases[pull.base] = self._mirrors[pull.base].result(self._context.check_going_on)[1]
        return self._bases.get(pull.base, "")

    def _pushers(self, pull: PullRequest) -> frozenset[str] | None:
        found = self._context.forge.pushers(self._context.repository.name, pull)
        return None if found is None else frozenset(found)

    def _base_failures(
        self, pull: PullRequest, statuses: Sequence[Status], now: datetime
    ) -> tuple[frozenset[str], bool]:
        """Which of the checks that fail on it fail on its base as well, and whether that is known; asked for
        only where some do.

        Right after the base moved its CI has not said so yet: what runs there, and what failed there before,
        is not held against a pull request until it is known, or an hour has passed.
        """
        base, last = self._base_of(pull), self.last(pull)
        failing = {status.context for status in statuses if status.state == "failure"}
        if not failing or not base:
            return frozenset(), True
        there = self._context.forge.statuses(self._context.repository.name, base)
        states = {status.context: status.state for status in there}
        failed = {context for context in failing if states.get(context) == "failure"}
        before = last.base_failures if last else ()
        unsure = {c for c in failing if states.get(c) == "pending" or (c in before and c not in states)}
        if not unsure or self._base_since(pull, now) < now - _WITHOUT_CI:
            return frozenset(failed), True
        return frozenset(failed | unsure), False

    def _base_since(self, pull: PullRequest, now: datetime) -> datetime:
        last = self.last(pull)
        return last.base_at if last and last.base_at and self._is_at_the_same_base(pull) else now

    def _merging(self, pull: PullRequest, *, is_same: bool) -> tuple[bool | None, bool]:
        """Whether it conflicts with its base (None: not known), and whether that has moved on since it was
        merged in: as it was seen last where neither has moved (`is_same`), and by git itself where its branch
        is in the repository. A forge says that there is a conflict also while it is still looking, and is
        believed when it says so twice; of forks it tells no more."""
        look = self.last(pull)
        if look and is_same and look.has_conflict is not None:
            return look.has_conflict, look.is_behind
        context, base = self._context, self._base_of(pull)
        if not base:
            return None, False
        if not self._is_by_git(pull):
            can_merge = context.forge.pull(context.repository.name, pull.number).mergeable
            return (not can_merge if can_merge or is_same else None), False
        mirror = self._mirror(pull.base)
        if git.is_ancestor(mirror, base, pull.head_sha):
            return False, False
        if None in git.resolve_all(mirror, f"{pull.head_sha}^{{commit}}", f"{base}^{{commit}}"):
            return None, False  # it moved on meanwhile
        try:
            return bool(git.merge(mirror, pull.head_sha, base).conflicts), True
        except git.GitError:
            return True, True

    def _is_by_git(self, pull: PullRequest) -> bool:
        """Not of forks; and in a dry run nothing may be fetched."""
        return self._is_kept and pull.head_repo.lower() == self._context.repository.name.lower()

    def _is_new(self, pull: PullRequest) -> bool:
        return not self._has_its_head(pull) and self._is_by_git(pull)

    def _mirror(self, base: str) -> Path:
        """With the branches as they were at the first question about one that is proposed for that base."""
        self._begin_mirror(base)
        return self._mirrors[base].result(self._context.check_going_on)[0]

    def _begin_mirror(self, base: str) -> None:
        if base not in self._mirrors:
            self._mirrors[base] = mirroring(self._context, None, base)


def _is_out_of_our_hands(pull: PullRequest, claim: Claim) -> bool:
    return not pull.is_open or bool(claim.follow.head and pull.head_sha != claim.follow.head)


def _is_past(pull: PullRequest, now: datetime) -> bool:
    return pull.updated_at is not None and pull.updated_at < now - _SAME_MOMENT


def _is_ci_final(seen: Seen, claim: Claim) -> bool:
    """Whether CI has nothing more to say of this commit; at the second green its rounds are forgotten, and
    what waits for a person because of it does so no longer."""
    if not seen.statuses:
        moved = seen.pull.updated_at or seen.pull.created_at
        return moved < seen.now - _WITHOUT_CI
    if not seen.is_base_known or any(status.state == "pending" for status in seen.statuses):
        return False
    return claim.follow.stuck_on != Trigger.CI and not (claim.follow.ci and 0 < seen.greens < 2)


def _stamp(pull: PullRequest) -> str:
    return pull.updated_at.isoformat() if pull.updated_at else ""
