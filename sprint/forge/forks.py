"""Our account's fork of a repository: where it is looked for, and checked to be what it is taken for."""

from __future__ import annotations

from collections.abc import Callable

from sprint.domain import Repository, is_repo_name
from sprint.errors import ForgeError
from sprint.forge.wire import RepoWire

Look = Callable[[str], RepoWire | None]  # a repository by its name, None where there is none

_KEY = "publish.via: fork"


def find(repository: Repository, login: str, look: Look) -> RepoWire | None:
    """The fork under one of the names that ours have; None where it is not there. Raises ForgeError."""
    owner, name = repository.name.split("/")
    if not login:
        raise ForgeError(f"{_KEY}: only an account with a token has forks; set token_file or token_env")
    if owner.lower() == login.lower():
        raise ForgeError(
            f"{_KEY}: {repository.name} is {login}'s own, which nobody can fork; give the bot an account of"
            " its own, or leave publish.via out"
        )
    for candidate in (f"{login}/{name}", f"{login}/{second_name(repository.name)}"):
        found = look(candidate)
        if found is not None and is_fork_of(found, repository.name, login):
            return checked(found, repository, login)
    return None


def second_name(repo: str) -> str:
    """What a fork is called where a repository of ours has the first name already."""
    return repo.replace("/", "-")[:100]


def is_fork_of(found: RepoWire, repo: str, login: str) -> bool:
    """Whether a repository is `login`'s own fork of `repo` (OWNER/REPO)."""
    parent = found.parent.full_name if found.parent else ""
    is_ours = found.full_name.partition("/")[0].lower() == login.lower()
    return is_repo_name(found.full_name) and is_ours and found.fork and parent.lower() == repo.lower()


def checked(found: RepoWire, repository: Repository, login: str) -> RepoWire:
    """`found` again. Raises ForgeError unless work on `repository` may be pushed there."""
    if not is_fork_of(found, repository.name, login):
        raise ForgeError(
            f"{repository.name}: asked for {login}'s fork of it, the forge answers with"
            f" {found.full_name[:80]!a}"
        )
    if repository.private and not found.private:
        raise ForgeError(
            f"{found.full_name} is public and {repository.name} is not: make the fork private, or remove it"
        )
    if found.archived or found.disabled:
        raise ForgeError(f"{found.full_name}, the fork to push to, is archived: un-archive or remove it")
    return found
