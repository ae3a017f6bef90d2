"""What is there to work with: forges, tokens and a model, by name and place; no secret is written."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from sprint import sandbox
from sprint.config import Config, ForgeConfig, ForgeKind, Paths, RepoConfig, forges_of_environment
from sprint.credentials import FoundToken, find_forge_token
from sprint.credentials.endpoints import model_endpoints
from sprint.environment import Recipe, found_in, of_folder
from sprint.errors import ConfigError, SprintError
from sprint.forge import connect
from sprint.init.remotes import FoundRepo, found_repos
from sprint.surroundings import Surroundings

_log = logging.getLogger(__name__)
_PATIENCE = 15.0  # seconds
_KEYS = ("OPENAI_API_KEY", "OPENROUTER_API_KEY")


@dataclass(frozen=True)
class FoundForge:
    """A forge, and where its token is: in a variable, in a file, with a program, or nowhere yet."""

    kind: ForgeKind  # also its name
    config: ForgeConfig
    token: FoundToken | None = None

    @property
    def url(self) -> str:
        return self.config.url

    @property
    def token_env(self) -> str:
        return self.token.variable if self.token else ""

    @property
    def token_file(self) -> str:
        return self.token.file if self.token else ""

    @property
    def token_says(self) -> str:
        if self.token is None:
            return "no token yet"
        if self.token.program:
            return f"token from `{self.token.program}`"
        return f"token in {f'${self.token_env}' if self.token_env else self.token_file}"

    @property
    def says(self) -> str:
        return f"{self.kind} at {self.config.site}, {self.token_says}"


@dataclass(frozen=True)
class FoundModel:
    """A model, and the name of the variable, or the file, that its key is in. `is_kept` False: found anew at
    each tick."""

    name: str
    base_url: str
    source: str
    api_key_env: str = ""
    api_key_file: str = ""
    is_kept: bool = True

    @property
    def says(self) -> str:
        return f"{self.name}, from {self.source}"


@dataclass(frozen=True)
class Found:
    """Everything, in the order of preference. `no_model` says why there is none."""

    forges: tuple[FoundForge, ...]
    repos: tuple[FoundRepo, ...]  # on those forges
    elsewhere: tuple[FoundRepo, ...]
    model: FoundModel | None
    no_model: str = ""
    project: Recipe | None = None  # of the checkout here; None where there is none
    writable: tuple[str, ...] = ()  # repositories of the first forge that its token may push to
    no_writable: str = ""  # why they are not known
    worker: str = ""  # who shall work on them; "" for the built-in loop


def look(directory: Path, around: Surroundings) -> Found:
    """Look in the environment, in hermes' and gh's files, at Ollama on this machine, and at git's remotes.

    Raises ConfigError where $GITEA_URL is no address.
    """
    forges = [
        _with_token(kind, forge, around) for kind, forge in forges_of_environment(around.environ).items()
    ]
    repos = found_repos(directory, {forge.kind: forge.config for forge in forges})
    used = {repo.forge for repo in repos}
    model, no_model = _model(around)
    return Found(
        # One that is there without having been named is worth a line only where something speaks for it.
        forges=tuple(forge for forge in forges if forge.url or forge.kind in used or forge.token),
        repos=tuple(repo for repo in repos if repo.forge),
        elsewhere=tuple(repo for repo in repos if not repo.forge),
        model=model,
        no_model=no_model,
        project=_project(directory) if repos else None,
    )


def _project(directory: Path) -> Recipe:
    """How the checkout's project would be set up and checked."""
    usual = RepoConfig(name="")
    return found_in(usual, of_folder(directory), sandbox.make(usual.sandbox))


def _with_token(kind: ForgeKind, forge: ForgeConfig, around: Surroundings) -> FoundForge:
    try:
        return FoundForge(kind, forge, find_forge_token(forge, around))
    except ConfigError as error:  # there is one, which cannot be used
        _log.warning("%s", error)
        return FoundForge(kind, forge)


def writable(forge: FoundForge) -> tuple[str, ...]:
    """The repositories that the token may push to, as far as the forge lists them. Raises SprintError."""
    if forge.token is None:
        return ()
    return tuple(connect(forge.config, forge.token.secret, patience=_PATIENCE, timeout=10.0).writable())


def _model(around: Surroundings) -> tuple[FoundModel | None, str]:
    nothing = Config(forges={}, model=None, repos=(), defaults=RepoConfig(name=""), paths=Paths())
    try:
        endpoint = model_endpoints(nothing, around)[0]
    except SprintError as error:
        return None, str(error)
    key = endpoint.source if endpoint.source in _KEYS else ""
    source = f"${endpoint.source}" if endpoint.source in (*_KEYS, "OPENAI_BASE_URL") else endpoint.source
    # hermes renews its keys, and keeps them where only its name for the provider leads.
    is_kept = not endpoint.source.startswith("hermes")
    return FoundModel(endpoint.name, endpoint.base_url, source, key, is_kept=is_kept), ""
