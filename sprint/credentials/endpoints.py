"""Which models are asked, where and with which key: the configured ones, else one that is found here."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from sprint.config import Config, ModelConfig
from sprint.config.values import web_address
from sprint.credentials import hermes_home_of
from sprint.credentials.secret_places import NO_KEY, configured, usable
from sprint.domain import Endpoint, Secret, replace
from sprint.errors import ConfigError, ModelError
from sprint.surroundings import Surroundings

OPENAI = "https://api.openai.com/v1"
OPENROUTER = "https://openrouter.ai/api/v1"

_KEY_OF_HOST = {"api.openai.com": "OPENAI_API_KEY", "openrouter.ai": "OPENROUTER_API_KEY"}
_MODEL_OF_HOST = {"api.openai.com": "gpt-5.4", "openrouter.ai": "qwen/qwen3-coder"}

_log = logging.getLogger(__name__)


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
    key = configured(model.api_key_file, model.api_key_env, around, f"{at}.api_key")
    key = _key_for(url, at, around) if key is None else key
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
        return usable(value, variable)
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
    key = usable(value, "OPENAI_API_KEY") if value else NO_KEY
    source = "OPENAI_API_KEY" if value else "OPENAI_BASE_URL"
    return Endpoint(name or _name_for(url, key, around, source), url, key, source=source)


def _of_hermes_or_key(name: str, around: Surroundings) -> Endpoint | None:
    """What hermes is set up with, else a key that lies in the environment.

    Such a key may cost money that nobody meant to spend: while hermes' login has run out it stays unused.
    """
    from sprint.credentials import hermes_model

    try:
        wanted = name or around.get("SPRINT_MODEL")
        found = hermes_model.endpoint(hermes_home_of(around), around.environ, wanted)
    except ModelError as error:
        _log.warning("%s; no other key is used in its place", error)
        return None
    if found is not None:
        return found
    for variable, url in (("OPENAI_API_KEY", OPENAI), ("OPENROUTER_API_KEY", OPENROUTER)):
        if value := around.get(variable):
            key = usable(value, variable)
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
