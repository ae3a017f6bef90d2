"""Where `sprint serve --public` is reached from a sprite: what it calls back, and its run's gateway."""

from __future__ import annotations

from sprint.config import PublicConfig
from sprint.domain import Run
from sprint.errors import ConfigError
from sprint.gateway.upstream import Outside, Unanswered, site, whole
from sprint.sprite.backend import BackendError
from sprint.surroundings import Surroundings

_ALIVE = b"ok\n"


def callback(url: str, run: Run) -> str:
    return f"{url}/webhooks/sprite/{run.id}"


def gateway(url: str, run: Run) -> str:
    """The base of its model's API, as agents want it."""
    return f"{url}/gateway/{run.id}"


def check(public: PublicConfig, around: Surroundings) -> None:
    """See that it is up, where runs would have no model without it. Raises ConfigError, BackendError."""
    if not public.url:
        raise ConfigError(
            "a run's gateway is reached from this machine's sandbox, over ssh, and at `public.url` while "
            "`sprint serve --public` is up: set that, or give the sprite a limited key by `key: file`"
        )
    outside = Outside(around.environ)
    try:
        address = f"{public.url}/healthz"
        with outside.get(site(public.url), address, {}) as answer:
            is_there = answer.status == 200 and whole(answer, 100) == _ALIVE
        if not is_there:
            raise BackendError(
                f"{address} is not `sprint serve --public`: see public.url, and the proxy's rules"
            )
    except Unanswered as error:
        raise BackendError(
            f"{public.url} does not answer ({error}): start `sprint serve --public`"
        ) from error
    finally:
        outside.close()
