"""What the rest of the program may ask of a forge, and the kinds there are."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

from sprint.config import ForgeConfig
from sprint.domain import Comment, Issue, PullRequest, Repository, Secret
from sprint.errors import ForgeError


@dataclass(frozen=True)
class Rights:
    """What our account and token may do with a repository that they can read. None: the forge does not tell.

    `scopes` are the token's own, where it is of a kind that has them.
    """

    login: str
    can_push: bool | None = None
    can_comment: bool | None = None
    can_change_workflows: bool | None = None
    scopes: tuple[str, ...] | None = None
    expires_at: datetime | None = None


class Forge(Protocol):
    """One forge server, with one account's token. Every method raises ForgeError, and nothing else.

    Nothing is cached except who we are; every call is at least one request unless said otherwise.
    """

    kind: str
    url: str
    token: Secret | None

    def whoami(self) -> str:
        """Our login; "" without a token. One request, then remembered."""
        ...

    def repository(self, repo: str) -> Repository: ...

    def oldest_issues(self, repo: str) -> Iterator[Issue]:
        """Open issues, truly oldest first, without pull requests; pages are asked for as they are used."""
        ...

    def issue(self, repo: str, number: int) -> Issue:
        """Raises ForgeError with status 404 for a pull request's number as for none."""
        ...

    def comments(self, repo: str, number: int) -> list[Comment]: ...

    def open_blockers(self, repo: str, issue: Issue) -> list[int]:
        """Numbers of open issues that block it; empty where the forge has no dependencies."""
        ...

    def open_pulls(self, repo: str) -> list[PullRequest]: ...

    def pull(self, repo: str, number: int) -> PullRequest: ...

    def pulls_of_branch(self, repo: str, branch: str) -> list[PullRequest]:
        """Those whose head is that branch of this very repository, in any state, newest first."""
        ...

    def is_reviewed(self, repo: str, pull: PullRequest) -> bool:
        """True where a person (not us, not a bot) reviewed it or commented on it."""
        ...

    def create_pull(
        self, repo: str, *, title: str, body: str, head: str, base: str, draft: bool
    ) -> PullRequest: ...

    def update_pull(self, repo: str, number: int, *, title: str, body: str) -> None: ...

    def add_comment(self, repo: str, number: int, body: str) -> Comment: ...

    def edit_comment(self, repo: str, comment_id: int, body: str) -> None: ...

    def can_write(self, repo: str, user: str) -> bool | None:
        """Whether a user has write access; None where we may not ask."""
        ...

    def read(self, repo: str, path: str, params: Mapping[str, str]) -> Any:
        """GET on a path below the repository's own API address ("issues/3"), as parsed JSON.

        For the model: refuses anything that leaves the repository, and never follows it elsewhere.
        """
        ...

    def rights(self, repo: str) -> Rights:
        """What we may do there; raises ForgeError where we cannot even read it."""
        ...


# Each module has `connect`; imported when it is needed, so that an empty tick loads one of them at most.
KINDS = {"gitea": "sprint.forge.gitea", "forgejo": "sprint.forge.gitea", "github": "sprint.forge.github"}


def connect(
    config: ForgeConfig, token: Secret | None, *, patience: float = 60.0, timeout: float = 30.0
) -> Forge:
    """The forge that `config` describes; asks it nothing yet.

    `patience`: seconds that one request may take with all its waiting for limits and failures. `timeout`:
    seconds to wait for the server's next byte. Raises ForgeError where url or token cannot be right.
    """
    _check_url(config)
    token_from = config.token_file or (f"${config.token_env}" if config.token_env else "")
    forge: Forge = importlib.import_module(KINDS[config.kind]).connect(
        config.url.strip(),
        _sendable(token, token_from),
        kind=config.kind,
        token_from=f"the token in {token_from}" if token_from else "",
        patience=patience,
        timeout=timeout,
    )
    return forge


def _check_url(config: ForgeConfig) -> None:
    if not config.url and config.kind == "github":
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
