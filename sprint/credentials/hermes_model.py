"""The model that hermes is set up with: the one that hermes itself would call (as of hermes 0.19).

A key goes only to its own server. A key in a variable of a provider's name is used for that provider's host.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sprint.credentials import ollama
from sprint.credentials.hermes_home import HermesHome, mapping, open_home, text
from sprint.credentials.hermes_providers import (
    KEYS_OF_HOSTS,
    NOUS,
    NOUS_URL,
    ONLY_HERMES_CALLS,
    OPENROUTER,
    PROVIDERS,
    Provider,
    canonical,
)
from sprint.credentials.listing import only_model
from sprint.credentials.secret_places import NO_KEY
from sprint.domain import Endpoint, Secret
from sprint.errors import ConfigError, ModelError, ModelTrouble

_ADDRESS_KEYS = ("api", "url", "base_url")
_LOCAL = frozenset({"ollama", "local"})
_OTHER_DIALECT_KEYS = ("sk-kimi-",)  # for an address of Kimi's that speaks Anthropic's

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Found:
    """ "" for what is not known; `name` where the provider's own entry says which model."""

    url: str
    key: str
    name: str = ""


def variable(folder: Path, environ: Mapping[str, str], name: str) -> str:
    """A secret in one of hermes' variables, "" where there is none."""
    return open_home(folder, environ).secret_in(name)


def endpoint(folder: Path, environ: Mapping[str, str], name: str = "") -> Endpoint | None:
    """The model of the hermes in `folder`; None, with a warning where there is one, if it cannot be used.

    `name` in place of the model's name that hermes has. Raises ModelError while its login has run out, for
    then it is in use and only has to be renewed; ConfigError where no name is known.
    """
    home = open_home(folder, environ)
    model = home.config.get("model")
    model = {"default": model} if isinstance(model, str) else mapping(model)
    if not model:
        return None
    provider = _provider(model, home)
    if not provider:
        return None
    if provider in ONLY_HERMES_CALLS:
        _log.warning("hermes uses %s, which only hermes can call; going on without", provider)
        return None
    found = _find(provider, model, home)
    if not _is_address(found.url) or not found.key:
        missing = "key" if _is_address(found.url) else "address"
        _log.warning(
            "hermes' provider %s has no usable %s in %s; going on without: give it one there "
            "(model.base_url, model.api_key), or write model: in sprint.yaml",
            provider,
            missing,
            folder,
        )
        return None
    if found.key.startswith(_OTHER_DIALECT_KEYS):
        _log.warning("hermes' key for %s is for another dialect, which only hermes speaks", provider)
        return None
    url = found.url.rstrip("/")
    name = name or text(model, "default", "model") or found.name or _only_model(url, found.key, folder)
    window = model.get("context_length")
    return Endpoint(
        name,
        url,
        Secret(found.key),
        context=window if isinstance(window, int) and window > 0 else None,
        source=f"hermes ({provider}) in {folder}",
    )


def _provider(model: Mapping[str, Any], home: HermesHome) -> str:
    """The provider that hermes would take; "" for none.

    That is what is configured, an address, a key in .env, a login; a key that merely lies in the environment
    comes last, where hermes would have it before the login.
    """
    named = text(model, "provider") or home.variables.get("HERMES_INFERENCE_PROVIDER", "").strip()
    if named.lower() not in ("", "auto"):
        return named.lower() if _entry(named, home) else canonical(named)
    if text(model, "base_url"):
        return "custom"
    return (
        _provider_with_key(home, home.own_variables)
        or (OPENROUTER if _pooled(OPENROUTER, home).key else "")
        or canonical(text(home.auth, "active_provider"))
        or _provider_with_key(home, home.variables)
    )


def _provider_with_key(home: HermesHome, variables: Mapping[str, str]) -> str:
    """The first provider, openrouter before all, whose key is in these variables."""
    for name in (OPENROUTER, *PROVIDERS):
        keys = (home.secret(variables.get(variable, "")) for variable in PROVIDERS[name].keys)
        if PROVIDERS[name].needs_key and any(keys):
            return name
    return ""


def _find(provider: str, model: Mapping[str, Any], home: HermesHome) -> _Found:
    url, key = text(model, "base_url"), home.secret(text(model, "api_key", "api"))
    entry = _entry(provider, home)
    if entry or provider == "custom" or provider.startswith("custom:"):
        return _custom(provider, entry, _Found(url, key), home)
    if provider in _LOCAL:
        url = url or f"{ollama.address(home.variables.get('OLLAMA_HOST', ''))}/v1"
        return _Found(url, key or "ollama")
    if provider == NOUS:
        return _Found(home.variables.get("NOUS_INFERENCE_BASE_URL", "").strip() or NOUS_URL, _nous_key(home))
    known = PROVIDERS.get(provider, Provider("", ()))
    pooled = _pooled(provider, home)
    other = home.variables.get(known.url_variable, "").strip()
    key = key or home.secret_in(*known.keys) or pooled.key or ("" if known.needs_key else NO_KEY.reveal())
    if provider == OPENROUTER:
        url = ""  # one that stands there is left from a provider before: hermes, too, goes to openrouter
    return _Found(_with_version(provider, url or pooled.url or other or known.url), key)


def _with_version(provider: str, url: str) -> str:
    """LM Studio's address comes in several forms; its chat completions are below /v1."""
    if provider != "lmstudio":
        return url
    return re.sub(r"(/api/v1|/api|/v1)?$", "/v1", url.rstrip("/"), count=1)


# --- providers of the operator's own -----------------------------------------------------------


def _entry(provider: str, home: HermesHome) -> Mapping[str, Any]:
    """The operator's own provider of that name; empty for none, and for one that hermes has itself."""
    name = _plain(provider)
    if not name.startswith("custom") and (name in PROVIDERS or name in ONLY_HERMES_CALLS):
        return {}
    name = name.removeprefix("custom:")
    own = mapping(home.config.get("providers"))
    listed = home.config.get("custom_providers")
    entries = [(str(key), mapping(entry)) for key, entry in own.items()]
    entries += [("", mapping(entry)) for entry in (listed if isinstance(listed, list) else ())]
    for key, entry in entries:
        if name not in (_plain(key), _plain(text(entry, "name"))) or entry.get("enabled") is False:
            continue
        if text(entry, *_ADDRESS_KEYS):
            return {**entry, "name": text(entry, "name") or key}
    return {}


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "-")


def _custom(provider: str, entry: Mapping[str, Any], bare: _Found, home: HermesHome) -> _Found:
    """A server of one's own, which may do without a key."""
    url = text(entry, *_ADDRESS_KEYS) or bare.url
    name = _plain(text(entry, "name")) or provider.removeprefix("custom:")
    key = (
        home.secret_in(text(entry, "key_env"))
        or home.secret(text(entry, "api_key"))
        or _pooled(f"custom:{name}", home).key
        or ("" if entry else bare.key)
        or home.secret_in(*KEYS_OF_HOSTS.get(urlsplit(url).hostname or "", ()))
    )
    return _Found(url, key or NO_KEY.reveal(), text(entry, "default_model", "model"))


# --- what hermes keeps in auth.json ------------------------------------------------------------


def _pooled(provider: str, home: HermesHome) -> _Found:
    """The first usable key in the pool, and its address where it has one."""
    for entry in home.pool(provider):
        if key := home.secret(text(entry, "access_token")):
            return _Found(text(entry, "base_url"), key)
    return _Found("", "")


def _nous_key(home: HermesHome) -> str:
    """Of the login, or of the pool. Raises ModelError where there are keys and each has run out."""
    state = mapping(mapping(home.auth.get("providers")).get(NOUS))
    expired = None
    for entry in (state, *home.pool(NOUS)):
        key = home.secret(text(entry, "agent_key"))
        expires = _moment(entry.get("agent_key_expires_at"))
        if key and (expires is None or expires > datetime.now(UTC)):
            return key
        expired = expires if key else expired
    if expired is not None:
        raise ModelError(
            f"hermes' key for nous expired at {expired.isoformat()}; start hermes once to renew it, or write "
            "model: in sprint.yaml",
            ModelTrouble.REFUSED,
        )
    return ""


def _moment(value: object) -> datetime | None:
    """From ISO 8601 or seconds since 1970; None where it is neither."""
    try:
        if isinstance(value, (int, float)):
            return datetime.fromtimestamp(value, UTC)
        moment = datetime.fromisoformat(str(value)) if value else None
    except (ValueError, OverflowError, OSError):
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _only_model(url: str, key: str, folder: Path) -> str:
    try:
        return only_model(url, Secret(key))
    except (ConfigError, ModelError) as error:
        raise ConfigError(
            f"{folder}/config.yaml: model.default is missing; set it, or SPRINT_MODEL ({error})"
        ) from error


def _is_address(url: str) -> bool:
    return re.fullmatch(r"https?://[^\s@?#]+", url) is not None
