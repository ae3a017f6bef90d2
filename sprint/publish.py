"""Push the proven commit and open the pull request; done twice, it finds what is there already."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from msgspec import Struct

from sprint import git, retries
from sprint.config import PublishConfig
from sprint.domain import PublicText, PullRequest, Repository
from sprint.errors import ForgeError
from sprint.forge import Forge
from sprint.retries import PassingFault

Via = Literal["repository", "fork"]

_MAX_BRANCHES = 50
# Answers that asking again later does not change: no such branch, nothing to merge, archived.
_FOR_GOOD = frozenset({400, 404, 409, 410, 422, 423})


class PushRefused(ForgeError):
    """The server took the connection and not the commit: a protected branch, a missing scope, a hook."""


class MovedOn(ForgeError):
    """The branch is not where it was: somebody else pushed to it."""


class PullRefused(ForgeError):
    """The branch is pushed, and the forge will never make a pull request of it."""


class Proposal(Struct, frozen=True):
    """What is to become a pull request: a commit, and the words that go with it."""

    commit: str
    branch: str  # the first choice; "-2", "-3", ... where somebody else's commits are on it
    base: str
    title: PublicText
    body: PublicText
    draft: bool


def publish(
    forge: Forge,
    repository: Repository,
    objects: Path,
    proposal: Proposal,
    *,
    via: Via = "repository",
    is_pushed: bool = False,
) -> PullRequest:
    """Make the branch and the open pull request be there, and return the pull request.

    The commit is in `objects`. `is_pushed`: the branch of that very name was made just now. `via` says where
    the branch goes: the repository itself, or our account's fork of it, which is made where there is none.
    Raises PushRefused where the server rejects the commit, PullRefused where it does so with the pull
    request, ForgeError where it cannot be reached, shows us the repository no more, or has not finished the
    fork.
    """
    home = ready_fork(forge, repository) if via == "fork" else repository
    head_repo = home.name if via == "fork" else ""
    branch = proposal.branch if is_pushed else _push(forge.remote(home), objects, proposal)
    # A branch that was made just now has none yet.
    there = [] if is_pushed else forge.pulls_of_branch(repository.name, branch, head_repo=head_repo)
    for pull in there:
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
            head_repo=head_repo,
        )
    except ForgeError as error:
        if error.status in _FOR_GOOD:
            raise PullRefused(str(error), status=error.status) from error
        raise


def push_on(remote: git.Remote, objects: Path, commit: str, branch: str, head: str) -> None:
    """Move the branch from `head` on to `commit`, a descendant of it. Raises PushRefused, and MovedOn where
    the branch is at neither."""
    if not git.is_ancestor(objects, head, commit):
        raise git.GitError(f"refusing to push {commit} to {branch}: it is no descendant of {head}")
    ref = f"refs/heads/{branch}"
    result, why = git.push(objects, remote, commit, ref, expected=head)
    if result is git.PushResult.LOST_RACE:
        raise MovedOn(f"{branch} is no longer at {head[:12]}")
    if result is git.PushResult.REJECTED:
        raise PushRefused(f"the forge refuses the push to {branch}: {why}")


def check(forge: Forge, repository: Repository, config: PublishConfig) -> None:
    """See before a claim that branches can go where they shall, and be signed. Raises SprintError with the
    remedy."""
    if config.via == "fork":
        forge.find_fork(repository)
    if config.sign:
        git.try_signing(Path(config.sign))


def ready_fork(forge: Forge, repository: Repository) -> Repository:
    """Our account's fork, with branches in it. Raises ForgeError where it has none even after a while."""
    fork = forge.fork(repository)

    def look() -> None:
        try:
            heads = git.ls_remote(forge.remote(fork), "refs/heads/*")
        except ForgeError as error:
            if error.status != 404:
                raise
            heads = {}
        if not heads:
            raise PassingFault(f"{fork.name}: the forge has not finished making this fork")

    retries.repeat(look)
    return fork


def _push(remote: git.Remote, objects: Path, proposal: Proposal) -> str:
    """Push to the first branch name that is free, or that holds our commit already."""
    heads = git.ls_remote(remote, f"refs/heads/{proposal.branch}", f"refs/heads/{proposal.branch}-*")
    names = [proposal.branch, *(f"{proposal.branch}-{n}" for n in range(2, _MAX_BRANCHES + 1))]
    for name in names:
        if heads.get(f"refs/heads/{name}") == proposal.commit:
            return name
    for name in names:
        if f"refs/heads/{name}" in heads:
            continue
        result, why = git.push(objects, remote, proposal.commit, f"refs/heads/{name}", expected="")
        if result is git.PushResult.OK:
            return name
        if result is git.PushResult.REJECTED:
            raise PushRefused(f"the forge refuses the push to {name}: {why}")
    raise PushRefused(f"there are {_MAX_BRANCHES} branches named like {proposal.branch}: remove some")
