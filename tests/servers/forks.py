"""Forks, as both dialects have them; only what they answer differs."""

from __future__ import annotations

from sprint.demo import git_server
from tests.servers.store import Store, StoredRepo


def fork_of(store: Store, repo: StoredRepo, login: str) -> StoredRepo | None:
    """The fork of a repository that somebody has, whatever it is called."""
    own = (one for one in store.repos.values() if one.owner == login and one.fork_of == repo.name)
    return next(own, None)


def make(store: Store, repo: StoredRepo, login: str, name: str) -> StoredRepo:
    """A fork; where the forge takes its time (`store.slow_forks`), its git is empty until then."""
    fork = store.add_repo(f"{login}/{name}", repo.default_branch)
    fork.private, fork.fork_of = repo.private, repo.name
    fork.unready = store.slow_forks
    if not fork.unready:
        fill(store, fork)
    return fork


def fill(store: Store, fork: StoredRepo) -> None:
    source = store.repos[fork.fork_of].path
    refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
    git_server.run_git(fork.path, "fetch", "--quiet", str(source), *refs)


def asked_for(store: Store, fork: StoredRepo) -> None:
    """Each question to its git brings a slow fork nearer to its end."""
    if fork.unready:
        fork.unready -= 1
        if not fork.unready:
            fill(store, fork)
