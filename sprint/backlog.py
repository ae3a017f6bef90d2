"""What one tick sees of a repository's backlog: the issues in order, and the next one that is fit."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property

from sprint.config import PickConfig
from sprint.context import Context
from sprint.domain import Claim, Issue, PassedOver, Pick, PullRequest
from sprint.forge import Forge
from sprint.pick import choose


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

    def pick(self, claims: dict[int, Claim]) -> Pick:
        """The next issue that is fit, by what the claims say now; the list is read page by page."""
        context, forge, name = self._context, self._context.forge, self._context.repository.name
        found = choose(
            self._issues,
            policy=context.repo_config.pick,
            repository=context.repository,
            claims=claims,
            open_pulls=self._open_pulls,
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

    def pass_over(self, issue: Issue, reason: str) -> None:
        """Leave an issue that was picked to others."""
        self._passed_over = (*self._passed_over, PassedOver(issue.number, issue.title, reason))

    def unlisted(self, claims: Mapping[int, Claim]) -> list[Claim]:
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
    def _open_pulls(self) -> list[PullRequest]:
        return self._context.forge.open_pulls(self._context.repository.name)

    def _is_reviewed(self, pull: PullRequest) -> bool:
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
