"""What a tick would lack when cron starts it, which has nothing of its user's environment; and one, tried."""

from __future__ import annotations

import os
import pwd
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from sprint import credentials, proc
from sprint.clean_text import safe_line
from sprint.config import Config, ForgeConfig, ModelConfig, SpritesBackendConfig, load
from sprint.credentials.endpoints import model_endpoints
from sprint.domain import replace
from sprint.errors import ConfigError, SprintError
from sprint.forge import connect
from sprint.schedule.plan import Plan
from sprint.surroundings import Surroundings

_TRIAL_SECONDS = 180.0
_ANSWER_SECONDS = 5.0
_MODEL_VARIABLES = (
    *("OPENAI_API_KEY", "OPENROUTER_API_KEY", "OPENAI_BASE_URL", "SPRINT_MODEL", "HERMES_HOME"),
    "OLLAMA_HOST",
)
_HOME = re.compile(rb"^[ \t]*HOME[ \t]*=[ \t]*(.*?)[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class _Comparison:
    """The environment as it is now, and as cron has it."""

    now: Surroundings
    bare: Surroundings

    def is_lost(self, find: Callable[[Surroundings], object]) -> bool:
        """Whether something is found now and would not be, or not the same."""
        found = _found(find, self.now)
        return found is not None and _found(find, self.bare) != found


def missing(config: Config, around: Surroundings) -> Iterator[tuple[str, str]]:
    """Keys of the configuration, and what each has from the environment now and would not have in cron's."""
    bare = replace(around, environ={"PATH": around.environ.get("PATH", proc.SEARCH_PATH)})
    both = _Comparison(around, bare)
    if config.source and both.is_lost(lambda where: load(config.source, where).forges):
        yield "forges", "$GITEA_URL"
    for name in dict.fromkeys(repo.forge for repo in config.repos):
        forge = config.forges[name]
        if forge.token_env:
            yield f"forges.{name}", f"${forge.token_env}"
        elif both.is_lost(partial(_has_token, name, forge)):
            yield f"forges.{name}", "its token"
    if any(config.workers[repo.worker].uses_model for repo in config.repos):
        yield from _missing_model(config, both)
    for name, backend in config.backends.items():
        if isinstance(backend, SpritesBackendConfig) and both.is_lost(partial(_has_key, name, backend)):
            yield f"backends.{name}", "its token"
    if config.notify.urls_env:
        yield "notify", f"${config.notify.urls_env}"


def _missing_model(config: Config, both: _Comparison) -> Iterator[tuple[str, str]]:
    if variables := [key for key in _key_places(config.model) if key.startswith("$")]:
        yield "model", variables[0]
    elif both.is_lost(partial(_models, config)):
        used = [variable for variable in _MODEL_VARIABLES if both.now.get(variable)]
        yield "model", f"${used[0]}" if used else "its server or its key"
    elif both.is_lost(lambda where: credentials.hermes_is_set_up(where) or None):
        yield "hermes", "$HERMES_HOME"


def _has_token(name: str, forge: ForgeConfig, where: Surroundings) -> object:
    return credentials.forge_token(name, forge, where) and True


def _has_key(name: str, backend: SpritesBackendConfig, where: Surroundings) -> object:
    return credentials.sprites_token(name, backend, where) and True


def _models(config: Config, where: Surroundings) -> object:
    return [(one.name, one.base_url) for one in model_endpoints(config, where)]


def _found(find: Callable[[Surroundings], object], where: Surroundings) -> object | None:
    try:
        return find(where)
    except SprintError:
        return None


def _key_places(model: ModelConfig | None) -> list[str]:
    if model is None:
        return []
    own = f"${model.api_key_env}" if model.api_key_env else model.api_key_file
    return [place for place in [own, *(p for f in model.fallbacks for p in _key_places(f))] if place]


def refuse_missing(config: Config, around: Surroundings) -> None:
    """Raises ConfigError where cron would start ticks that lack what they have now."""
    if lacking := list(missing(config, around)):
        named = ", ".join(f"{variable} ({key})" for key, variable in lacking)
        raise ConfigError(
            f"nothing is installed: cron has no environment of yours, and so not {named}; name files in "
            "sprint.yaml (token_file, api_key_file, base_url, urls_file), as `sprint init --yes` does"
        )


def try_one(planned: Plan, config: Config, around: Surroundings, crontab: bytes | None) -> str:
    """What a dry run of the first line said of itself, started as cron would; or why none was tried.

    Raises ConfigError where it fails, although the forge answers here.
    """
    repo = config.repos[0]
    try:
        token = credentials.forge_token(repo.forge, config.forges[repo.forge], around)
        forge = connect(config.forges[repo.forge], token, patience=0.0, timeout=_ANSWER_SECONDS)
        forge.repository(repo.name)
    except SprintError as error:
        return f"not tried as cron would: {error}"
    argv = [*planned.entries[0].argv, "--dry-run"]
    done = proc.run(
        ["/bin/sh", "-c", shlex.join(argv)],
        timeout=_TRIAL_SECONDS,
        cwd=around.home,
        env=_environment(planned.path, crontab),
    )
    if done.killed_by:
        return f"tried as cron would: no end after {_TRIAL_SECONDS:.0f} s, which is no fault"
    if done.ok:
        return "tried as cron would: a dry run of its first line works"
    last = (done.err.strip() or done.out.strip() or "it says nothing").splitlines()[-1]
    raise ConfigError(
        f"nothing is installed: started as cron would, `{shlex.join(argv)}` ends with {done.exit_code}, and "
        f"here its forge answers: {safe_line(last, 400)}"
    )


def _environment(path: str, crontab: bytes | None) -> dict[str, str]:
    """cron's own; a crontab may name another home."""
    user = pwd.getpwuid(os.getuid())
    homes = [os.fsdecode(home).strip("\"'") for home in _HOME.findall(crontab or b"")]
    return {
        "HOME": homes[-1] if homes else user.pw_dir,
        "LOGNAME": user.pw_name,
        "USER": user.pw_name,
        "SHELL": "/bin/sh",
        "PATH": path or "/usr/bin:/bin",
    }
