"""Where tokens and keys come from: the configuration, the environment, the tools that have them already.

Nothing here prints or logs a secret, and a secret goes to no server but the one it was meant for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from sprint import proc
from sprint.config import (
    Config,
    FleetConfig,
    ForgeConfig,
    ForgeKind,
    HermesWorkerConfig,
    SpritesBackendConfig,
)
from sprint.credentials.secret_places import configured, from_file, from_variable, usable
from sprint.domain import Secret
from sprint.errors import ConfigError, SprintError
from sprint.surroundings import Surroundings

_GH_SECONDS = 5.0
_SERVER_KEY = "API_SERVER_KEY"
GITEA_TOKEN_FILE = ".hermes/gitea_token_vps"  # noqa: S105 - its path
_GH_NEEDS = ("GH_CONFIG_DIR", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")

_log = logging.getLogger(__name__)


class FoundToken(Struct, frozen=True):
    """A forge's token, and where it is: in a variable, in a file, or with a program."""

    secret: Secret
    variable: str = ""
    file: str = ""
    program: str = ""


def forge_token(name: str, forge: ForgeConfig, around: Surroundings) -> Secret | None:
    """The token of the forge called `name`; None where none is configured and `find_forge_token` finds none.

    Raises ConfigError where the configured place, or the one that was found, has no usable token.
    """
    given = configured(forge.token_file, forge.token_env, around, f"forges.{name}.token")
    if given is not None:
        return given
    found = find_forge_token(forge, around)
    return found.secret if found else None


def find_forge_token(forge: ForgeConfig, around: Surroundings) -> FoundToken | None:
    """A token that this kind of forge usually has somewhere; None for a kind that is not known here.

    Found are, for Gitea and Forgejo, $GITEA_TOKEN and ~/.hermes/gitea_token_vps; for github.com,
    $GITHUB_TOKEN, $GH_TOKEN and `gh auth token`; for another GitHub server, $GH_ENTERPRISE_TOKEN,
    $GITHUB_ENTERPRISE_TOKEN and `gh auth token` for that host. $GITEA_TOKEN is not for a server other than
    the one in $GITEA_URL. Raises ConfigError where what is there cannot be used.
    """
    find = _TOKENS.get(forge.kind)
    return find(forge.url, around) if find else None


def _gitea_token(url: str, around: Surroundings) -> FoundToken | None:
    meant_for = around.get("GITEA_URL")
    if meant_for and urlsplit(meant_for).netloc.lower() != urlsplit(url).netloc.lower():
        return None
    if found := _first_variable(("GITEA_TOKEN",), around):
        return found
    file = around.home / GITEA_TOKEN_FILE
    return FoundToken(from_file(file, str(file)), file=f"~/{GITEA_TOKEN_FILE}") if file.is_file() else None


def without_address(config: Config, around: Surroundings) -> str:
    """Where there is a token for a Gitea server that nothing names, "" where there is none."""
    if any(_TOKENS.get(forge.kind) is _gitea_token for forge in config.forges.values()):
        return ""
    if around.get("GITEA_TOKEN"):
        return "$GITEA_TOKEN"
    return f"~/{GITEA_TOKEN_FILE}" if (around.home / GITEA_TOKEN_FILE).is_file() else ""


def _github_token(url: str, around: Surroundings) -> FoundToken | None:
    host = urlsplit(url).netloc.lower() if url else "github.com"
    names = ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN") if url else ("GITHUB_TOKEN", "GH_TOKEN")
    if found := _first_variable(names, around):
        return found
    token = _token_of_gh(host, around)
    return FoundToken(token, program="gh auth token") if token else None


_TOKENS: dict[ForgeKind, Callable[[str, Surroundings], FoundToken | None]] = {
    "gitea": _gitea_token,
    "forgejo": _gitea_token,
    "github": _github_token,
}


def _first_variable(names: Sequence[str], around: Surroundings) -> FoundToken | None:
    for variable in names:
        if token := around.get(variable):
            return FoundToken(usable(token, variable), variable=variable)
    return None


def _token_of_gh(host: str, around: Surroundings) -> Secret | None:
    """What GitHub's own client is logged in with, if it is there."""
    program = proc.find("gh")
    if program is None:
        return None
    needed = {name: around.environ[name] for name in _GH_NEEDS if name in around.environ}
    env = proc.minimal_environment(HOME=str(around.home), GH_PROMPT_DISABLED="1", **needed)
    try:
        answer = proc.run(
            [program, "auth", "token", "--hostname", host], timeout=_GH_SECONDS, env=env, cwd=Path("/")
        )
    except SprintError as error:
        _log.warning("gh auth token: %s", error)
        return None
    token = answer.out.strip()
    return usable(token, "gh auth token") if answer.ok and token else None


def token_in_file(path: Path, at: str) -> FoundToken:
    """The token in a file. Raises ConfigError, which begins with `at`, where there is none."""
    return FoundToken(from_file(path, at), file=str(path))


DATABASE_HANDLE = "SPRINT_DATABASE_HANDLE"
"""Names the open file in which a fleet's worker hands the database's URL to the ticks that it starts."""


def database_url(fleet: FleetConfig, around: Surroundings) -> Secret:
    """Where the fleet's database is, with the password. Raises ConfigError."""
    handle = around.get(DATABASE_HANDLE)
    if fleet.database_file:
        found, at = from_file(Path(fleet.database_file), "fleet.database_file"), "fleet.database_file"
    elif handle.isdecimal():
        found, at = from_file(Path("/proc/self/fd", handle), f"${DATABASE_HANDLE}"), f"${DATABASE_HANDLE}"
    else:
        found, at = from_variable(fleet.database_env, around, "fleet.database_env"), "fleet.database_env"
    if not found.reveal().startswith(("postgresql://", "postgres://")):
        raise ConfigError(f"{at}: expected a URL: postgresql://USER:PASSWORD@HOST/NAME")
    return found


def hermes_home_of(around: Surroundings) -> Path:
    return Path(around.get("HERMES_HOME") or around.home / ".hermes")


def hermes_is_set_up(around: Surroundings) -> bool:
    return (hermes_home_of(around) / "config.yaml").is_file()


def hermes_server_key(worker: HermesWorkerConfig, around: Surroundings) -> Secret | None:
    """What opens hermes' agent server; None where nothing is set up. Raises ConfigError."""
    given = configured(worker.server_key_file, worker.server_key_env, around, "server_key")
    if given is not None:
        return given
    from sprint.credentials import hermes_model

    found = around.get(_SERVER_KEY) or hermes_model.variable(
        hermes_home_of(around), around.environ, _SERVER_KEY
    )
    return usable(found, _SERVER_KEY) if found else None


def sprites_token(name: str, backend: SpritesBackendConfig, around: Surroundings) -> Secret | None:
    """The configured place, else $SPRITE_TOKEN or $SPRITES_TOKEN; None where there is none."""
    at = f"backends.{name}"
    given = configured(backend.token_file, backend.token_env, around, f"{at}.token")
    if given is not None:
        return given
    variable = next((one for one in ("SPRITE_TOKEN", "SPRITES_TOKEN") if around.get(one)), "")
    return from_variable(variable, around, at) if variable else None
