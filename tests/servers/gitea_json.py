"""What Gitea's API says of things, field by field, where the demo's says less."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sprint.demo.gitea_api import Call, GiteaApi, T, stamp
from sprint.demo.store import StoredComment
from tests.servers.rest import Paging, page
from tests.servers.store import StoredIssue, StoredLine, StoredPull, StoredRepo, StoredReview

_PAGING = Paging("limit", 30, 50, ",")
_OF_ISSUES_ONLY = frozenset(
    ["pull_request", "repository", "original_author", "original_author_id", "ref", "assets", "time_estimate"]
)


class GiteaJson(GiteaApi):
    def listed(self, call: Call, items: Sequence[T], shape: Callable[[Call, T], Any]) -> list[Any]:
        """A page as every paged list of Gitea answers it."""
        call.headers["X-Total-Count"] = str(len(items))
        call.headers["Access-Control-Expose-Headers"] = "Link, X-Total-Count"
        return page(call, _PAGING, items, shape)

    def user_json(self, call: Call, login: str) -> dict[str, Any]:
        if not login:
            ghost = {"id": -1, "login": "Ghost", "login_name": "", "full_name": "", "email": ""}
            return {**ghost, "is_admin": False}
        stored = call.store.user(login)
        return {
            **super().user_json(call, login),
            "id": stored.id,
            "login_name": "",
            "email": f"{login}@noreply.localhost",
            "is_admin": stored.is_admin and call.login == login,
            "active": False,
            "restricted": False,
        }

    def repository_json(self, call: Call, repo: StoredRepo) -> dict[str, Any]:
        open_pulls = call.store.open_pulls(repo)
        return {
            **super().repository_json(call, repo),
            "id": repo.id,
            "owner": self.user_json(call, repo.owner),
            "name": repo.name.partition("/")[2],
            "description": "",
            "private": repo.private,
            "fork": bool(repo.fork_of),
            "parent": {"full_name": repo.fork_of} if repo.fork_of else None,
            "template": False,
            "mirror": False,
            "size": 24,
            "url": f"{call.url}/api/v1/repos/{repo.name}",
            "ssh_url": f"git@127.0.0.1:{repo.name}.git",
            "clone_url": f"{call.url}/{repo.name}.git",
            "open_pr_counter": len(open_pulls),
            "archived": repo.archived,
            "has_issues": repo.has_issues,
            "has_pull_requests": repo.has_pulls,
            "internal": False,
        }

    def label_json(self, call: Call, name: str) -> dict[str, Any]:
        repo = call.repo
        return {
            "id": repo.labels[name],
            "name": name,
            "exclusive": False,
            "is_archived": False,
            "color": "0052cc",
            "description": "",
            "url": f"{call.url}/api/v1/repos/{repo.name}/labels/{repo.labels[name]}",
        }

    def issue_json(self, call: Call, issue: StoredIssue) -> dict[str, Any]:
        repo = call.repo
        small = super().issue_json(call, issue)
        assignees = [self.user_json(call, login) for login in issue.assignees]
        return {
            **small,
            "url": f"{call.url}/api/v1/repos/{repo.name}/issues/{issue.number}",
            "original_author": issue.original_author,
            "original_author_id": 0,
            "ref": "",
            "assets": [],
            "labels": [self.label_json(call, name) for name in issue.labels],
            "milestone": None,
            "assignee": assignees[0] if assignees else None,
            "assignees": assignees or None,
            "is_locked": issue.locked,
            "closed_at": stamp(issue.closed_at),
            "due_date": None,
            "time_estimate": 0,
            "pull_request": _pull_of_issue(small, issue.pull),
            "repository": {
                "id": repo.id,
                "name": repo.name.partition("/")[2],
                "owner": repo.owner,
                "full_name": repo.name,
            },
            "pin_order": 0,
        }

    def pull_json(self, call: Call, issue: StoredIssue) -> dict[str, Any]:
        pull = issue.pull
        small = super().pull_json(call, issue)
        source = call.store.repos.get(pull.head_repo)
        is_own = source is call.repo
        return {
            **{name: value for name, value in small.items() if name not in _OF_ISSUES_ONLY},
            "url": small["html_url"],
            "requested_reviewers": None,
            "requested_reviewers_teams": None,
            "additions": 1,
            "deletions": 0,
            "changed_files": 1,
            "diff_url": f"{small['html_url']}.diff",
            "patch_url": f"{small['html_url']}.patch",
            "mergeable": pull.merged_at is None,
            "merged": pull.merged_at is not None,
            "merged_at": stamp(pull.merged_at),
            "merge_commit_sha": pull.merge_commit or None,
            "merged_by": None,
            "allow_maintainer_edit": False,
            "base": {**small["base"], "sha": pull.base_sha, "repo_id": call.repo.id},
            "head": {
                "label": pull.head,
                "ref": f"refs/pull/{issue.number}/head" if pull.is_branch_gone else pull.head,
                "sha": pull.head_sha,
                "repo_id": source.id if source else -1,
                "repo": small["head"]["repo"] if is_own else source and self.repository_json(call, source),
            },
            "merge_base": pull.base_sha,
        }

    def comment_json(self, call: Call, comment: StoredComment) -> dict[str, Any]:
        return {
            **super().comment_json(call, comment),
            "pull_request_url": "",
            "issue_url": f"{call.url}/{call.repo.name}/issues/{comment.issue}",
            "original_author": "",
            "original_author_id": 0,
            "assets": [],
        }

    def review_json(self, call: Call, review: StoredReview) -> dict[str, Any]:
        return {
            "id": review.id,
            "user": self.user_json(call, review.author),
            "team": None,
            "state": review.state,
            "body": review.body,
            "commit_id": "",
            "stale": False,
            "official": review.state in ("APPROVED", "REQUEST_CHANGES")
            and not review.dismissed
            and call.store.may(call.repo, review.author, "write"),
            "dismissed": review.dismissed,
            "comments_count": len(review.lines),
            "submitted_at": stamp(review.submitted_at),
            "updated_at": stamp(review.submitted_at),
        }


def _pull_of_issue(issue: dict[str, Any], pull: StoredPull | None) -> dict[str, Any] | None:
    if pull is None:
        return None
    merged = {"merged": pull.merged_at is not None, "merged_at": stamp(pull.merged_at)}
    return {**issue["pull_request"], **merged, "html_url": issue["html_url"]}


def line_json(user: dict[str, Any], review: StoredReview, line: StoredLine) -> dict[str, Any]:
    return {
        "id": line.id,
        "user": user,
        "body": line.body,
        "path": line.path,
        "position": line.line,
        "original_position": line.old_line,
        "diff_hunk": "@@ -1,2 +1,2 @@",
        "pull_request_review_id": review.id,
        "commit_id": "",
        "original_commit_id": "",
        "resolver": None,
        "created_at": stamp(line.created_at),
        "updated_at": stamp(line.updated_at),
    }


def team_json(number: int, level: str) -> dict[str, Any]:
    """A team of all those who have the same level."""
    units = ("repo.code", "repo.issues", "repo.pulls")
    return {
        "id": number,
        "name": "Owners" if level == "owner" else f"{level}s",
        "includes_all_repositories": level == "owner",
        "permission": level if level in ("owner", "admin") else "none",
        "units": list(units),
        "units_map": dict.fromkeys(units, level),
    }
