"""What GitHub's API says of things, field by field."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sprint.demo import git_server
from sprint.demo.gitea_api import Call
from sprint.demo.store import StoredComment
from tests.servers.store import StoredIssue, StoredLine, StoredPull, StoredRepo, StoredReview

_NEWEST_VERSION = "2026-03-10"
_PERMISSIONS = {"admin": "admin", "write": "push", "read": "pull"}


def stamp(at: datetime | None) -> str | None:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else None


def user(call: Call, login: str) -> dict[str, Any] | None:
    """None for the deleted, whose login is empty here."""
    if not login:
        return None
    stored = call.store.user(login)
    name = f"{login}[bot]" if stored.kind == "Bot" else login
    return {
        "login": name,
        "id": stored.id,
        "node_id": f"U_{stored.id}",
        "html_url": f"{call.url}/{login}",
        "url": f"{call.url}/api/v3/users/{login}",
        "type": stored.kind,
        "user_view_type": "public",
        "site_admin": stored.is_admin,
    }


def association(call: Call, repo: StoredRepo, login: str) -> str:
    if login == repo.owner:
        return "OWNER"
    if login in repo.rights:
        return "COLLABORATOR"
    merged = any(i.pull and i.pull.merged_at and i.author == login for i in repo.issues.values())
    return "CONTRIBUTOR" if merged else "NONE"


def repository(call: Call, repo: StoredRepo) -> dict[str, Any]:
    html = f"{call.url}/{repo.name}"
    right = call.store.right(repo, call.login)
    is_empty = not any(ref.startswith("refs/heads/") for ref in call.refs(repo))
    return {
        "id": repo.id,
        "node_id": f"R_{repo.id}",
        "name": repo.name.partition("/")[2],
        "full_name": repo.name,
        "private": repo.private,
        "owner": user(call, repo.owner),
        "html_url": html,
        "description": None,
        "fork": bool(repo.fork_of),
        **({"parent": {"full_name": repo.fork_of}} if repo.fork_of else {}),
        "url": f"{call.url}/api/v3/repos/{repo.name}",
        "clone_url": f"{html}.git",
        "ssh_url": f"git@127.0.0.1:{repo.name}.git",
        "size": 0 if is_empty else 24,
        "has_issues": repo.has_issues,
        "has_pull_requests": repo.has_pulls,
        "archived": repo.archived,
        "disabled": False,
        "visibility": "private" if repo.private else "public",
        "open_issues_count": sum(1 for issue in repo.issues.values() if issue.state == "open"),
        "default_branch": repo.default_branch,
        "permissions": {
            "admin": right == "admin",
            "maintain": right == "admin",
            "push": right in ("admin", "write"),
            "triage": right in ("admin", "write"),
            "pull": right != "none",
        },
    }


def label(call: Call, repo: StoredRepo, name: str) -> dict[str, Any] | str:
    if call.store.labels_as_strings:
        return name
    return {
        "id": repo.labels[name],
        "node_id": f"LA_{repo.labels[name]}",
        "url": f"{call.url}/api/v3/repos/{repo.name}/labels/{name}",
        "name": name,
        "color": "0052cc",
        "default": False,
        "description": None,
    }


def _shared(call: Call, stored: StoredIssue, kind: str) -> dict[str, Any]:
    repo = call.repo
    assignees = [user(call, login) for login in stored.assignees]
    shared = {
        "id": stored.id,
        "node_id": f"I_{stored.id}",
        "html_url": f"{call.url}/{repo.name}/{kind}/{stored.number}",
        "number": stored.number,
        "state": stored.state,
        "locked": stored.locked,
        "title": stored.title,
        "user": user(call, stored.author),
        "body": stored.body or None,
        "labels": [label(call, repo, name) for name in stored.labels],
        "assignee": assignees[0] if assignees else None,
        "assignees": assignees,
        "milestone": None,
        "author_association": association(call, repo, stored.author),
        "active_lock_reason": None,
        "created_at": stamp(stored.created_at),
        "updated_at": stamp(stored.updated_at),
        "closed_at": stamp(stored.closed_at),
    }
    return _dropping(call, shared, "assignee")


def _dropping(call: Call, fields: dict[str, Any], *dropped: str) -> dict[str, Any]:
    """Without the fields that the newest API version no longer has, where that version is asked for."""
    if call.request.headers.get("x-github-api-version") != _NEWEST_VERSION:
        return fields
    return {name: value for name, value in fields.items() if name not in dropped}


def issue(call: Call, stored: StoredIssue) -> dict[str, Any]:
    shared = _shared(call, stored, "pull" if stored.pull else "issues")
    api = f"{call.url}/api/v3/repos/{call.repo.name}"
    blockers = [call.repo.issues[number] for number in stored.blocked_by]
    shared |= {
        "url": f"{api}/issues/{stored.number}",
        "repository_url": api,
        "comments": len(stored.comments),
        "state_reason": "completed" if stored.state == "closed" else None,
        "issue_dependencies_summary": {
            "blocked_by": sum(1 for blocker in blockers if blocker.state == "open"),
            "total_blocked_by": len(blockers),
            "blocking": 0,
            "total_blocking": 0,
        },
    }
    if stored.pull:
        shared["draft"] = stored.pull.draft
        shared["pull_request"] = {
            "url": f"{api}/pulls/{stored.number}",
            "html_url": shared["html_url"],
            "merged_at": stamp(stored.pull.merged_at),
        }
    return shared


def pull(call: Call, stored: StoredIssue) -> dict[str, Any]:
    data = stored.pull
    assert data is not None
    shared = _shared(call, stored, "pull")
    shared |= {
        "url": f"{call.url}/api/v3/repos/{call.repo.name}/pulls/{stored.number}",
        "draft": data.draft,
        "merged_at": stamp(data.merged_at),
        "merge_commit_sha": data.merge_commit or None,
        "requested_reviewers": [],
        "requested_teams": [],
        "head": _side(call, data.head, data.head_sha, call.store.repos.get(data.head_repo), data),
        "base": _side(call, data.base, data.base_sha, call.repo, data),
    }
    return _dropping(call, shared, "merge_commit_sha")


def pull_in_full(call: Call, stored: StoredIssue) -> dict[str, Any]:
    """As one pull request is answered; lists leave these fields out."""
    data = stored.pull
    assert data is not None
    is_behind = data.head_sha and git_server.run_git(
        call.repo.path, "rev-list", "-1", f"{data.head_sha}..refs/heads/{data.base}"
    )
    return {
        **pull(call, stored),
        "merged": data.merged_at is not None,
        "mergeable": None if data.merged_at else True,
        "mergeable_state": "behind" if is_behind and data.base in call.repo.strict else "clean",
        "comments": len(stored.comments),
        "review_comments": 0,
        "commits": 1,
        "changed_files": 1,
    }


def _side(call: Call, branch: str, sha: str, repo: StoredRepo | None, pull: StoredPull) -> dict[str, Any]:
    owner = (repo.name if repo else pull.head_repo).partition("/")[0]
    return {
        "label": f"{owner}:{branch}",
        "ref": branch,
        "sha": sha,
        "user": user(call, owner),
        "repo": repository(call, repo) if repo else None,
    }


def comment(call: Call, stored: StoredComment) -> dict[str, Any]:
    html = f"{call.url}/{call.repo.name}/issues/{stored.issue}"
    return {
        "id": stored.id,
        "node_id": f"IC_{stored.id}",
        "url": f"{call.url}/api/v3/repos/{call.repo.name}/issues/comments/{stored.id}",
        "html_url": f"{html}#issuecomment-{stored.id}",
        "issue_url": f"{call.url}/api/v3/repos/{call.repo.name}/issues/{stored.issue}",
        "user": user(call, stored.author),
        "created_at": stamp(stored.created_at),
        "updated_at": stamp(stored.updated_at),
        "author_association": association(call, call.repo, stored.author),
        "body": stored.body,
    }


def line_comment(call: Call, stored: tuple[StoredReview, StoredLine]) -> dict[str, Any]:
    of, line = stored
    return {
        "id": line.id,
        "pull_request_review_id": of.id,
        "user": user(call, line.author),
        "author_association": association(call, call.repo, line.author),
        "body": line.body,
        "path": line.path,
        "line": line.line,
        "diff_hunk": "@@ -1,2 +1,2 @@",
        "created_at": stamp(line.created_at),
        "updated_at": stamp(line.updated_at),
    }


def review(call: Call, stored: StoredReview) -> dict[str, Any]:
    return {
        "id": stored.id,
        "user": user(call, stored.author),
        "body": stored.body,
        "state": {"COMMENT": "COMMENTED", "REQUEST_CHANGES": "CHANGES_REQUESTED"}.get(
            stored.state, stored.state
        ),
        "author_association": association(call, call.repo, stored.author),
        "submitted_at": stamp(stored.submitted_at),
        "commit_id": "",
    }
