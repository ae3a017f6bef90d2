"""What a tick asks before anything else: the forge for the repository, and whether there is anything to do.

Most ticks end here, so nothing is imported that only work needs: neither git, nor a sandbox, nor a worker.
"""

from __future__ import annotations

from typing import NamedTuple

from sprint import capacity, credentials, health, proc, sharing
from sprint.config import Config, RepoConfig
from sprint.domain import Repository
from sprint.errors import ConfigError, ForgeError
from sprint.forge import Forge, connect
from sprint.forge.http_errors import NO_TOKEN
from sprint.retries import PATIENCE
from sprint.runs import RunStore
from sprint.sharing import Sharing
from sprint.surroundings import Surroundings


class Seen(NamedTuple):
    """A repository's forge, and what it says of it now."""

    forge: Forge
    repository: Repository


class Ahead(NamedTuple):
    """Why a tick is over already, or ""; and whether to read the claims is what it does first."""

    idle: str = ""
    begins_with_picking: bool = False


def forge_of(config: Config, repo: RepoConfig, around: Surroundings, *, patience: float = PATIENCE) -> Forge:
    """The client of the forge that a repository is on. Raises ConfigError, asks the server nothing.

    `patience`: seconds that one request may take with all its waiting and repeating.
    """
    forge = config.forges.get(repo.forge)
    if forge is None:
        raise ConfigError(
            f"{repo.name}: no forge is configured; set GITEA_URL and GITEA_TOKEN, or GITHUB_TOKEN, "
            "or write a sprint.yaml with forges:"
        )
    token = credentials.forge_token(repo.forge, forge, around)
    if token is None and (where := credentials.without_address(config, around)):
        raise ConfigError(f"{repo.name}: {where} has a token for a Gitea server, which GITEA_URL has to name")
    return connect(forge, token, patience=patience)


def fit_repository(forge: Forge, repo: RepoConfig) -> Repository:
    """The repository as the forge describes it. Raises ForgeError where nothing can be done in it."""
    repository = forge.repository(repo.name)
    no_push = "the token's account may not push to it; give it write access" if forge.token else NO_TOKEN
    faults = {
        "it is archived; un-archive it or take it out of repos": repository.archived,
        "it has no commits yet; push a first one": repository.empty,
        "its issues are switched off; switch them on or take it out of repos": not repository.has_issues,
        "its pull requests are switched off; switch them on": not repository.has_pulls,
        no_push: repository.can_push is False,
    }
    for fault, is_there in faults.items():
        if is_there:
            raise ForgeError(f"{repo.name}: {fault}")
    return repository


def look(config: Config, repo: RepoConfig, around: Surroundings) -> Seen:
    """One request. Raises ConfigError or ForgeError where there is no such repository, or it is not fit."""
    forge = forge_of(config, repo, around)
    return Seen(forge, fit_repository(forge, repo))


def ahead(config: Config, repo: RepoConfig, repository: Repository, around: Surroundings) -> Ahead:
    """Asks no forge; runs under way and known faults are for the tick."""
    shared = sharing.of(config, around)
    if _has_unfinished(config, repo, repository, shared):
        return Ahead()
    # One that was renamed is locked before, by its other name.
    is_next = repository.name == repo.name
    return Ahead(idle=capacity.why_not_now(shared, repo, repository), begins_with_picking=is_next)


def _has_unfinished(config: Config, repo: RepoConfig, repository: Repository, shared: Sharing) -> bool:
    """Whether a run is under way or lost, or a fault is known: the tick looks at that first."""
    store, name = RunStore(config.paths.results), repository.name
    others = {other.name for other in config.repos if other.forge == repo.forge} - {repo.name, name}
    under_way = (run for run in store.under_way(repo.forge, proc.hostname()) if run.repo not in others)
    if store.lost() or any(under_way) or shared.left_behind(repo.forge, name):
        return True
    faults = health.repository_block(
        config.paths.results, repo.forge, name, config_hash=health.config_hash(repo)
    )
    return bool(faults)
