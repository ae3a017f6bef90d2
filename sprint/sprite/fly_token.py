"""A token for sprites.dev in exchange for one of Fly's, asked for once and kept."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from sprint import json_file
from sprint.config import SpritesBackendConfig
from sprint.domain import Secret
from sprint.sprite.backend import Refused, Unreachable
from sprint.surroundings import Surroundings

_SECONDS = 30.0


class _Kept(Struct, frozen=True, kw_only=True):
    token: str
    made: datetime


def exchanged(config: SpritesBackendConfig, cache: Path, around: Surroundings) -> Secret | None:
    """None where there is no $FLY_API_TOKEN. Raises Refused or Unreachable where the exchange fails."""
    fly = around.get("FLY_API_TOKEN")
    if not fly:
        return None
    organization = config.organization or around.get("SPRITES_ORG") or around.get("FLY_ORG") or "personal"
    path = cache / f"sprites-token-{quote(organization, safe='')}.json"
    kept = json_file.read_if_sound(path, _Kept)
    if kept is None:
        kept = _Kept(token=_exchange(config.base_url, organization, fly), made=datetime.now(UTC))
        json_file.change(path, _Kept, lambda _before: kept)
    return Secret(kept.token)


def _exchange(base_url: str, organization: str, fly: str) -> str:
    import requests

    address = f"{base_url}/v1/organizations/{quote(organization, safe='')}/tokens"
    # Fly's own tokens come with or without the name of their scheme.
    macaroon = fly.removeprefix("FlyV1 ")
    try:
        answer = requests.post(
            address,
            json={"description": "sprint"},
            headers={"Authorization": f"FlyV1 {macaroon}"},
            timeout=_SECONDS,
            allow_redirects=False,
        )
    except requests.RequestException as error:
        raise Unreachable(f"{base_url} does not answer ({type(error).__name__})") from None
    if answer.status_code not in (200, 201):
        raise Refused(f"{base_url} gives no token for $FLY_API_TOKEN (HTTP {answer.status_code})")
    try:
        token = answer.json()["token"]
    except (ValueError, KeyError, TypeError):
        token = None
    if not isinstance(token, str) or not token:
        raise Refused(f"{base_url} answers with no token; set SPRITE_TOKEN instead")
    return token
