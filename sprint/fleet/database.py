"""The one door to the fleet's database."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from sprint import credentials
from sprint.config import Config
from sprint.domain import Secret
from sprint.errors import ConfigError, SprintError
from sprint.surroundings import Surroundings

Connection = psycopg.Connection[tuple[Any, ...]]

_CONNECT_SECONDS = 5
_STATEMENT_SECONDS = 60
# By these the system finds in half a minute that the server's machine has vanished, and not in two hours.
WATCHFUL: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
# What libpq says where there is no answer, and what of it is told: its own words name host and user.
_WORDS = {
    "password authentication failed": "it refuses the user or the password",
    "no password supplied": "it wants a password",
    "pg_hba.conf": "it takes no such connection: see its pg_hba.conf",
    "does not exist": "there is no such user or database",
    "Connection refused": "connection refused",
    "No such file": "there is no such socket",
    "timeout": "it took too long",
    "timed out": "it took too long",
    "translate host name": "its host's name is not known",
    "resolve host": "its host's name is not known",
    "No route": "there is no way to it",
    "unreachable": "there is no way to it",
    "SSL": "TLS failed",
    "certificate": "TLS failed",
    "too many": "it has too many connections",
    "starting up": "it is starting",
    "shutting down": "it is stopping",
    "recovery": "it is starting",
    "closed": "the connection broke",
    "lost": "the connection broke",
}


class DatabaseAway(SprintError):
    """It does not answer, or answers no more."""


class NotSetUp(SprintError):
    """The tables are missing, or of another version."""


def url_of(config: Config, around: Surroundings) -> Secret:
    """Raises ConfigError where no fleet is configured, or its URL cannot be had."""
    if config.fleet is None:
        raise ConfigError(
            "no fleet is configured: write `fleet: {database_file: FILE}` into sprint.yaml, and the URL of a "
            "PostgreSQL into FILE"
        )
    return credentials.database_url(config.fleet, around)


def connect(url: Secret) -> Connection:
    """A connection that commits each statement by itself. Raises DatabaseAway, ConfigError."""
    checked(url)
    with asking():
        return psycopg.connect(
            url.reveal(),
            autocommit=True,
            connect_timeout=_CONNECT_SECONDS,
            options=f"-c statement_timeout={_STATEMENT_SECONDS}s -c TimeZone=UTC",
            application_name="sprint",
            **WATCHFUL,
        )


class KeptConnection:
    """One connection for many questions: made at the first, and again after it was dropped.

    `check` looks at each new one, and raises where it is not to be used.
    """

    def __init__(self, url: Secret, check: Callable[[Connection], None] = lambda made: None) -> None:
        self._url, self._check = url, check
        self._made: Connection | None = None

    @property
    def is_open(self) -> bool:
        return self._made is not None

    def get(self) -> Connection:
        if self._made is None:
            made = connect(self._url)
            self._check(made)
            self._made = made
        return self._made

    def drop(self) -> None:
        if self._made is not None:
            with contextlib.suppress(Exception):
                self._made.close()
        self._made = None


def checked(url: Secret) -> Secret:
    """Raises ConfigError for a URL that cannot be read, and quotes none of it, which psycopg would."""
    try:
        conninfo_to_dict(url.reveal())
    except psycopg.Error:
        raise ConfigError(
            "the URL of the fleet's database cannot be read: expected "
            "postgresql://USER:PASSWORD@HOST/NAME, with what is special in the password as %XX"
        ) from None
    return url


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """What the database refuses in the block becomes a SprintError with none of its words, for heartbeats and
    pages publish them."""
    try:
        yield
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as error:
        raise NotSetUp("the fleet's tables are not all there: `sprint fleet init`") from error
    except psycopg.Error as error:
        raise DatabaseAway(
            f"the fleet's database does not answer ({_reason(error)}); see that it runs, and what the URL of "
            "`fleet:` says"
        ) from error


def _reason(error: psycopg.Error) -> str:
    if error.sqlstate is not None:
        return f"{type(error).__name__}, {error.sqlstate}"
    said = str(error)
    return next((words for part, words in _WORDS.items() if part in said), type(error).__name__)
