"""How an agent reaches its model: by a door that the runner holds, with a key worth nothing elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sprint.domain import Secret, Usage
from sprint.errors import ConfigError, ModelError
from sprint.worker import Endpoints, Job

if TYPE_CHECKING:
    from sprint.worker.agents.contract import Dialect


class Way(Protocol):
    """The open way of one start of an agent. What passes through it is counted and judged outside."""

    base_url: str  # as seen inside, without /v1
    key: str  # opens it for this run, and nothing else
    model: str  # the name to ask for
    network: bool  # whether the sandbox needs this machine's network for it
    env: Mapping[str, str]
    read_only: Mapping[Path, str]

    def wrap(self, argv: Sequence[str]) -> list[str]:
        """The command that opens the way inside and then becomes argv."""
        ...

    def calls(self) -> int:
        """How often the model was asked so far."""
        ...

    def usage(self) -> Usage:
        """What passed so far, since the way was opened."""
        ...

    def over(self) -> str:
        """The limit that is reached, with its key, or ""."""
        ...

    def fault(self) -> ModelError | None:
        """What was wrong with the model's last answer to a request with tools (agents ask for titles and the
        like besides): a refusal, a cut stream, none at all. None where it was whole, or nothing was asked."""
        ...


class Route(Protocol):
    """Opens ways to the configured model."""

    def check(self, dialect: Dialect, model: str) -> None:
        """See that the model can be asked in that dialect. Raises ConfigError or ModelError."""
        ...

    def open(self, job: Job, dialect: Dialect, model: str) -> AbstractContextManager[Way]: ...

    def secrets(self) -> Sequence[Secret]: ...


class NoRoute:
    """There is no way yet out of a sandbox that holds no key."""

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    def check(self, dialect: Dialect, model: str) -> None:
        raise ConfigError(
            "coding agents need the gateway's way to the model, which this version does not have yet; "
            "use the worker `local`"
        )

    def open(self, job: Job, dialect: Dialect, model: str) -> AbstractContextManager[Way]:
        raise ConfigError("the gateway has no way to the model")

    def secrets(self) -> Sequence[Secret]:
        return [endpoint.key for endpoint in self._endpoints()]


def route(endpoints: Endpoints) -> Route:
    """The way to the model that agents get."""
    return NoRoute(endpoints)
