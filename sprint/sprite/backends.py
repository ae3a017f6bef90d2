"""The backends of the configuration, ready to be asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sprint import credentials
from sprint.config import BackendConfig, Config, LocalBackendConfig, SpritesBackendConfig, SshBackendConfig
from sprint.errors import ConfigError
from sprint.sprite.backend import Backend
from sprint.surroundings import Surroundings

_Make = Callable[[str, Any, Path, Surroundings], Backend]


def _local(name: str, config: LocalBackendConfig, _cache: Path, _around: Surroundings) -> Backend:
    from sprint.sprite import folders

    return folders.local(name, config)


def _ssh(name: str, config: SshBackendConfig, _cache: Path, _around: Surroundings) -> Backend:
    from sprint.sprite import folders

    return folders.ssh(name, config)


def _sprites(name: str, config: SpritesBackendConfig, cache: Path, around: Surroundings) -> Backend:
    from sprint.sprite.fly_token import exchanged
    from sprint.sprite.sprites_dev import SpritesBackend

    token = credentials.sprites_token(name, config, around) or exchanged(config, cache, around)
    if token is None:
        raise ConfigError(
            f"backends.{name}: no token: set SPRITE_TOKEN, or FLY_API_TOKEN, or name a file with token_file"
        )
    return SpritesBackend(name, config, token)


KINDS: dict[type[BackendConfig], _Make] = {
    LocalBackendConfig: _local,
    SshBackendConfig: _ssh,
    SpritesBackendConfig: _sprites,
}


def opened(config: Config, name: str, around: Surroundings) -> Backend:
    """The backend of that name; "" is the only one that is configured, or the first. Asks nothing yet.

    Raises ConfigError where there is none, or no token for it.
    """
    if not config.backends:
        raise ConfigError(
            "no backend for sprites is configured: write one below `backends:`, see docs/sprites.md"
        )
    found = config.backends.get(name or next(iter(config.backends)))
    if found is None:
        raise ConfigError(f"no backend is called {name!r}; there are {', '.join(config.backends)}")
    name = name or next(iter(config.backends))
    return KINDS[type(found)](name, found, config.paths.cache, around)
