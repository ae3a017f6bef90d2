"""A workflow that ticks on the forge's own Actions, for who has no machine: `sprint schedule --actions`.

All it does is in plain shell, so that it is the same on Gitea, Forgejo and GitHub and runs on any image. What
has to outlive a job is kept in a ref of the repository that the workflow is in. `actions_workflow.yml` is the
workflow, with @names@ where configurations differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from sprint import __version__, files
from sprint.config import Config, ForgeKind
from sprint.cron_times import minutes_of, times
from sprint.errors import ConfigError

_FOLDERS: dict[ForgeKind, str] = {"gitea": ".gitea", "forgejo": ".forgejo", "github": ".github"}
_NAME = "sprint.yml"
_LEAST_MINUTES = 5  # that GitHub keeps
# Before the job is ended by the forge or its runner and keeps nothing: after three hours, GitHub after six.
_TICK_MINUTES: dict[ForgeKind, int] = {"gitea": 150, "forgejo": 150, "github": 300}
_RESERVED = ("GITHUB_", "GITEA_", "FORGEJO_")  # how no secret's name may begin
_TOKENS: dict[ForgeKind, str] = {"gitea": "GITEA_TOKEN", "forgejo": "GITEA_TOKEN", "github": "GH_TOKEN"}

_MARK = "# `sprint schedule --actions` made this file; docs/without-cron.md says what is different here.\n"
_CREDENTIALS = '!f() { echo username=sprint; echo "password=$JOB_TOKEN"; }; f'
_TEMPLATE = Path(__file__).with_name("actions_workflow.yml")
_BLANK = re.compile("@([a-z]+)@")


def write(config: Config) -> tuple[Path, list[str]]:
    """Write the workflow beside the configuration; returns where, and the secrets that it needs.

    Raises ConfigError where a job could not have what is configured, SprintError for somebody else's file.
    """
    if config.source is None or not config.repos:
        raise ConfigError(
            "nothing to schedule: list repositories under repos: in a sprint.yaml; see `sprint init`"
        )
    kinds = {config.forges[repo.forge].kind for repo in config.repos}
    if len(kinds) != 1:
        raise ConfigError(
            "repositories of more than one kind of forge: give each kind a sprint.yaml of its own"
        )
    folder = config.source.parent
    kind = kinds.pop()
    path = folder / _FOLDERS[kind] / "workflows" / _NAME
    text = _text(config, config.source, kind)
    files.check_own(path, _MARK.encode(), "`sprint schedule --actions`")
    files.make_folder(path.parent, mode=0o755)
    files.replace(path, text.encode(), mode=0o644)
    return path, list(dict(_secrets(config)).values())


def _text(config: Config, source: Path, kind: ForgeKind) -> str:
    every = max(min(minutes_of(repo.every, repo.name) for repo in config.repos), _LEAST_MINUTES)
    try:
        results = config.paths.results.relative_to(source.parent)
    except ValueError:
        raise ConfigError(
            f"paths.results: a job has nothing but {source.parent}: name a folder in it"
        ) from None
    secrets = dict(_secrets(config))
    blanks = {
        "cron": times(every, 0),
        "results": json.dumps(str(results)),
        "credentials": json.dumps(_CREDENTIALS),
        "version": __version__,
        "minutes": str(_TICK_MINUTES[kind]),
        "secrets": "\n".join(
            f"          {name}: ${{{{ secrets.{secret} }}}}" for name, secret in secrets.items()
        ),
        "config": json.dumps(source.name),
    }
    return _MARK + _BLANK.sub(lambda blank: blanks[blank[1]], _TEMPLATE.read_text("utf-8"))


def _secrets(config: Config) -> Iterator[tuple[str, str]]:
    """Variables that a tick needs, and the secrets they are to be made from."""
    for name in dict.fromkeys(repo.forge for repo in config.repos):
        forge = config.forges[name]
        if forge.token_file:
            raise _no_file(f"forges.{name}.token")
        variable = forge.token_env or _TOKENS[forge.kind]
        yield variable, _secret(variable)
    models = [config.model] if config.model else []
    while models:
        model = models.pop()
        models += model.fallbacks
        if model.api_key_file:
            raise _no_file("model.api_key")
        if model.api_key_env:
            yield model.api_key_env, _secret(model.api_key_env)
    if config.fleet and config.fleet.database_file:
        raise _no_file("fleet.database")
    if config.fleet:
        yield config.fleet.database_env, _secret(config.fleet.database_env)


def _no_file(key: str) -> ConfigError:
    return ConfigError(f"{key}_file: a job has no such file: use {key}_env, and a secret of the repository")


def _secret(variable: str) -> str:
    return f"SPRINT_{variable.partition('_')[2]}" if variable.startswith(_RESERVED) else variable
