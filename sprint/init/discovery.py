"""What is there to work with: forges, tokens and a model, by name and place; no secret is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sprint import credentials, sandbox
from sprint.config import Config, ForgeConfig, Paths, RepoConfig
from sprint.config.values import server_url
from sprint.environment import Recipe, found_in, of_folder
from sprint.errors import SprintError
from sprint.init.remotes import FoundRepo, found_repos

_KEYS = ("OPENAI_API_KEY", "OPENROUTER_API_KEY")


@dataclass(frozen=True)
class FoundForge:
    """A forge, and where its token is: in a variable, in a file, with `gh`, or nowhere yet."""

    kind: str  # "gitea" or "github", which is also its name
    url: str = ""
    token_env: str = ""
    token_file: str = ""
    is_with_gh: bool = False

    @property
    def has_token(self) -> bool:
        return bool(self.token_env or self.token_file or self.is_with_gh)

    @property
    def token_says(self) -> str:
        if self.is_with_gh:
            return "token from `gh auth token`"
        place = f"${self.token_env}" if self.token_env else self.token_file
        return f"token in {place}" if place else "no token yet"

    @property
    def says(self) -> str:
        return f"{self.kind} at {self.url or 'https://github.com'}, {self.token_says}"


@dataclass(frozen=True)
class FoundModel:
    """A model, and the name of the variable that its key is in. `is_kept` False: found anew at each tick."""

    name: str
    base_url: str
    source: str
    api_key_env: str = ""
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


def look(directory: Path, environ: Mapping[str, str], home: Path) -> Found:
    """Look in the environment, in hermes' and gh's files, at Ollama on this machine, and at git's remotes.

    Raises ConfigError where $GITEA_URL is no address.
    """
    forges = _forges(environ, home)
    known = {
        forge.kind: ForgeConfig(kind="github" if forge.kind == "github" else "gitea", url=forge.url)
        for forge in forges
    }
    repos = found_repos(directory, known)
    on_github = any(repo.forge == "github" for repo in repos)
    model, no_model = _model(environ, home)
    return Found(
        forges=tuple(forge for forge in forges if forge.kind != "github" or on_github or forge.has_token),
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


def _forges(environ: Mapping[str, str], home: Path) -> list[FoundForge]:
    github = _github(environ, home)
    if not (url := environ.get("GITEA_URL", "").strip()):
        return [github]
    gitea = FoundForge("gitea", server_url(url, "GITEA_URL"))
    if environ.get("GITEA_TOKEN", "").strip():
        gitea = replace(gitea, token_env="GITEA_TOKEN")  # noqa: S106 - the variable's name
    elif (home / credentials.GITEA_TOKEN_FILE).is_file():
        gitea = replace(gitea, token_file=f"~/{credentials.GITEA_TOKEN_FILE}")
    return [gitea, github]


def _github(environ: Mapping[str, str], home: Path) -> FoundForge:
    for variable in ("GITHUB_TOKEN", "GH_TOKEN"):
        if environ.get(variable, "").strip():
            return FoundForge("github", token_env=variable)
    token = credentials.forge_token("github", ForgeConfig(kind="github"), environ, home)
    return FoundForge("github", is_with_gh=token is not None)


def _model(environ: Mapping[str, str], home: Path) -> tuple[FoundModel | None, str]:
    nothing = Config(forges={}, model=None, repos=(), defaults=RepoConfig(name=""), paths=Paths())
    try:
        endpoint = credentials.model_endpoints(nothing, environ, home)[0]
    except SprintError as error:
        return None, str(error)
    key = endpoint.source if endpoint.source in _KEYS else ""
    source = f"${endpoint.source}" if endpoint.source in (*_KEYS, "OPENAI_BASE_URL") else endpoint.source
    # hermes renews its keys, and keeps them where only its name for the provider leads.
    is_kept = not endpoint.source.startswith("hermes")
    return FoundModel(endpoint.name, endpoint.base_url, source, key, is_kept), ""
