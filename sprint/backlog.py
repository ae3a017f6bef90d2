"""What one tick sees of a repository's backlog: the issues in order, and the next one that is fit."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import chain, islice

from sprint import backlog_seen
from sprint.config import PickConfig
from sprint.context import Context
from sprint.domain import Claim, Issue, PassedOver, Pick, PullRequest
from sprint.errors import ForgeError
from sprint.forge import Forge
from sprint.pick import choose

_MANY_CLAIMS = 100
_REMEMBERED = timedelta(days=30)
_FORGOTTEN_AT_ONCE = 5
_AHEAD = 5  # issues of the list that are shown as those to come


class Backlog:
    """The issues of one tick, read once: each pick goes on below the last. Raises ForgeError.

    `only` is the one issue that was asked for; with `force` nothing speaks against it but that it is closed.
    """

    def __init__(self, context: Context, *, only: int | None = None, force: bool = False) -> None:
        self.only = only
        self.force = force
        self._context = context
        self._listed: set[int] = set()
        self._is_whole = False  # whether the list was read to its end
        self._passed_over: tuple[PassedOver, ...] = ()
        self._reviewed: dict[int, bool] = {}
        self.waits_for_us: dict[int, bool] = {}  # of our pull requests that were looked at in this tick

    def pick(self, claims: dict[int, Claim]) -> Pick:
        """The next issue that is fit, by what the claims say now; the list is read page by page."""
        context, forge, name = self._context, self._context.forge, self._context.repository.name
        found = choose(
            self._issues,
            policy=context.repo_config.pick,
            repository=context.repository,
            claims=claims,
            open_pulls=self.open_pulls,
            me=forge.whoami(),
            branch_pattern=context.repo_config.publish.branch,
            blockers=lambda issue: forge.open_blockers(name, issue),
            can_write=lambda user: forge.can_write(name, user),
            has_news=context.discussions.has_news,
            reviewed=self._is_reviewed,
            now=datetime.now(UTC),
            only=self.only,
            force=self.force,
            before=self._passed_over,
        )
        self._passed_over = found.passed_over
        context.discussions.save(claims)
        return found

    def keep(self, pick: Pick) -> None:
        """Write down what was seen, for whoever looks on."""
        if self.only is not None:
            return
        ahead = list(islice(self._issues, _AHEAD))
        self._issues = chain(ahead, self._issues)  # a later pick goes on with them
        repo, results = self._context.repo_config, self._context.config.paths.results
        backlog_seen.keep(results, repo.forge, repo.name, pick, ahead)

    def pass_over(self, issue: Issue, reason: str) -> None:
        """Leave an issue that was picked to others."""
        self._passed_over = (*self._passed_over, PassedOver(issue.number, issue.title, reason))

    def forget_closed(self, claims: Mapping[int, Claim]) -> None:
        """Where claims have become many, remove some of long closed issues: each fetch reads them all."""
        if len(claims) <= _MANY_CLAIMS:
            return
        long_ago = datetime.now(UTC) - _REMEMBERED
        unlisted = self._unlisted(claims)
        old = [claim for claim in unlisted if claim.state == "released" and claim.expires < long_ago]
        for claim in random.sample(old, min(len(old), _FORGOTTEN_AT_ONCE)):
            if not self._is_open(claim.issue):
                self._context.claims.forget(claim)

    def _is_open(self, number: int) -> bool:
        try:
            return self._context.forge.issue(self._context.repository.name, number).is_open
        except ForgeError as error:
            if error.status not in (404, 410):
                raise
            return False

    def _unlisted(self, claims: Mapping[int, Claim]) -> list[Claim]:
        """Claims on issues that are not open, as far as the list was read; none where it has only some."""
        policy = self._context.repo_config.pick
        if self.only is not None or policy.labels or policy.order != "oldest":
            return []
        last = max(self._listed, default=0)
        known = {number for number in claims if self._is_whole or number < last}
        return [claims[number] for number in sorted(known - self._listed)]

    @cached_property
    def _issues(self) -> Iterator[Issue]:
        return self._read()

    def _read(self) -> Iterator[Issue]:
        forge, name = self._context.forge, self._context.repository.name
        if self.only is not None:
            yield forge.issue(name, self.only)
            return
        for issue in in_order(forge, name, self._context.repo_config.pick):
            self._listed.add(issue.number)
            yield issue
        self._is_whole = True

    @cached_property
    def open_pulls(self) -> list[PullRequest]:
        return self._context.forge.open_pulls(self._context.repository.name)

    def _is_reviewed(self, pull: PullRequest) -> bool:
        """Whether people have done what was theirs to do: what is followed waits for them or for us."""
        if pull.number in self.waits_for_us:
            return self.waits_for_us[pull.number]
        if pull.number not in self._reviewed:
            forge, name = self._context.forge, self._context.repository.name
            self._reviewed[pull.number] = forge.is_reviewed(name, pull)
        return self._reviewed[pull.number]


def in_order(forge: Forge, repo: str, policy: PickConfig) -> Iterator[Issue]:
    """Open issues as `policy` wants them, some perhaps twice; asked for as they are used."""
    first = () if policy.order == "oldest" else policy.order
    for label in first:
        yield from forge.oldest_issues(repo, label)
    if not policy.labels:
        yield from forge.oldest_issues(repo)
    else:
        lists = (forge.oldest_issues(repo, label) for label in policy.labels)
        yield from heapq.merge(*lists, key=lambda issue: (issue.created_at, issue.number))
