"""GitHub and GitHub Enterprise Server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Self
from urllib.parse import quote, urlsplit

from sprint.config import ForgeKind
from sprint.domain import Issue, PublicText, PullRequest, Remark, Secret, Status, replace
from sprint.errors import ForgeError
from sprint.forge import remarks, wire
from sprint.forge.answer import Answer
from sprint.forge.branch_rules import Rule, against_github
from sprint.forge.http import Api, Query
from sprint.forge.protocol import Rights
from sprint.forge.rest import RECENT_PAGES, RestForge, at, is_unanswered

API_VERSION = "2026-03-10"
_INSIDERS = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})


def _addresses(url: str) -> tuple[str, str]:
    """The site's address, where git is, and its API's."""
    site = url.rstrip("/").removesuffix("/api/v3")
    parts = urlsplit(site)
    host = (parts.hostname or "").removeprefix("api.").removeprefix("www.")
    if host in ("", "github.com"):
        return "https://github.com", "https://api.github.com"
    if host.endswith(".ghe.com"):
        return f"https://{host}", f"https://api.{host}"
    return site, f"{site}/api/v3"


class GitHub(RestForge):
    rights_needed = "write access, and a token with contents, issues and pull requests (or `repo`)"
    workflows = ("GitHub Actions",)
    has_hash_colors = False

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
        """`url` empty for github.com, else an Enterprise server's, with or without `/api/v3`."""
        site, base = _addresses(url)
        api = Api(
            base,
            token,
            scheme="Bearer",
            headers={"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": API_VERSION},
            token_from=token_from,
            patience=patience,
            timeout=timeout,
        )
        return cls(kind, site, token, api)

    def oldest_issues(self, repo: str, label: str = "") -> Iterator[Issue]:
        path = f"{at(repo)}/issues"
        oldest: Query = {"state": "open", "sort": "created", "direction": "asc"}
        query = {**oldest, **self._labelled(label), **self._paging()}
        seen: set[int] = set()
        before: Answer | None = None
        for page in self.api.pages(path, query):
            # Whatever was closed meanwhile pulled issues over the page's edge, to where we have been.
            slid = self._items(self.api.again(before), path, wire.IssueWire) if before else []
            before = page
            for found in slid + self._items(page, path, wire.IssueWire):
                is_new = found.number not in seen and found.pull_request is None
                if is_new and wire.has_label(found, label):
                    seen.add(found.number)
                    yield self._to_issue(repo, found)

    def whoami(self) -> str:
        try:
            return super().whoami()
        except ForgeError as error:
            # An app's token, like that of Actions, has no user; the other API knows its name all the same.
            if error.status != 403 or urlsplit(self.api.base).path:
                raise
        viewer = self.api.post("graphql", {"query": "{viewer {login}}"})
        found = wire.convert(viewer, wire.ViewerAnswer, self._what("graphql"))
        self._login = found.data.viewer.login
        return self._login

    def open_issue_count(self, repo: str) -> int | None:
        count = super().open_issue_count(repo)  # with pull requests, which are issues there
        return None if count is None else max(count - len(self.open_pulls(repo)), 0)

    def open_blockers(self, repo: str, issue: Issue) -> list[int]:
        path = f"{at(repo)}/issues/{issue.number:d}/dependencies/blocked_by"
        try:
            blockers = self._all(path, wire.IssueWire)
        except ForgeError as error:
            if error.status in (404, 410):  # older Enterprise servers have none
                return []
            raise
        return [blocker.number for blocker in blockers if blocker.state == "open"]

    def commented_since(self, repo: str, since: datetime) -> set[int] | None:
        path = f"{at(repo)}/issues/comments"
        query: Query = {"since": wire.stamp(since), "sort": "updated", "direction": "asc", **self._paging()}
        found: list[wire.CommentWire] = []
        try:
            for count, page in enumerate(self.api.pages(path, query), 1):
                found += self._items(page, path, wire.CommentWire)
                if count == RECENT_PAGES and page.link("next"):
                    return None
        except ForgeError as error:
            if error.status in (403, 404, 410):
                return None
            raise
        return wire.issues_of(found)

    def pulls_of_branch(self, repo: str, branch: str, *, head_repo: str = "") -> list[PullRequest]:
        source = head_repo or repo
        found = self._all(
            f"{at(repo)}/pulls",
            wire.PullWire,
            head=f"{source.split('/')[0]}:{branch}",
            state="all",
            sort="created",
            direction="desc",
        )
        return [
            pull
            for pull in map(self._to_pull, found)
            if pull.head == branch and pull.head_repo.lower() == source.lower()
        ]

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
        owner = (head_repo or repo).split("/")[0]

        def find() -> wire.PullWire | None:
            query = {"head": f"{owner}:{head}", "base": base, "state": "open"}
            found = self._all(f"{at(repo)}/pulls", wire.PullWire, **query)
            return found[0] if found else None

        branch = f"{owner}:{head}" if head_repo else head
        payload = {"title": title, "body": body, "head": branch, "base": base, "draft": draft}
        try:
            return self._create_pull(repo, payload, find, (422,))
        except ForgeError as error:
            # Private repositories of some plans have no drafts.
            if not draft or error.status != 422 or "draft" not in str(error).lower():
                raise
        return self._create_pull(repo, {**payload, "draft": False}, find, (422,))

    def _make_fork(self, repo: str, find: Callable[[], wire.RepoWire | None]) -> wire.RepoWire:
        # Asked for again it answers with the one that is there, whatever that is called.
        return self._make(f"{at(repo)}/forks", {"default_branch_only": False}, wire.RepoWire, find)

    def _line_comments(
        self, repo: str, number: int, reviews: Sequence[wire.ReviewWire]
    ) -> dict[int, list[wire.LineCommentWire]]:
        found: dict[int, list[wire.LineCommentWire]] = {}
        for said in self._all(f"{at(repo)}/pulls/{number:d}/comments", wire.LineCommentWire):
            found.setdefault(said.pull_request_review_id or 0, []).append(said)
        return found

    def statuses(self, repo: str, sha: str) -> list[Status]:
        path = f"{at(repo)}/commits/{sha}"
        answer = self.api.get(f"{path}/status", self._paging())
        told = wire.convert(answer.data, wire.StatusesWire, self._what(path))
        answer = self.api.get(f"{path}/check-runs", {"filter": "latest", **self._paging()})
        runs = wire.convert(answer.data, wire.CheckRunsWire, self._what(path))
        checks = [remarks.check_run(run) for run in runs.check_runs or ()]
        return [*(remarks.status(one) for one in told.statuses or ()), *checks]

    def pushers(self, repo: str, pull: PullRequest) -> set[str] | None:
        path = f"{at(pull.head_repo or repo)}/activity"
        try:
            events = self._all(path, wire.ActivityWire, ref=f"refs/heads/{pull.head}")
        except ForgeError as error:
            if error.status in (403, 404):  # older Enterprise servers do not tell
                return None
            raise
        later = (e for e in events if e.activity_type != "branch_creation")
        return {wire.login(event.actor).lower() for event in later}

    def answer(self, repo: str, number: int, remark: Remark, body: PublicText) -> None:
        self.api.post(f"{at(repo)}/pulls/{number:d}/comments/{remark.id:d}/replies", {"body": body})

    def _label_key(self, label: wire.Label) -> str:
        return quote(label.name or "", safe="")

    def _may_write(self, repo: str, user: wire.User | None, association: str) -> bool | None:
        # A member of the organisation can be one who may only read here.
        return association in _INSIDERS and self.can_write(repo, wire.login(user)) is not False

    def rights(self, repo: str) -> Rights:
        answer = self.api.get(at(repo))
        found = self._to_repository(repo, answer)
        scopes = _scopes(answer.headers)
        can_push, can_comment = found.can_push, None if self.token else False
        if scopes is not None:
            has_scope = "repo" in scopes or (not found.private and "public_repo" in scopes)
            can_push, can_comment = can_push and has_scope, has_scope
        elif can_push:
            can_push = None  # the account may; what a fine-grained token may is not told
        if found.archived or not found.has_issues:
            can_comment = False
        return Rights(login=self.whoami(), can_push=can_push, can_comment=can_comment)

    def branch_rules(self, repo: str, branch: str) -> list[str] | None:
        try:
            rules = self._all(f"{at(repo)}/rules/branches/{quote(branch, safe='')}", Rule)
        except ForgeError as error:
            if error.status in (403, 404) or is_unanswered(error):  # older Enterprise servers have none
                return None
            raise
        return against_github(rules)

    def must_be_current(self, repo: str, pull: PullRequest) -> bool | None:
        # Told where nothing else keeps it from being merged; worked out late.
        state = self._one(f"{at(repo)}/pulls/{pull.number:d}", wire.PullWire).mergeable_state
        return None if state in (None, "", "unknown") else state == "behind"

    def pull(self, repo: str, number: int) -> PullRequest:
        found = super().pull(repo, number)
        if found.merged_at is None or found.merge_commit:
            return found
        # Since 2026 a pull request does not tell its merge commit; the event does.
        events = self._all(f"{at(repo)}/issues/{number:d}/events", wire.EventWire)
        commits = [event.commit_id for event in events if event.event == "merged"]
        return replace(found, merge_commit=commits[-1] if commits else None)

    def _is_empty(self, repo: wire.RepoWire) -> bool:
        if repo.size:
            return False
        # The size lags behind: only the branch itself tells.
        try:
            self.api.get(f"{at(repo.full_name)}/branches/{quote(repo.default_branch)}")
        except ForgeError as error:
            if error.status == 404:
                return True
            raise
        return False

    def _can_push(self, repo: wire.RepoWire) -> bool | None:
        known = super()._can_push(repo)
        # An app's token has no user whose rights could be told: all of them are false, reading included.
        is_told = repo.permissions is not None and repo.permissions.pull
        return known if is_told or repo.archived or repo.disabled else None

    def _is_trusted(self, repo: str, text: wire.IssueWire | wire.CommentWire) -> bool | None:
        return text.author_association in _INSIDERS

    def _to_pull(self, pull: wire.PullWire) -> PullRequest:
        return wire.pull(pull, head=pull.head.ref, draft=bool(pull.draft))

    def _opened_by(self, login: str) -> Query:
        return {"state": "all", "creator": login}

    def _paging(self) -> Mapping[str, int]:
        return {"per_page": 100}


def _scopes(headers: Mapping[str, str]) -> tuple[str, ...] | None:
    """A classic token's scopes; None for the other kinds, which have none or do not tell."""
    parts = headers.get("X-OAuth-Scopes", "").split(",")
    return tuple(scope for part in parts if (scope := part.strip())) or None
