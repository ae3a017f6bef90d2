"""Where tokens and keys come from: the configuration, the environment, the tools that have them already.

Nothing here prints or logs a secret, and a secret goes to no server but the one it was meant for.
"""

from __future__ import annotations

import logging
import re
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
    ModelConfig,
    SpritesBackendConfig,
)
from sprint.config.values import web_address
from sprint.domain import Endpoint, Secret, replace
from sprint.errors import ConfigError, ModelError, SprintError
from sprint.files import refusal
from sprint.surroundings import Surroundings

OPENAI = "https://api.openai.com/v1"
OPENROUTER = "https://openrouter.ai/api/v1"
NO_KEY = Secret("no-key-needed")  # the client insists on one; servers without keys ignore it

_GH_SECONDS = 5.0
_SECRET_CAP = 16_384
_SERVER_KEY = "API_SERVER_KEY"
GITEA_TOKEN_FILE = ".hermes/gitea_token_vps"  # noqa: S105 - its path
_GH_NEEDS = ("GH_CONFIG_DIR", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
_KEY_OF_HOST = {"api.openai.com": "OPENAI_API_KEY", "openrouter.ai": "OPENROUTER_API_KEY"}
_MODEL_OF_HOST = {"api.openai.com": "gpt-5.4", "openrouter.ai": "qwen/qwen3-coder"}

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
    at = f"forges.{name}"
    if forge.token_file:
        return _from_file(Path(forge.token_file), f"{at}.token_file")
    if forge.token_env:
        return _from_variable(forge.token_env, around, f"{at}.token_env")
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
    return FoundToken(_from_file(file, str(file)), file=f"~/{GITEA_TOKEN_FILE}") if file.is_file() else None


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
            return FoundToken(_usable(token, variable), variable=variable)
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
    return _usable(token, "gh auth token") if answer.ok and token else None


def token_in_file(path: Path, at: str) -> FoundToken:
    """The token in a file. Raises ConfigError, which begins with `at`, where there is none."""
    return FoundToken(_from_file(path, at), file=str(path))


def _from_variable(variable: str, around: Surroundings, at: str) -> Secret:
    value = around.get(variable)
    if not value:
        raise ConfigError(f"{at}: ${variable} is not set; export it (cron has no profile) or use a file")
    return _usable(value, f"{at}: ${variable}")


def _from_file(path: Path, at: str) -> Secret:
    try:
        with path.open("rb") as file:
            open_to_all = path.stat().st_mode & 0o004
            data = file.read(_SECRET_CAP + 1)
    except OSError as error:
        raise ConfigError(f"{at}: {_unreadable(path, error)}") from error
    if open_to_all:
        _log.warning("%s can be read by every user of this machine; run: chmod 600 %s", path, path)
    value = data.decode("utf-8", "replace").strip()
    if not value:
        raise ConfigError(f"{at}: {path} is empty; write the secret there")
    return _usable(value, f"{at}: {path}")


def _unreadable(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"cannot read {path}: {error.strerror}; write the secret there"
    return str(refusal("read", path, error))


def _usable(value: str, where: str) -> Secret:
    """Raises ConfigError, without showing it, for what no server takes in a header."""
    if len(value) > _SECRET_CAP or re.fullmatch(r"[\x21-\x7e]+", value) is None:
        raise ConfigError(f"{where}: no usable secret: expected one line of plain characters without spaces")
    return Secret(value)


DATABASE_HANDLE = "SPRINT_DATABASE_HANDLE"
"""Names the open file in which a fleet's worker hands the database's URL to the ticks that it starts."""


def database_url(fleet: FleetConfig, around: Surroundings) -> Secret:
    """Where the fleet's database is, with the password. Raises ConfigError."""
    handle = around.get(DATABASE_HANDLE)
    if fleet.database_file:
        found, at = _from_file(Path(fleet.database_file), "fleet.database_file"), "fleet.database_file"
    elif handle.isdecimal():
        found, at = _from_file(Path("/proc/self/fd", handle), f"${DATABASE_HANDLE}"), f"${DATABASE_HANDLE}"
    else:
        found, at = _from_variable(fleet.database_env, around, "fleet.database_env"), "fleet.database_env"
    if not found.reveal().startswith(("postgresql://", "postgres://")):
        raise ConfigError(f"{at}: expected a URL: postgresql://USER:PASSWORD@HOST/NAME")
    return found


# --- models ------------------------------------------------------------------------------------


def _hermes_home(around: Surroundings) -> Path:
    return Path(around.get("HERMES_HOME") or around.home / ".hermes")


def hermes_is_set_up(around: Surroundings) -> bool:
    return (_hermes_home(around) / "config.yaml").is_file()


def hermes_server_key(worker: HermesWorkerConfig, around: Surroundings) -> Secret | None:
    """What opens hermes' agent server; None where nothing is set up. Raises ConfigError."""
    if worker.server_key_file:
        return _from_file(Path(worker.server_key_file), "server_key_file")
    if worker.server_key_env:
        return _from_variable(worker.server_key_env, around, "server_key_env")
    from sprint.credentials import hermes_model

    found = around.get(_SERVER_KEY) or hermes_model.variable(
        _hermes_home(around), around.environ, _SERVER_KEY
    )
    return _usable(found, _SERVER_KEY) if found else None


def sprites_token(name: str, backend: SpritesBackendConfig, around: Surroundings) -> Secret | None:
    """The configured place, else $SPRITE_TOKEN or $SPRITES_TOKEN; None where there is none."""
    at = f"backends.{name}"
    if backend.token_file:
        return _from_file(Path(backend.token_file), f"{at}.token_file")
    if backend.token_env:
        return _from_variable(backend.token_env, around, f"{at}.token_env")
    variable = next((one for one in ("SPRITE_TOKEN", "SPRITES_TOKEN") if around.get(one)), "")
    return _from_variable(variable, around, at) if variable else None


def model_endpoints(config: Config, around: Surroundings) -> tuple[Endpoint, ...]:
    """The models to try, in order: the configured one with its fallbacks, else one that is found.

    Looked for in this order: OPENAI_BASE_URL (with OPENAI_API_KEY, if there is one), hermes, OPENAI_API_KEY,
    OPENROUTER_API_KEY, Ollama on this machine. Only Ollama is asked, and a server that nobody named a model
    of. Raises ConfigError for a configuration that cannot work, ModelError where there is no model at all.
    """
    if config.model is None:
        return (_found("", around),)
    return tuple(_chain(config.model, "model", around))


def _chain(model: ModelConfig, at: str, around: Surroundings) -> list[Endpoint]:
    """A model and its fallbacks; one that cannot be found now is left out where another can."""
    endpoints: list[Endpoint] = []
    missing: list[ModelError] = []
    try:
        endpoints.append(_configured(model, at, around))
    except ModelError as error:
        missing.append(error)
    for index, fallback in enumerate(model.fallbacks):
        try:
            endpoints += _chain(fallback, f"{at}.fallbacks[{index}]", around)
        except ModelError as error:
            missing.append(error)
    if missing and not endpoints:
        raise missing[0]
    for one in missing:
        _log.warning("%s: %s; going on with the others", at, one)
    return endpoints


def _configured(model: ModelConfig, at: str, around: Surroundings) -> Endpoint:
    if model.base_url or model.api_key_env or model.api_key_file:
        endpoint = _at_address(model, at, around)
    else:
        endpoint = _found(model.name, around)
    price = model.price
    return replace(
        endpoint,
        context=model.context or endpoint.context,
        input_price=price.input if price else None,
        output_price=price.output if price else None,
        cached_price=price.cached if price else None,
        temperature=model.temperature,
        max_tokens=model.max_tokens,
        extra=model.extra,
    )


def _at_address(model: ModelConfig, at: str, around: Surroundings) -> Endpoint:
    """An address or a key is configured; what is missing of the two follows from the other."""
    url = model.base_url or _address_for(model.api_key_env, at, around)
    if model.api_key_file:
        key = _from_file(Path(model.api_key_file), f"{at}.api_key_file")
    elif model.api_key_env:
        key = _from_variable(model.api_key_env, around, f"{at}.api_key_env")
    else:
        key = _key_for(url, at, around)
    name = model.name or _name_for(url, key, around, f"{at}.name")
    return Endpoint(name, url, key, source=f"{at} in the configuration")


def _address_for(variable: str, at: str, around: Surroundings) -> str:
    """Where a key of that name belongs; any other is sent nowhere by guess."""
    if variable == "OPENROUTER_API_KEY":
        return OPENROUTER
    if variable != "OPENAI_API_KEY":
        raise ConfigError(f"{at}.base_url: which server is the key for? Give its address")
    own = around.get("OPENAI_BASE_URL")
    return web_address(own, "OPENAI_BASE_URL") if own else OPENAI


def _key_for(url: str, at: str, around: Surroundings) -> Secret:
    """The key that the environment has for exactly this server; other servers need none, or say so."""
    variable = _KEY_OF_HOST.get(urlsplit(url).hostname or "")
    if around.get("OPENAI_BASE_URL").rstrip("/") == url:
        variable = variable or "OPENAI_API_KEY"
    if variable is None:
        return NO_KEY
    if value := around.get(variable):
        return _usable(value, variable)
    if urlsplit(url).hostname in _KEY_OF_HOST:
        raise ConfigError(
            f"{at}: {url} needs a key; name its variable or file in api_key_env or api_key_file"
        )
    return NO_KEY


def is_public_provider(url: str) -> bool:
    """Whether an address is one that everybody knows, and so tells nothing of who uses it."""
    from sprint.credentials.hermes_providers import KEYS_OF_HOSTS

    host = urlsplit(url).hostname or ""
    return host in _KEY_OF_HOST or host in KEYS_OF_HOSTS


def _name_for(url: str, key: Secret, around: Surroundings, at: str) -> str:
    """The model of a server that was named without one. Only a server that nobody knows is asked."""
    from sprint.credentials import listing, ollama

    host = urlsplit(url).hostname or ""
    variables = ("SPRINT_MODEL",) if host == "openrouter.ai" else ("SPRINT_MODEL", "OPENAI_MODEL")
    for variable in variables:
        if name := around.get(variable):
            return name
    if name := _MODEL_OF_HOST.get(host, ""):
        return name
    if ollama.is_at(url):
        return ollama.choose_model(url)
    try:
        return listing.only_model(url, key)
    except (ConfigError, ModelError) as error:
        which = f"{at}: which model at {url}? Set SPRINT_MODEL, or model.name in sprint.yaml; {error}"
        raise (
            ConfigError(which) if isinstance(error, ConfigError) else ModelError(which, error.kind)
        ) from error


def _found(name: str, around: Surroundings) -> Endpoint:
    """A model that needs no configuration. `name` in place of the name that goes with it."""
    endpoint = _at_own_address(name, around) or _of_hermes_or_key(name, around)
    endpoint = endpoint or _ollama(name or around.get("SPRINT_MODEL"), around)
    _log.info("model %s at %s (from %s)", endpoint.name, endpoint.base_url, endpoint.source)
    return endpoint


def _at_own_address(name: str, around: Surroundings) -> Endpoint | None:
    """A server that the environment names, which nobody does by accident."""
    if not around.get("OPENAI_BASE_URL"):
        return None
    url = web_address(around.get("OPENAI_BASE_URL"), "OPENAI_BASE_URL")
    value = around.get("OPENAI_API_KEY")
    key = _usable(value, "OPENAI_API_KEY") if value else NO_KEY
    source = "OPENAI_API_KEY" if value else "OPENAI_BASE_URL"
    return Endpoint(name or _name_for(url, key, around, source), url, key, source=source)


def _of_hermes_or_key(name: str, around: Surroundings) -> Endpoint | None:
    """What hermes is set up with, else a key that lies in the environment.

    Such a key may cost money that nobody meant to spend: while hermes' login has run out it stays unused.
    """
    from sprint.credentials import hermes_model

    try:
        wanted = name or around.get("SPRINT_MODEL")
        found = hermes_model.endpoint(_hermes_home(around), around.environ, wanted)
    except ModelError as error:
        _log.warning("%s; no other key is used in its place", error)
        return None
    if found is not None:
        return found
    for variable, url in (("OPENAI_API_KEY", OPENAI), ("OPENROUTER_API_KEY", OPENROUTER)):
        if value := around.get(variable):
            key = _usable(value, variable)
            return Endpoint(name or _name_for(url, key, around, variable), url, key, source=variable)
    return None


def _ollama(name: str, around: Surroundings) -> Endpoint:
    from sprint.credentials import ollama

    url = ollama.address(around.get("OLLAMA_HOST"))
    try:
        chosen = name or ollama.choose_model(url)
        if name:
            ollama.installed(url)
    except ModelError as error:
        raise ModelError(
            f"no model: none configured, no OPENAI_API_KEY, OPENROUTER_API_KEY or OPENAI_BASE_URL, nothing "
            f"usable from hermes, and {error}",
            error.kind,
        ) from error
    return Endpoint(chosen, f"{url}/v1", Secret("ollama"), source=f"Ollama at {url}")
