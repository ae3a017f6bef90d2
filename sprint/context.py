"""What one tick works with: a repository's configuration and everything that it names, made ready."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from sprint import credentials, proc, sandbox
from sprint import host as host_ids
from sprint.claim import Claims, copy_path
from sprint.config import Config, RepoConfig
from sprint.domain import Endpoint, Repository
from sprint.errors import ConfigError, ForgeError
from sprint.forge import Forge, connect
from sprint.gateway import Gateway
from sprint.git import Remote
from sprint.pick.discussions import Discussions
from sprint.runs import RunStore
from sprint.sandbox import Sandbox
from sprint.worker import Worker
from sprint.worker.kinds import Services, make


@dataclass(frozen=True)
class Context:
    """One repository's tick. `repository` is what the forge says of it now."""

    config: Config
    repo_config: RepoConfig
    forge: Forge
    repository: Repository
    sandbox: Sandbox
    claims: Claims
    discussions: Discussions
    store: RunStore
    host: str  # this machine's name, for what stays here
    host_id: str  # what others may know of it
    environ: Mapping[str, str]
    home: Path
    stopping: threading.Event = field(default_factory=threading.Event)  # set: come to an end soon
    workers: dict[str, Worker] = field(default_factory=dict)  # those made so far

    @property
    def remote(self) -> Remote:
        return self.forge.remote(self.repository)

    @property
    def base(self) -> str:
        return self.repo_config.base or self.repository.default_branch

    def worker(self, name: str) -> Worker:
        """The worker of that name in the configuration. Raises ConfigError where it is no longer there."""
        if name not in self.workers:
            config = self.config.workers.get(name)
            if config is None:
                raise ConfigError(f"workers: {name} is not configured any more; a run under way needs it")
            services = Services(
                self.endpoints, self.store, self.config.paths.results, self.repo_config.limits
            )
            self.workers[name] = make(config, services)
        return self.workers[name]

    def setup_gateway(
        self, folder: Path, mirror: Path, base_sha: str, *, at_base: bool
    ) -> AbstractContextManager[Gateway] | None:
        """The gateway for a set-up of the run in `folder`, yet to be opened; None where it needs none.

        Code that the agent may have changed gets no more than that, whatever is configured for the base.
        """
        wanted = self.repo_config.sandbox.setup_network
        if wanted == "none" or not self.sandbox.has_own_network or (at_base and wanted == "host"):
            return None
        from sprint.gateway.clients import Machine
        from sprint.gateway.packages import package_gateway

        machine = Machine(self.environ, self.home, self.config.paths.cache)
        return package_gateway(folder, self.repo_config.gateway, machine, mirror=mirror, base=base_sha)

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The models to call, in order. Raises ConfigError where there is none."""
        return credentials.model_endpoints(self.config, self.environ, self.home)


def forge_of(config: Config, repo: RepoConfig, environ: Mapping[str, str], home: Path) -> Forge:
    """The client of the forge that a repository is on. Raises ConfigError, asks the server nothing."""
    forge = config.forges.get(repo.forge)
    if forge is None:
        raise ConfigError(
            f"{repo.name}: no forge is configured; set GITEA_URL and GITEA_TOKEN, or GITHUB_TOKEN, "
            "or write a sprint.yaml with forges:"
        )
    return connect(forge, credentials.forge_token(repo.forge, forge, environ, home))


def fit_repository(forge: Forge, repo: RepoConfig) -> Repository:
    """The repository as the forge describes it. Raises ForgeError where nothing can be done in it."""
    repository = forge.repository(repo.name)
    faults = {
        "it is archived; un-archive it or take it out of repos": repository.archived,
        "it has no commits yet; push a first one": repository.empty,
        "its issues are switched off; switch them on or take it out of repos": not repository.has_issues,
        "its pull requests are switched off; switch them on": not repository.has_pulls,
        "the token's account may not push to it; give it write access": repository.can_push is False,
    }
    for fault, is_there in faults.items():
        if is_there:
            raise ForgeError(f"{repo.name}: {fault}")
    return repository


def open_context(
    config: Config,
    repo: RepoConfig,
    environ: Mapping[str, str],
    home: Path,
    *,
    cache: Path | None = None,
    stopping: threading.Event | None = None,
) -> Context:
    """Everything for one repository's tick. `cache` in place of the configured one, for a dry run.

    Raises ConfigError or ForgeError where there is no such repository, or nothing can be done in it.
    """
    forge = forge_of(config, repo, environ, home)
    repository = fit_repository(forge, repo)
    owner, name = repository.name.split("/")
    claims_dir = copy_path(cache or config.paths.cache, repo.forge, repository.name)
    host_id = host_ids.make_id(config.paths.results) if cache is None else ""
    remembered = config.paths.cache / "discussions" / repo.forge / owner / f"{name}.json"
    return Context(
        config=config,
        repo_config=repo,
        forge=forge,
        repository=repository,
        sandbox=sandbox.make(repo.sandbox),
        discussions=Discussions(forge, repository.name, remembered, is_kept=cache is None),
        claims=Claims(claims_dir, forge.remote(repository), host_id),
        store=RunStore(config.paths.results),
        host=proc.hostname(),
        host_id=host_id,
        environ=environ,
        home=home,
        stopping=stopping or threading.Event(),
    )
