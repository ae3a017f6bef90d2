"""How an agent reaches its model: by a door that the runner holds, with a key worth nothing elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sprint.config import Price
from sprint.domain import Secret, Usage
from sprint.errors import ModelError
from sprint.worker import Job, Services

if TYPE_CHECKING:
    from sprint.gateway.models.dialect import Dialect


class Way(Protocol):
    """The open way of one start of an agent. What passes through it is counted and judged outside."""

    @property
    def base_url(self) -> str:
        """As seen inside, without /v1."""
        ...

    @property
    def key(self) -> str:
        """Opens it for this run, and nothing else."""
        ...

    @property
    def model(self) -> str:
        """The name of the model that is asked now."""
        ...

    @property
    def network(self) -> bool:
        """Whether the sandbox needs this machine's network for it."""
        ...

    @property
    def env(self) -> Mapping[str, str]: ...

    @property
    def read_only(self) -> Mapping[Path, str]: ...

    def wrap(self, argv: Sequence[str]) -> list[str]:
        """The command that opens the way inside and then becomes argv."""
        ...

    def close(self) -> None:
        """The agent has ended: answer nobody any more, and count what it was being answered."""
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

    def check(self, dialect: Dialect, model: str, *, anew: bool = False) -> None:
        """See that the model can be asked in that dialect; `anew` also where it is remembered. Raises
        ConfigError or ModelError."""
        ...

    def open(self, job: Job, dialect: Dialect, model: str) -> AbstractContextManager[Way]: ...

    def secrets(self) -> Sequence[Secret]: ...


def route(services: Services, price: Price | None = None) -> Route:
    """The way to the model that agents get; `price` is that of a model of the worker's own."""
    from sprint.worker.agents.model_way import ModelWays

    return ModelWays(services, price)
