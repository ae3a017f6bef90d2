"""What both REST dialects tell of branches, commits and the like, in nearly the same shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sprint.demo import git_server
from sprint.demo.gitea_api import PULL, REPO, ApiError, Call, Handler

Listed = Callable[[Call, Sequence[Any], Callable[[Call, Any], Any]], list[Any]]

_FIELD, _COMMIT = "\x1f", "\x1e"
_LOG_FORMAT = _FIELD.join(("%H", "%an", "%ae", "%aI", "%B")) + _COMMIT
_MOST_COMMITS = 1000
_STATUS = {"A": "added", "M": "modified", "D": "removed", "R": "renamed"}


def routes(listed: Listed, *, commit_id: str, no_status: str) -> dict[str, Handler]:
    """`commit_id` is the field of a branch's commit, `no_status` the state of a commit without statuses."""

    def branch(call: Call, name: str) -> dict[str, Any]:
        return {"name": name, "commit": {commit_id: _heads(call)[name]}, "protected": False}

    def one_branch(call: Call) -> Any:
        if call.args["branch"] not in _heads(call):
            raise ApiError(404, "Branch not found")
        return branch(call, call.args["branch"])

    def status(call: Call) -> Any:
        statuses = call.repo.statuses.get(call.args["sha"]) or []
        state = statuses[-1]["state"] if statuses else no_status
        return {
            "state": state,
            "sha": call.args["sha"],
            "total_count": len(statuses),
            "statuses": statuses or None,
        }

    return {
        f"GET {REPO}/branches": lambda call: listed(call, sorted(_heads(call)), branch),
        f"GET {REPO}/branches/(?P<branch>.+)": one_branch,
        f"GET {REPO}/commits": lambda call: listed(call, _log(call), _commit),
        f"GET {REPO}/commits/(?P<sha>[^/]+)/status": status,
        f"GET {PULL}/files": lambda call: listed(call, _files(call), lambda _call, file: file),
        f"GET {REPO}/(tags|milestones|releases)": lambda call: listed(call, [], branch),
    }


def _heads(call: Call) -> dict[str, str]:
    prefix = "refs/heads/"
    return {ref.removeprefix(prefix): sha for ref, sha in call.refs(call.repo).items() if prefix in ref}


def _log(call: Call) -> list[str]:
    start = call.query.get("sha") or call.repo.default_branch
    refs = call.refs(call.repo)
    sha = refs.get(f"refs/heads/{start}", start)
    if not set(sha) <= set("0123456789abcdef"):
        raise ApiError(404, "Not Found")
    flags = (f"--max-count={_MOST_COMMITS}", f"--format={_LOG_FORMAT}")
    log = _git(call, "log", *flags, sha, "--")
    return [entry.lstrip("\n") for entry in log.split(_COMMIT)[:-1]]


def _commit(call: Call, entry: str) -> dict[str, Any]:
    sha, name, email, date, message = entry.split(_FIELD, 4)
    return {
        "sha": sha,
        "html_url": f"{call.url}/{call.repo.name}/commit/{sha}",
        "commit": {"message": message, "author": {"name": name, "email": email, "date": date}},
    }


def _files(call: Call) -> list[dict[str, str]]:
    pull = call.issue.pull
    if pull is None:
        raise ApiError(404, "Not Found")
    span = f"{pull.base_sha}...{pull.head_sha}"
    changed = _git(call, "diff", "--name-status", "--no-renames", span)
    pairs = (line.split("\t", 1) for line in changed.splitlines())
    return [{"filename": name, "status": _STATUS[status]} for status, name in pairs]


def _git(call: Call, *args: str) -> str:
    """What git prints, nothing where it fails: the commit may not be there."""
    try:
        return git_server.run_git(call.repo.path, *args)
    except RuntimeError:
        return ""
