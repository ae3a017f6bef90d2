"""Push the proven commit and open the pull request; done twice, it finds what is there already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sprint import git
from sprint.domain import PullRequest, Repository
from sprint.errors import ForgeError
from sprint.forge import Forge

_MAX_BRANCHES = 50
# Answers that asking again later does not change: no such branch, nothing to merge, archived.
_FOR_GOOD = frozenset({400, 404, 409, 410, 422, 423})


class PushRefused(ForgeError):
    """The server took the connection and not the commit: a protected branch, a missing scope, a hook."""


class PullRefused(ForgeError):
    """The branch is pushed, and the forge will never make a pull request of it."""


@dataclass(frozen=True)
class Proposal:
    """What is to become a pull request: a commit in the mirror, and the words that go with it."""

    commit: str
    branch: str  # the first choice; "-2", "-3", ... where somebody else's commits are on it
    base: str
    title: str
    body: str
    draft: bool


def publish(forge: Forge, repository: Repository, mirror: Path, proposal: Proposal) -> PullRequest:
    """Make the branch and the open pull request be there, and return the pull request.

    Raises PushRefused where the server rejects the commit, PullRefused where it does so with the pull
    request, ForgeError where it cannot be reached, or shows us the repository no more.
    """
    remote = forge.remote(repository)
    branch = _push(remote, mirror, proposal)
    for pull in forge.pulls_of_branch(repository.name, branch):
        if pull.is_open:
            forge.update_pull(repository.name, pull.number, title=proposal.title, body=proposal.body)
            return pull
    try:
        return forge.create_pull(
            repository.name,
            title=proposal.title,
            body=proposal.body,
            head=branch,
            base=proposal.base,
            draft=proposal.draft,
        )
    except ForgeError as error:
        if error.status in _FOR_GOOD:
            raise PullRefused(str(error), status=error.status) from error
        raise


def _push(remote: git.Remote, mirror: Path, proposal: Proposal) -> str:
    """Push to the first branch name that is free, or that holds our commit already."""
    heads = git.ls_remote(remote, f"refs/heads/{proposal.branch}", f"refs/heads/{proposal.branch}-*")
    names = [proposal.branch, *(f"{proposal.branch}-{n}" for n in range(2, _MAX_BRANCHES + 1))]
    for name in names:
        if heads.get(f"refs/heads/{name}") == proposal.commit:
            return name
    for name in names:
        if f"refs/heads/{name}" in heads:
            continue
        result, why = git.push(mirror, remote, proposal.commit, f"refs/heads/{name}", expected="")
        if result is git.PushResult.OK:
            return name
        if result is git.PushResult.REJECTED:
            raise PushRefused(f"{remote.url} refuses the push to {name}: {why}")
    raise PushRefused(f"{remote.url} has {_MAX_BRANCHES} branches named like {proposal.branch}: remove some")
