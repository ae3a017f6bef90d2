"""Gitea, and Forgejo which forked from it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from urllib.parse import parse_qs, urlsplit

from sprint.config import ForgeKind
from sprint.domain import Issue, PullRequest, Secret
from sprint.errors import ForgeError
from sprint.forge import walk, wire
from sprint.forge.branch_rules import Protection, against_gitea
from sprint.forge.contract import Rights
from sprint.forge.http import Api, Query
from sprint.forge.rest import RECENT_PAGES, RestForge, at, is_unanswered

_DRAFT = re.compile(r"\[WIP\]|WIP:", re.IGNORECASE)
# How far back closed pull requests are looked through: the list cannot be filtered by branch.
_RECENT_PAGES = 4


@dataclass(frozen=True)
class _Insiders:
    """Who can be assigned: everyone who can write, and others unless `all_write`."""

    logins: frozenset[str]
    all_write: bool


class Gitea(RestForge):
    rights_needed = "write access, and a token with write:repository, write:issue and read:user"

    @classmethod
    def connect(
        cls,
        kind: ForgeKind,
        url: str,
        token: Secret | None,
        *,
        token_from: str,
        patience: float,
        timeout: float,
    ) -> Self:
        """`url` with or without `/api/v1`."""
        site = url.rstrip("/").removesuffix("/api/v1")
        api = Api(
            f"{site}/api/v1",
            token,
            scheme="token",
            headers={},
            token_from=token_from,
            patience=patience,
            timeout=timeout,
        )
        return cls(kind, site, token, api)

    def __init__(self, kind: ForgeKind, url: str, token: Secret | None, api: Api) -> None:
        super().__init__(kind, url, token, api)
        self._insiders: dict[str, _Insiders | None] = {}

    def oldest_issues(self, repo: str, label: str = "") -> Iterator[Issue]:
        def fetch(page: int, limit: int) -> walk.Page:
            path = f"{at(repo)}/issues"
            query = {"state": "open", "type": "issues", "page": page, "limit": limit, **self._labelled(label)}
            answer = self.api.get(path, query)
            items = self._items(answer, path, wire.IssueWire)
            total = answer.count("X-Total-Count")
            if total is None and (last := _page_number(answer.link("last"))):
                total = last * len(items)
            return walk.Page(items, total)

        for found in walk.oldest_first(fetch, self._paging()["limit"]):
            # Labels that the repository itself does not have (an organization's) do not filter at all.
            if found.pull_request is None and wire.has_label(found, label):
                yield self._to_issue(repo, found)

    def open_blockers(self, repo: str, issue: Issue) -> list[int]:
        try:
            blockers = self._all(f"{at(repo)}/issues/{issue.number:d}/dependencies", wire.IssueWire)
        except ForgeError as error:
            if error.status == 404:  # switched off
                return []
            raise
        return [blocker.number for blocker in blockers if blocker.state == "open"]

    def commented_since(self, repo: str, since: datetime) -> set[int] | None:
        path = f"{at(repo)}/issues/comments"
        query: Query = {"since": wire.stamp(since), **self._paging()}
        found: dict[int, wire.CommentWire] = {}
        # This list is cut into pages only where one is asked for, and tells its length and no next page.
        for page in range(1, RECENT_PAGES + 1):
            try:
                answer = self.api.get(path, {**query, "page": page})
            except ForgeError as error:
                if error.status in (403, 404, 405):
                    return None
                raise
            items = self._items(answer, path, wire.CommentWire)
            found |= {comment.id: comment for comment in items}
            total = answer.count("X-Total-Count")
            if total is not None and len(found) >= total:
                return wire.issues_of(found.values())
            if total is None or not items:  # removed meanwhile, one pulls another over a page's edge
                return None
        return None

    def pulls_of_branch(self, repo: str, branch: str) -> list[PullRequest]:
        path = f"{at(repo)}/pulls"
        query: Query = {"state": "all", "sort": "recentupdate", **self._paging()}
        found: list[wire.PullWire] = []
        for count, page in enumerate(self.api.pages(path, query), 1):
            found += self._items(page, path, wire.PullWire)
            if count == _RECENT_PAGES:
                found += self._all(path, wire.PullWire, state="open")
                break
        pulls = {pull.number: pull for pull in map(self._to_pull, found)}
        return sorted(
            (p for p in pulls.values() if p.head == branch and p.head_repo.lower() == repo.lower()),
            key=lambda p: p.number,
            reverse=True,
        )

    def create_pull(
        self, repo: str, *, title: str, body: str, head: str, base: str, draft: bool
    ) -> PullRequest:
        def find() -> wire.PullWire | None:
            for found in self._all(f"{at(repo)}/pulls", wire.PullWire, state="open"):
                pull = self._to_pull(found)
                if (pull.head, pull.base, pull.head_repo.lower()) == (head, base, repo.lower()):
                    return found
            return None

        payload = {"title": _drafted(title) if draft else title, "body": body, "head": head, "base": base}
        return self._create_pull(repo, payload, find, (409,))

    def update_pull(self, repo: str, number: int, *, title: str, body: str) -> None:
        # A draft is one by its title: without this an update would announce it as ready.
        is_draft = self.pull(repo, number).draft
        super().update_pull(repo, number, title=_drafted(title) if is_draft else title, body=body)

    def rights(self, repo: str) -> Rights:
        found = self.repository(repo)
        can_push: bool | None = found.can_push
        can_comment: bool | None = False
        if self.token and not found.archived:
            if can_push and self._has_scope(f"{at(repo)}/pulls") is False:
                can_push = False  # the account may, this token may not
            can_comment = self._has_scope(f"{at(repo)}/issues") if found.has_issues else False
        return Rights(login=self.whoami(), can_push=can_push, can_comment=can_comment)

    def branch_rules(self, repo: str, branch: str) -> list[str] | None:
        path = f"{at(repo)}/branch_protections"
        try:
            protections = self._items(self.api.get(path), path, Protection)  # never paged
        except ForgeError as error:
            if error.status in (401, 403, 404) or is_unanswered(error):  # administrators only
                return None
            raise
        return against_gitea(protections, branch, self.whoami())

    def _has_scope(self, path: str) -> bool | None:
        """Whether the token may write there: its scopes are looked at first, then that nothing was sent."""
        try:
            self.api.post(path, {})
        except ForgeError as error:
            if error.status in (403, 422):
                return error.status == 422
            if error.status != 404:  # switched off
                raise
        return None

    def _ask_can_write(self, repo: str, user: str) -> bool | None:
        if not self.token:
            return None
        known = super()._ask_can_write(repo, user)
        if known or user == self.whoami():
            return known
        # Only administrators may ask for somebody's permission, and Gitea tells even them "read" of those who
        # write by their team. But everyone may ask who can be assigned: all who can write, and some more.
        if repo not in self._insiders:
            self._insiders[repo] = self._ask_insiders(repo)
        insiders = self._insiders[repo]
        if insiders is None:
            return known
        if user.lower() not in insiders.logins:
            return False
        return True if insiders.all_write else known

    def _ask_insiders(self, repo: str) -> _Insiders | None:
        path = f"{at(repo)}/assignees"
        try:
            users = self._items(self.api.get(path), path, wire.User)
        except ForgeError as error:
            if error.status in (403, 404) or is_unanswered(error):
                return None
            raise
        return _Insiders(frozenset(user.login.lower() for user in users), self._all_teams_write(repo))

    def _all_teams_write(self, repo: str) -> bool:
        """False where a team may be among the assignable whose members can only read the code."""
        path = f"{at(repo)}/teams"
        try:
            teams = self._items(self.api.get(path), path, wire.TeamWire)
        except ForgeError as error:
            if error.status in (403, 404, 405) or is_unanswered(error):
                return error.status == 405  # a user's repository: it has no teams
            raise
        levels = [(team.units_map or {"repo.code": team.permission}).get("repo.code", "") for team in teams]
        return all(level in ("write", "admin", "owner") for level in levels)

    def _is_trusted(self, repo: str, text: wire.IssueWire | wire.CommentWire) -> bool | None:
        # What was migrated is signed by whoever migrated it, and is somebody else's word all the same.
        if text.original_author:
            return False
        return True if wire.login(text.user).lower() == repo.split("/")[0].lower() else None

    def _comments(self, repo: str, number: int) -> list[wire.CommentWire]:
        path = f"{at(repo)}/issues/{number:d}/comments"
        return self._items(self.api.get(path), path, wire.CommentWire)  # never paged

    def _to_pull(self, pull: wire.PullWire) -> PullRequest:
        # After the branch is deleted its name is left in the label only.
        ref, label = pull.head.ref, pull.head.label or ""
        head = label if label and ref.startswith("refs/pull/") else ref
        draft = pull.draft if pull.draft is not None else _DRAFT.match(pull.title) is not None
        return wire.pull(pull, head=head, draft=draft)

    def _paging(self) -> Mapping[str, int]:
        return {"limit": 50}


def _drafted(title: str) -> str:
    return title if _DRAFT.match(title) else f"WIP: {title}"


def _page_number(link: str) -> int:
    number = parse_qs(urlsplit(link).query).get("page", [""])[0]
    return int(number) if re.fullmatch("[0-9]{1,7}", number) else 0
