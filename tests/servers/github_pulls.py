"""Pull requests in GitHub's REST dialect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sprint.demo import git_server
from sprint.demo.gitea_api import ApiError, Call, T
from sprint.demo.store import now
from tests.servers import forks, talk
from tests.servers import github_json as shape
from tests.servers.rest import Paging, may, page, select_issues
from tests.servers.store import Rejected, StoredIssue

_PAGING = Paging("per_page", 30, 100, ", ")


def listed(call: Call, items: Sequence[T], shaped: Callable[[Call, T], Any]) -> list[Any]:
    return page(call, _PAGING, items, shaped)


def _created(issue: StoredIssue) -> datetime:
    return issue.created_at


_SORT_KEYS: dict[str, Callable[[StoredIssue], Any]] = {
    "updated": lambda issue: issue.updated_at,
    "comments": lambda issue: len(issue.comments),
}


def ordered(call: Call, issues: list[StoredIssue]) -> list[StoredIssue]:
    """By `sort` (created, updated, comments) and `direction`, newest first unless told otherwise."""
    key = _SORT_KEYS.get(call.query.get("sort", ""), _created)
    newest_first = call.query.get("direction", "desc") != "asc"
    return sorted(issues, key=lambda issue: (key(issue), issue.id), reverse=newest_first)


def apply(call: Call, issue: StoredIssue, given: dict[str, Any]) -> None:
    """What a PATCH may change of an issue or of a pull request."""
    issue.title = given.get("title") or issue.title
    issue.body = given["body"] or "" if "body" in given else issue.body
    if given.get("state") in ("open", "closed") and given["state"] != issue.state:
        call.store.set_state(issue, given["state"])
    issue.updated_at = now()


class Invalid(ApiError):
    """GitHub's 422."""

    def __init__(self, *errors: dict[str, str] | str) -> None:
        super().__init__(422, "Validation Failed")
        self.errors = list(errors)


def find(call: Call) -> StoredIssue:
    call.store.follow_heads(call.repo)
    if call.issue.pull is None:
        raise ApiError(404, "Not Found")
    return call.issue


def get(call: Call) -> Any:
    return shape.pull_in_full(call, find(call))


def list_all(call: Call) -> Any:
    call.store.follow_heads(call.repo)
    owner, _, branch = call.query.get("head", "").rpartition(":")
    base = call.query.get("base")
    pulls = [
        issue
        for issue in select_issues(call)
        if issue.pull
        and (not branch or (issue.pull.head == branch and issue.pull.head_repo.startswith(f"{owner}/")))
        and (not base or issue.pull.base == base)
    ]
    return listed(call, ordered(call, pulls), shape.pull)


def create(call: Call) -> Any:
    given = call.request.json()
    head_owner, _, head = str(given.get("head") or "").rpartition(":")
    base = str(given.get("base") or "")
    if not call.repo.has_pulls:
        raise ApiError(404, "Not Found")
    if not given.get("title"):
        raise Invalid({"resource": "PullRequest", "code": "missing_field", "field": "title"})
    if given.get("draft") and not call.store.drafts_supported:
        raise ApiError(422, "Draft pull requests are not supported in this repository.")
    source = _head_repo(call, head_owner)
    _check_commits(call, source, head, base)
    try:
        made = call.store.create_pull(
            call.repo,
            call.login or "",
            given["title"],
            given.get("body") or "",
            head,
            base,
            draft=bool(given.get("draft")),
            head_repo=source,
        )
    except Rejected as rejected:
        raise _refused(call, str(rejected), head, base, source) from None
    return 201, shape.pull_in_full(call, made)


def _head_repo(call: Call, owner: str) -> str:
    own = call.repo.name
    if owner in ("", call.repo.owner):
        return own
    if (fork := forks.fork_of(call.store, call.repo, owner)) is None:
        raise _field_invalid("head")
    return fork.name


def _check_commits(call: Call, source: str, head: str, base: str) -> None:
    refs = call.refs(call.repo)
    ends = [refs.get(f"refs/heads/{branch}") for branch in (base, head)]
    if source != call.repo.name or not ends[0] or not ends[1]:
        return
    if git_server.run_git(call.repo.path, "rev-list", "--count", f"{ends[0]}..{ends[1]}") == "0\n":
        raise _custom(f"No commits between {base} and {head}")


def _refused(call: Call, reason: str, head: str, base: str, source: str) -> ApiError:
    if reason == "exists":
        return _custom(f"A pull request already exists for {source.partition('/')[0]}:{head}.")
    if reason == "same":
        return _custom(f"No commits between {base} and {head}")
    return _field_invalid(reason)


def _custom(message: str) -> ApiError:
    return Invalid({"resource": "PullRequest", "code": "custom", "message": message})


def _field_invalid(name: str) -> ApiError:
    return Invalid({"resource": "PullRequest", "field": name, "code": "invalid"})


def edit(call: Call) -> Any:
    issue = find(call)
    apply(call, issue, call.request.json())
    return shape.pull_in_full(call, issue)


def merge(call: Call) -> Any:
    issue = find(call)
    if issue.state != "open" or not may(call, "write"):
        raise ApiError(405, "Pull Request is not mergeable")
    try:
        call.store.merge(call.repo, issue, call.login or "")
    except Rejected:
        raise ApiError(405, "Pull Request is not mergeable") from None
    assert issue.pull is not None
    return {"sha": issue.pull.merge_commit, "merged": True, "message": "Pull Request successfully merged"}


def reviews(call: Call) -> Any:
    data = find(call).pull
    assert data is not None
    return listed(call, data.reviews, shape.review)


def review_comments(call: Call) -> Any:
    """Comments on lines of the diff, of all reviews."""
    data = find(call).pull
    assert data is not None
    said = [(review, line) for review in data.reviews for line in review.lines]
    return listed(call, said, shape.line_comment)


def reply(call: Call) -> Any:
    return 201, shape.line_comment(call, talk.reply(call, find(call)))


def ask_for_review(call: Call) -> Any:
    issue = find(call)
    talk.ask_for_review(call, issue)
    return 201, shape.pull(call, issue)


def activity(call: Call) -> Any:
    """Who pushed to a branch: of those that pull requests are from."""
    branch = call.query.get("ref", "").removeprefix("refs/heads/")
    pulls = (issue.pull for issue in call.repo.issues.values() if issue.pull)
    who = [login for pull in pulls if pull.head == branch for login in pull.pushers]
    return listed(call, who, lambda _call, login: {"activity_type": "push", "actor": shape.user(call, login)})
