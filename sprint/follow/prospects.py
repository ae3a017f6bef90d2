"""What `sprint doctor` says of following pull requests."""

from __future__ import annotations

from collections.abc import Iterator

from sprint.clean_text import safe_line
from sprint.config import RepoConfig
from sprint.domain import Finding, Grade, PullRequest, Repository
from sprint.follow.tell import NEEDS_HUMAN
from sprint.forge import Forge
from sprint.pick import own_branch


def examine(repo: RepoConfig, forge: Forge, repository: Repository) -> Iterator[Finding]:
    """Whether we would see CI fail, and whom we would listen to. Raises ForgeError."""
    what = f"{repo.name} follow-ups"
    if not repo.follow.enabled:
        yield Finding(Grade.OK, what, "off: people look after our pull requests (follow.enabled)")
        return
    yield _heard(what, repo, forge, repository)
    yield _told(what, forge, repository)
    ours = [pull for pull in forge.open_pulls(repository.name) if _is_ours(pull, repo, forge, repository)]
    if not ours:
        yield Finding(Grade.OK, what, "no pull request of ours is open: whether CI starts on them is untold")
        return
    newest = max(ours, key=lambda pull: pull.number)
    yield _ci(what, forge, repository, newest)


def _is_ours(pull: PullRequest, repo: RepoConfig, forge: Forge, repository: Repository) -> bool:
    me = forge.whoami()
    is_named = own_branch(pull, repository.name, repo.publish.branch, me) is not None
    return is_named and pull.author.lower() == me.lower()


def _heard(what: str, repo: RepoConfig, forge: Forge, repository: Repository) -> Finding:
    trusted = f"; trusted besides: {', '.join(repo.pick.trusted)}" if repo.pick.trusted else ""
    owner = repository.name.split("/")[0]
    if forge.can_write(repository.name, owner) is None:
        says = (
            "the forge does not tell this account who may write: the owner is heard, and reviews that it "
            f"calls official; name others in pick.trusted{trusted}"
        )
        return Finding(Grade.OK if trusted else Grade.WARNING, what, says)
    return Finding(Grade.OK, what, f"the forge tells who may write{trusted}")


def _told(what: str, forge: Forge, repository: Repository) -> Finding:
    """What a round is shown of CI, and how people get to know that one of them is needed."""
    if forge.held_runs(repository.name) is None:
        logs = "logs of CI cannot be read: a round is shown what its checks say, and what ours do"
    else:
        logs = "logs of failed jobs can be read"
    if not forge.can_label(repository.name):
        return Finding(Grade.OK, what, f"{logs}; no labels may be set: {NEEDS_HUMAN} is said in a comment")
    return Finding(Grade.OK, what, f"{logs}; the label {NEEDS_HUMAN} may be set")


def _ci(what: str, forge: Forge, repository: Repository, pull: PullRequest) -> Finding:
    statuses = forge.statuses(repository.name, pull.head_sha)
    held = [status.context for status in statuses if status.is_held]
    held += forge.held_runs(repository.name, pull.head_sha) or ()
    if held:
        says = f"CI on #{pull.number} waits for a person to let it run: {', '.join(held[:5])}"
        return Finding(Grade.WARNING, what, safe_line(says))
    if not statuses:
        says = f"no check has reported on #{pull.number}, our newest: failing CI would not be seen"
        return Finding(Grade.WARNING, what, says)
    count = f"{len(statuses)} check{'s' if len(statuses) > 1 else ''}"
    return Finding(Grade.OK, what, f"{count} reported on #{pull.number}, our newest")
