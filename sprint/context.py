"""What one tick works with: a repository's configuration and everything that it names, made ready."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
from msgspec import Struct

from sprint import host as host_ids
from sprint import proc, sandbox, sharing
from sprint.claim import Claims, copy_path
from sprint.config import Config, RepoConfig
from sprint.credentials.endpoints import model_endpoints
from sprint.domain import Endpoint, Purpose, Repository, Run
from sprint.errors import ConfigError, Stopped
from sprint.first_look import Seen, look
from sprint.forge import Forge
from sprint.gateway import Gateway
from sprint.git import Remote
from sprint.pick.discussions import Discussions
from sprint.runs import RunStore
from sprint.sandbox import Sandbox
from sprint.sharing import Sharing
from sprint.surroundings import Surroundings
from sprint.worker import Services, Worker
from sprint.worker.kinds import make
from sprint.worker.sprite import asked


class Context(Struct, frozen=True):
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
    around: Surroundings
    sharing: Sharing  # what other hosts are told and asked
    stopping: threading.Event = msgspec.field(default_factory=threading.Event)  # set: end soon
    workers: dict[str, Worker] = {}  # those made so far, of tasks by the run's id

    @property
    def remote(self) -> Remote:
        return self.forge.remote(self.repository)

    @property
    def base(self) -> str:
        return self.repo_config.base or self.repository.default_branch

    def worker(self, name: str) -> Worker:
        """The worker of that name in the configuration. Raises ConfigError where it is no longer there."""
        if name not in self.workers:
            config = self.config.worker(name)
            if config is None:
                raise ConfigError(f"workers: {name} is not configured any more; a run under way needs it")
            self.workers[name] = make(config, self._services)
        return self.workers[name]

    def worker_of(self, run: Run) -> Worker:
        """The one that works on a run; a task has a section of its own. Raises SprintError."""
        if run.purpose is not Purpose.TASK:
            return self.worker(run.worker)
        if run.id not in self.workers:
            self.workers[run.id] = make(asked.load(self.store.folder(run.id)).section, self._services)
        return self.workers[run.id]

    @property
    def _services(self) -> Services:
        return Services(
            self.endpoints,
            self.store,
            self.config.paths.results,
            self.repo_config.limits,
            self.around,
            self.config,
        )

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

        machine = Machine(self.around, self.config.paths.cache)
        return package_gateway(folder, self.repo_config.gateway, machine, mirror=mirror, base=base_sha)

    def check_going_on(self) -> str:
        """A `watch` for what is waited for and is no run's: raises Stopped where the runner has to end."""
        if self.stopping.is_set():
            raise Stopped("stopped; the next tick goes on from here")
        return ""

    def endpoints(self) -> tuple[Endpoint, ...]:
        """The models to call, in order. Raises ConfigError where there is none."""
        return model_endpoints(self.config, self.around)


def open_context(
    config: Config,
    repo: RepoConfig,
    around: Surroundings,
    *,
    seen: Seen | None = None,
    cache: Path | None = None,
    stopping: threading.Event | None = None,
) -> Context:
    """Everything for one repository's tick. `seen`: what its first look saw, which is asked for where it is
    not given. `cache` in place of the configured one, for a dry run.

    Raises ConfigError or ForgeError where there is no such repository, or nothing can be done in it.
    """
    shared = sharing.of(config, around)  # first, for what a fleet lacks is to be told before a forge is asked
    forge, repository = seen or look(config, repo, around)
    owner, name = repository.name.split("/")
    claims_dir = copy_path(cache or config.paths.cache, repo.forge, repository.name)
    host_id = host_ids.make_id(config.paths.results) if cache is None else ""
    remembered = config.paths.cache / "discussions" / repo.forge / owner / f"{name}.json"
    return Context(
        config=config,
        repo_config=repo,
        forge=forge,
        repository=repository,
        sandbox=sandbox.make(repo.sandbox, config.paths.cache if cache is None else None),
        discussions=Discussions(forge, repository.name, remembered, is_kept=cache is None),
        claims=Claims(claims_dir, forge.remote(repository), host_id),
        store=RunStore(config.paths.results, shared.saved),
        sharing=shared,
        host=proc.hostname(),
        host_id=host_id,
        around=around,
        stopping=stopping or threading.Event(),
    )
