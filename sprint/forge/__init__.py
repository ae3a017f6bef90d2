"""The forges: what may be asked of one, and the kinds there are."""

from __future__ import annotations

from urllib.parse import urlsplit

from sprint.config import ForgeConfig, ForgeKind
from sprint.domain import Secret
from sprint.errors import ForgeError
from sprint.forge.gitea import Gitea
from sprint.forge.github import GitHub
from sprint.forge.protocol import Forge as Forge
from sprint.forge.protocol import Rights as Rights
from sprint.forge.rest import RestForge

KINDS: dict[ForgeKind, type[RestForge]] = {"gitea": Gitea, "forgejo": Gitea, "github": GitHub}


def connect(
    config: ForgeConfig, token: Secret | None, *, patience: float = 60.0, timeout: float = 30.0
) -> Forge:
    """The forge that `config` describes; asks it nothing yet.

    `patience`: seconds that one request may take with all its waiting for limits and failures. `timeout`:
    seconds to wait for the server's next byte. Raises ForgeError where url or token cannot be right.
    """
    _check_url(config)
    token_from = config.token_file or (f"${config.token_env}" if config.token_env else "")
    return KINDS[config.kind].connect(
        config.kind,
        config.url.strip(),
        _sendable(token, token_from),
        token_from=f"the token in {token_from}" if token_from else "",
        patience=patience,
        timeout=timeout,
    )


def _check_url(config: ForgeConfig) -> None:
    if config.site and not config.url:
        return
    try:
        parts = urlsplit(config.url.strip())
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        has_port = False
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or not has_port:
        raise ForgeError(f"the {config.kind} forge's url is no http or https address: write https://HOST")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ForgeError(
            f"the url of {parts.hostname} must hold nothing but the address:"
            " put the token into token_file or token_env"
        )


def _sendable(token: Secret | None, token_from: str) -> Secret | None:
    """The token without the line end of its file; a header can hold printable ASCII only."""
    if token is None or not token.reveal().strip():
        return None
    value = token.reveal().strip()
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ForgeError(
            f"the token in {token_from or 'use'} holds more than a token: one line of ASCII, no spaces"
        )
    return Secret(value)
