"""Backends of each kind, and their sections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import structs

from sprint.config import LocalBackendConfig, SpritesBackendConfig
from sprint.domain import Secret
from sprint.sprite import folders
from sprint.sprite.backend import Backend
from sprint.sprite.sprites_dev import SpritesBackend
from tests.servers.sprites_dev import SpritesDev
from tests.servers.sshd import sshd


@contextmanager
def backend_of(kind: str, root: Path) -> Iterator[dict[str, Any]]:
    """The section of a backend that is there."""
    if kind == "local":
        yield {"kind": "local", "path": str(root / "sprites")}
    elif kind == "ssh":
        with sshd(root / "ssh") as server:
            known = {key: value for key, value in structs.asdict(server.config).items() if value}
            yield {"kind": "ssh", **known}
    else:
        with SpritesDev(root) as service:
            (root / "sprite.token").write_text(service.token)
            (root / "sprite.token").chmod(0o600)
            yield {"kind": "sprites", "base_url": service.url, "token_file": str(root / "sprite.token")}


@contextmanager
def made(kind: str, root: Path) -> Iterator[Backend]:
    if kind == "local":
        yield folders.local("here", LocalBackendConfig(path=str(root / "sprites")))
    elif kind == "ssh":
        with sshd(root / "ssh") as server:
            yield folders.ssh("there", server.config)
    else:
        with SpritesDev(root) as service:
            config = SpritesBackendConfig(base_url=service.url)
            yield SpritesBackend("cloud", config, Secret(service.token))
