"""What Gitea's API says of things, field by field."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from sprint.demo import bare
from sprint.demo.api import Call
from sprint.demo.store import StoredComment, StoredIssue, StoredPull, StoredRepo, StoredReview

GONE = "not found"
_ZONE = timezone(timedelta(hours=-4))  # Gitea answers in its own time zone, not in UTC


def stamp(at: datetime | None) -> str | None:
    return at.astimezone(_ZONE).isoformat(timespec="seconds") if at else None


def user(call: Call, login: str) -> dict[str, Any]:
    if not login:
        return {"id": -1, "login": "Ghost", "login_name": "", "full_name": "", "email": "", "is_admin": False}
    stored = call.store.user(login)
    return {
        "id": stored.id,
        "login": login,
        "login_name": "",
        "full_name": "",
        "email": f"{login}@noreply.localhost",
        "html_url": f"{call.url}/{login}",
        "is_admin": stored.is_admin and call.login == login,
        "active": False,
        "restricted": False,
        "username": login,
    }


def team(number: int, level: str) -> dict[str, Any]:
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


def repository(call: Call, repo: StoredRepo) -> dict[str, Any]:
    html = f"{call.url}/{repo.name}"
    right = call.store.right(repo, call.login)
    open_items = [issue for issue in repo.issues.values() if issue.state == "open"]
    return {
        "id": repo.id,
        "owner": user(call, repo.owner),
        "name": repo.name.partition("/")[2],
        "full_name": repo.name,
        "description": "",
        "empty": not any(ref.startswith("refs/heads/") for ref in bare.refs(repo.path)),
        "private": repo.private,
        "fork": False,
        "template": False,
        "mirror": False,
        "size": 24,
        "html_url": html,
        "url": f"{call.url}/api/v1/repos/{repo.name}",
        "ssh_url": f"git@127.0.0.1:{repo.name}.git",
        "clone_url": f"{html}.git",
        "open_issues_count": sum(1 for issue in open_items if not issue.pull),
        "open_pr_counter": sum(1 for issue in open_items if issue.pull),
        "default_branch": repo.default_branch,
        "archived": repo.archived,
        "permissions": {
            "admin": right == "admin",
            "push": right in ("admin", "write"),
            "pull": right != "none",
        },
        "has_issues": repo.has_issues,
        "has_pull_requests": repo.has_pulls,
        "internal": False,
    }


def label(call: Call, repo: StoredRepo, name: str) -> dict[str, Any]:
    return {
        "id": repo.labels[name],
        "name": name,
        "exclusive": False,
        "is_archived": False,
        "color": "0052cc",
        "description": "",
        "url": f"{call.url}/api/v1/repos/{repo.name}/labels/{repo.labels[name]}",
    }


def issue(call: Call, stored: StoredIssue) -> dict[str, Any]:
    repo = call.repo
    kind = "pulls" if stored.pull else "issues"
    html = f"{call.url}/{repo.name}/{kind}/{stored.number}"
    assignees = [user(call, login) for login in stored.assignees]
    return {
        "id": stored.id,
        "url": f"{call.url}/api/v1/repos/{repo.name}/issues/{stored.number}",
        "html_url": html,
        "number": stored.number,
        "user": user(call, stored.author),
        "original_author": stored.original_author,
        "original_author_id": 0,
        "title": stored.title,
        "body": stored.body,
        "ref": "",
        "assets": [],
        "labels": [label(call, repo, name) for name in stored.labels],
        "milestone": None,
        "assignee": assignees[0] if assignees else None,
        "assignees": assignees or None,
        "state": stored.state,
        "is_locked": stored.locked,
        "comments": len(stored.comments),
        "created_at": stamp(stored.created_at),
        "updated_at": stamp(stored.updated_at),
        "closed_at": stamp(stored.closed_at),
        "due_date": None,
        "time_estimate": 0,
        "pull_request": _pull_of_issue(stored.pull, stored.title, html),
        "repository": {
            "id": repo.id,
            "name": repo.name.partition("/")[2],
            "owner": repo.owner,
            "full_name": repo.name,
        },
        "pin_order": 0,
    }


def _pull_of_issue(pull: StoredPull | None, title: str, html: str) -> dict[str, Any] | None:
    if pull is None:
        return None
    return {
        "merged": pull.merged_at is not None,
        "merged_at": stamp(pull.merged_at),
        "draft": is_draft(title),
        "html_url": html,
    }


def is_draft(title: str) -> bool:
    return title.upper().startswith(("WIP:", "[WIP]"))


def pull(call: Call, stored: StoredIssue) -> dict[str, Any]:
    data = stored.pull
    assert data is not None
    repo = call.repo
    source = call.store.repos.get(data.head_repo)
    like_issue = issue(call, stored)
    shared = (
        "id number user title body labels milestone assignee assignees state is_locked comments html_url "
        "created_at updated_at closed_at due_date pin_order"
    )
    return {
        **{name: like_issue[name] for name in shared.split()},
        "url": like_issue["html_url"],
        "requested_reviewers": None,
        "requested_reviewers_teams": None,
        "draft": is_draft(stored.title),
        "additions": 1,
        "deletions": 0,
        "changed_files": 1,
        "diff_url": f"{like_issue['html_url']}.diff",
        "patch_url": f"{like_issue['html_url']}.patch",
        "mergeable": data.merged_at is None,
        "merged": data.merged_at is not None,
        "merged_at": stamp(data.merged_at),
        "merge_commit_sha": data.merge_commit or None,
        "merged_by": None,
        "allow_maintainer_edit": False,
        "base": {
            "label": data.base,
            "ref": data.base,
            "sha": data.base_sha,
            "repo_id": repo.id,
            "repo": repository(call, repo),
        },
        "head": {
            "label": data.head,
            "ref": f"refs/pull/{stored.number}/head" if data.is_branch_gone else data.head,
            "sha": data.head_sha,
            "repo_id": source.id if source else -1,
            "repo": repository(call, source) if source else None,
        },
        "merge_base": data.base_sha,
    }


def comment(call: Call, stored: StoredComment) -> dict[str, Any]:
    html = f"{call.url}/{call.repo.name}/issues/{stored.issue}"
    return {
        "id": stored.id,
        "html_url": f"{html}#issuecomment-{stored.id}",
        "pull_request_url": "",
        "issue_url": html,
        "user": user(call, stored.author),
        "original_author": "",
        "original_author_id": 0,
        "body": stored.body,
        "assets": [],
        "created_at": stamp(stored.created_at),
        "updated_at": stamp(stored.updated_at),
    }


def review(call: Call, stored: StoredReview) -> dict[str, Any]:
    return {
        "id": stored.id,
        "user": user(call, stored.author),
        "team": None,
        "state": stored.state,
        "body": stored.body,
        "commit_id": "",
        "stale": False,
        "official": True,
        "dismissed": False,
        "comments_count": 0,
        "submitted_at": stamp(stored.submitted_at),
        "updated_at": stamp(stored.submitted_at),
    }
