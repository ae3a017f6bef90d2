"""The model that hermes is set up with, from its config.yaml and auth.json (as of hermes 0.19)."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sprint.credentials import ollama
from sprint.domain import Endpoint, Secret
from sprint.errors import ConfigError

_FILE_CAP = 5_000_000
_ADDRESSES = {
    "nous": "https://inference-api.nousresearch.com/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "openai": "https://api.openai.com/v1",
    "deepseek": "https://api.deepseek.com/v1",
}
_LOCAL = frozenset({"ollama", "local"})

_log = logging.getLogger(__name__)


def endpoint(folder: Path, environ: Mapping[str, str], name: str = "") -> Endpoint | None:
    """The model of the hermes in `folder`; None, with a warning where there is one, if it cannot be used.

    `name` in place of the model's name that hermes has. Raises ConfigError where no name is known.
    """
    config = _mapping(_yaml(folder / "config.yaml"))
    model = config.get("model")
    model = {"default": model} if isinstance(model, str) else _mapping(model)
    if not model:
        return None
    provider = _provider(model, folder)
    if not provider:
        return None
    if provider == "openai-codex":
        _log.warning("hermes uses openai-codex, which only hermes can call; trying Ollama on this machine")
        return None
    url, key = _address_and_key(provider, model, config, folder, environ)
    if not url or not key:
        missing = "address" if not url else "key"
        _log.warning(
            "hermes' provider %s has no usable %s in %s; going on without", provider, missing, folder
        )
        return None
    name = name or _text(model, "default") or _text(model, "model")
    if not name:
        raise ConfigError(f"{folder}/config.yaml: model.default is missing; set it, or SPRINT_MODEL")
    return Endpoint(name, url.rstrip("/"), Secret(key), source=f"hermes ({provider}) in {folder}")


def _provider(model: Mapping[str, Any], folder: Path) -> str:
    provider = _text(model, "provider").lower()
    if provider not in ("", "auto"):
        return provider
    if _text(model, "base_url"):
        return "custom"
    return _text(_mapping(_json(folder / "auth.json")), "active_provider").lower()


def _address_and_key(
    provider: str,
    model: Mapping[str, Any],
    config: Mapping[str, Any],
    folder: Path,
    environ: Mapping[str, str],
) -> tuple[str, str]:
    """ "" for what is not known. A custom provider's server may do without a key."""
    url, key = _text(model, "base_url"), _text(model, "api_key")
    if provider == "custom" or provider.startswith("custom:"):
        entry = _custom(config, provider.partition(":")[2])
        url, key = _text(entry, "base_url") or url, _text(entry, "api_key") or key
        return url if _is_address(url) else "", _key(key, environ) or "no-key-needed"
    if provider in _LOCAL:
        return url or f"{ollama.address(environ.get('OLLAMA_HOST', ''))}/v1", _key(key, environ) or "ollama"
    auth = _mapping(_json(folder / "auth.json"))
    if provider == "nous":
        return _ADDRESSES["nous"], _nous_key(auth)
    known = _ADDRESSES.get(provider, "")
    pooled_key, pooled_url = _pooled(auth, provider)
    url = url or pooled_url or known
    return url if _is_address(url) else "", _key(key, environ) or pooled_key


def _custom(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    providers = config.get("custom_providers")
    for entry in providers if isinstance(providers, list) else ():
        if isinstance(entry, dict) and _text(entry, "name").lower() == name:
            return entry
    return {}


def _nous_key(auth: Mapping[str, Any]) -> str:
    state = _mapping(_mapping(auth.get("providers")).get("nous"))
    key = _text(state, "agent_key")
    expires = _moment(state.get("agent_key_expires_at"))
    if key and expires is not None and expires <= datetime.now(UTC):
        _log.warning("hermes' key for nous expired at %s; start hermes once to renew it", expires.isoformat())
        return ""
    return _key(key, {})


def _pooled(auth: Mapping[str, Any], provider: str) -> tuple[str, str]:
    """The first usable key in the pool, and its address where it has one."""
    pool = _mapping(auth.get("credential_pool")).get(provider)
    for entry in pool if isinstance(pool, list) else ():
        if isinstance(entry, dict) and (key := _key(_text(entry, "access_token"), {})):
            return key, _text(entry, "base_url")
    return "", ""


def _moment(value: object) -> datetime | None:
    """From ISO 8601 or seconds since 1970; None where it is neither."""
    try:
        if isinstance(value, (int, float)):
            return datetime.fromtimestamp(value, UTC)
        moment = datetime.fromisoformat(str(value)) if value else None
    except (ValueError, OverflowError, OSError):
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _key(value: str, environ: Mapping[str, str]) -> str:
    """A key as written or, for `${NAME}`, from the environment; "" where no server could take it."""
    if reference := re.fullmatch(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)\}?", value):
        value = environ.get(reference[1], "").strip()
    return value if re.fullmatch(r"[\x21-\x7e]+", value) else ""


def _is_address(url: str) -> bool:
    return re.fullmatch(r"https?://[^\s@?#]+", url) is not None


def _text(mapping: Mapping[str, Any], key: str) -> str:
    value = mapping.get(key)
    return value.strip() if isinstance(value, str) else ""


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _yaml(path: Path) -> object:
    text = _read(path)
    if text is None:
        return None
    from sprint.strict_yaml import parse

    try:
        return parse(text, str(path), strict=False)
    except ConfigError as error:
        _log.warning("%s; going on without hermes", error)
        return None


def _json(path: Path) -> object:
    text = _read(path)
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        _log.warning("%s is not valid JSON; going on without it", path)
        return None


def _read(path: Path) -> str | None:
    """The file's text; None where there is none, with a warning where there is one that cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_FILE_CAP).decode("utf-8-sig", "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.warning("%s cannot be read: %s; going on without it", path, error.strerror)
        return None
