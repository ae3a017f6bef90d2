"""Gitea, and Forgejo which forked from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct

from sprint.config import ForgeKind
from sprint.domain import Issue, PublicText, PullRequest, Remark, Secret, Status
from sprint.errors import ForgeError
from sprint.forge import forks, remarks, walk, wire
from sprint.forge.branch_rules import Protection, against_gitea, blocks_outdated
from sprint.forge.http import Api, Query
from sprint.forge.protocol import Rights
from sprint.forge.rest import RECENT_PAGES, RestForge, at, is_unanswered

_DRAFT = re.compile(r"\[WIP\]|WIP:", re.IGNORECASE)
# How far back closed pull requests are looked through: the list cannot be filtered by branch.
_RECENT_PAGES = 4
_WITH_LINES = ("REQUEST_CHANGES", "COMMENT")  # of these reviews the comments at lines count


class _Insiders(Struct, frozen=True):
    """Who can be assigned: everyone who can write, and others unless `all_write`."""

    logins: frozenset[str]
    all_write: bool


class Gitea(RestForge):
    rights_needed = "write access, and a token with write:repository, write:issue and read:user"
    workflows = ("Gitea Actions", "Forgejo Actions", "GitHub Actions")

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

    def pulls_of_branch(self, repo: str, branch: str, *, head_repo: str = "") -> list[PullRequest]:
        path = f"{at(repo)}/pulls"
        query: Query = {"state": "all", "sort": "recentupdate", **self._paging()}
        found: list[wire.PullWire] = []
        for count, page in enumerate(self.api.pages(path, query), 1):
            found += self._items(page, path, wire.PullWire)
            if count == _RECENT_PAGES:
                found += self._all(path, wire.PullWire, state="open")
                break
        pulls = {pull.number: pull for pull in map(self._to_pull, found)}
        source = (head_repo or repo).lower()
        return sorted(
            (p for p in pulls.values() if p.head == branch and p.head_repo.lower() == source),
            key=lambda p: p.number,
            reverse=True,
        )

    def create_pull(
        self,
        repo: str,
        *,
        title: PublicText,
        body: PublicText,
        head: str,
        base: str,
        draft: bool,
        head_repo: str = "",
    ) -> PullRequest:
        source = head_repo or repo

        def find() -> wire.PullWire | None:
            for found in self._all(f"{at(repo)}/pulls", wire.PullWire, state="open"):
                pull = self._to_pull(found)
                if (pull.head, pull.base, pull.head_repo.lower()) == (head, base, source.lower()):
                    return found
            return None

        branch = f"{source.split('/')[0]}:{head}" if head_repo else head
        payload = {"title": _drafted(title) if draft else title, "body": body, "head": branch, "base": base}
        return self._create_pull(repo, payload, find, (409,))

    def _make_fork(self, repo: str, find: Callable[[], wire.RepoWire | None]) -> wire.RepoWire:
        path = f"{at(repo)}/forks"

        def look() -> wire.RepoWire | None:
            return find() or self._listed_fork(repo)

        try:
            return self._make(path, {}, wire.RepoWire, look)
        except ForgeError as error:
            if error.status != 409:
                raise
            if there := look():
                return there
        # The name is taken by a repository of ours that is something else.
        return self._make(path, {"name": forks.second_name(repo)}, wire.RepoWire, look)

    def _listed_fork(self, repo: str) -> wire.RepoWire | None:
        """Our fork whatever it is called by now."""
        found = self._all(f"{at(repo)}/forks", wire.RepoWire)
        return next((one for one in found if forks.is_fork_of(one, repo, self.whoami())), None)

    def update_pull(self, repo: str, number: int, *, title: PublicText, body: PublicText) -> None:
        # A draft is one by its title: without this an update would announce it as ready.
        is_draft = self.pull(repo, number).draft
        super().update_pull(repo, number, title=PublicText(_drafted(title)) if is_draft else title, body=body)

    def _line_comments(
        self, repo: str, number: int, reviews: Sequence[wire.ReviewWire]
    ) -> dict[int, list[wire.LineCommentWire]]:
        path = f"{at(repo)}/pulls/{number:d}/reviews"
        said = (review for review in reviews if review.state in _WITH_LINES)
        return {
            review.id: self._items(self.api.get(f"{path}/{review.id:d}/comments"), path, wire.LineCommentWire)
            for review in said
        }

    def statuses(self, repo: str, sha: str) -> list[Status]:
        # An unknown commit is 404 on Gitea and none on Forgejo; one without statuses is "pending" on Gitea.
        path = f"{at(repo)}/commits/{sha}/status"
        found = wire.convert(self.api.get(path).data, wire.StatusesWire, self._what(path))
        return [remarks.status(one) for one in found.statuses or ()]

    def pushers(self, repo: str, pull: PullRequest) -> set[str] | None:
        path = f"{at(repo)}/issues/{pull.number:d}/timeline"
        try:
            events = self._all(path, wire.TimelineWire)
        except ForgeError as error:
            if error.status in (403, 404):
                return None
            raise
        return {wire.login(event.user).lower() for event in events if event.type == "pull_push"}

    def answer(self, repo: str, number: int, remark: Remark, body: PublicText) -> None:
        path = f"{at(repo)}/pulls/{number:d}"
        sides = {"new_position": remark.line, "old_position": remark.old_line}
        at_line = {"body": body, "path": remark.path, **sides}
        # From Gitea 1.27 there are replies; on Forgejo it is another comment at the line, in the same review;
        # on Gitea before, one in a review of our own.
        ways: tuple[tuple[str, Mapping[str, Any]], ...] = (
            (f"{path}/comments/{remark.id:d}/replies", {"body": body}),
            (f"{path}/reviews/{remark.review:d}/comments", at_line),
            (f"{path}/reviews", {"event": "COMMENT", "comments": [at_line]}),
        )
        for place, payload in ways:
            try:
                self.api.post(place, payload)
                return
            except ForgeError as error:
                if error.status not in (404, 405):
                    raise
                refused = error
        raise refused

    def _label_key(self, label: wire.Label) -> str:
        return str(label.id)  # by its name it is not found

    def _may_write(self, repo: str, user: wire.User | None, association: str) -> bool | None:
        login = wire.login(user)
        if login.lower() in (repo.split("/")[0].lower(), self.whoami().lower()):
            return True
        return self.can_write(repo, login)

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
        protections = self._protections(repo)
        return None if protections is None else against_gitea(protections, branch, self.whoami())

    def must_be_current(self, repo: str, pull: PullRequest) -> bool | None:
        return blocks_outdated(self._protections(repo) or (), pull.base)

    def _protections(self, repo: str) -> list[Protection] | None:
        path = f"{at(repo)}/branch_protections"
        try:
            return self._items(self.api.get(path), path, Protection)  # never paged
        except ForgeError as error:
            if error.status in (401, 403, 404) or is_unanswered(error):  # administrators only
                return None
            raise

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

    def _opened_by(self, login: str) -> Query:
        return {"state": "all", "type": "issues", "created_by": login}

    def _paging(self) -> Mapping[str, int]:
        return {"limit": 50}


def _drafted(title: str) -> str:
    return title if _DRAFT.match(title) else f"WIP: {title}"


def _page_number(link: str) -> int:
    number = parse_qs(urlsplit(link).query).get("page", [""])[0]
    return int(number) if re.fullmatch("[0-9]{1,7}", number) else 0
