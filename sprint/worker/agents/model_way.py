"""The way through the gateway: a door in the agent's sandbox, the model's own key outside."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sprint import health, sharing, transcript
from sprint.budget import Budget
from sprint.config import Price
from sprint.domain import Endpoint, Secret, Usage, replace
from sprint.errors import ConfigError, ModelError
from sprint.gateway import Door, Gateway, opened
from sprint.gateway.models import question
from sprint.gateway.models.dialect import Dialect
from sprint.gateway.models.provider import misplaced
from sprint.gateway.models.route import ModelRoute, asked_in
from sprint.gateway.models.used import Tally
from sprint.worker import Job, Services


@dataclass(frozen=True)
class ModelWay:
    """See Way. `before` is what of the run's usage its transcript has already."""

    route: ModelRoute
    gateway: Gateway
    before: Usage
    network: bool

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.ports['model']}"

    @property
    def key(self) -> str:
        return self.route.key

    @property
    def model(self) -> str:
        return self.route.model

    @property
    def env(self) -> Mapping[str, str]:
        return self.gateway.env

    @property
    def read_only(self) -> Mapping[Path, str]:
        return self.gateway.read_only

    def wrap(self, argv: Sequence[str]) -> list[str]:
        return self.gateway.wrap(argv)

    def close(self) -> None:
        self.gateway.close()

    def calls(self) -> int:
        return self.route.calls()

    def usage(self) -> Usage:
        """What a process that died had used and not yet told is told now."""
        return transcript.since(self.before, self.route.usage())

    def over(self) -> str:
        return self.route.over()

    def fault(self) -> ModelError | None:
        return self.route.fault()


class ModelWays:
    """See Route. `price` is that of the worker's own model."""

    def __init__(self, services: Services, price: Price | None = None) -> None:
        self._services = services
        self._price = price

    def check(self, dialect: Dialect, model: str, *, anew: bool = False) -> None:
        seconds = self._services.limits.first_token_seconds
        results = self._services.results
        question.check(lambda: self._endpoints(model), dialect, results, seconds, anew=anew)

    @contextlib.contextmanager
    def open(self, job: Job, dialect: Dialect, model: str) -> Iterator[ModelWay]:
        results = self._services.results
        before = transcript.usage(job.folder)[0]
        route = ModelRoute(
            dialect,
            _refusing_last(results, self._endpoints(model), dialect),
            tally=Tally(job.folder),
            budget=Budget(
                job.limits, results, job.run.id, sharing.of(self._services.config, self._services.around)
            ),
            limits=job.limits,
            results=results,
            note=lambda text: transcript.append(job.folder, "note", text=text),
        )
        has_own_network = job.sandbox.has_own_network and not job.network
        try:
            doors = {"model": Door(route, {}, {})}
            with opened(job.folder, doors, has_own_network=has_own_network) as gateway:
                yield ModelWay(route, gateway, before, network=not has_own_network)
        finally:
            route.close()

    def secrets(self) -> Sequence[Secret]:
        return [endpoint.key for endpoint in self._services.endpoints()]

    def _endpoints(self, model: str) -> tuple[Endpoint, ...]:
        """Those to ask, in order; where a worker names its own model, that one of the first server's.

        Raises ConfigError where a key would go to a server that it is not for.
        """
        endpoints = tuple(self._services.endpoints())
        for endpoint in endpoints:
            if why := misplaced(endpoint):
                raise ConfigError(f"model {endpoint.name}: {why}")
        return beginning_with(endpoints, model, self._price)


def beginning_with(
    endpoints: Sequence[Endpoint], model: str, price: Price | None = None
) -> tuple[Endpoint, ...]:
    """Those to ask, where a worker names its own model, that one of the first server's; "" for none.

    `price` is that model's, where it is in no section of its own.
    """
    named = tuple(endpoint for endpoint in endpoints if endpoint.name == model)
    others = tuple(endpoint for endpoint in endpoints if endpoint.name != model)
    if named or not model or not endpoints:
        return named + others
    # What another model of the same server takes in is not known, and what it costs only where that is said.
    own = replace(
        endpoints[0],
        name=model,
        input_price=price.input if price else None,
        output_price=price.output if price else None,
        cached_price=price.cached if price else None,
        context=None,
    )
    return (own, *endpoints[1:])


def _refusing_last(results: Path, endpoints: Sequence[Endpoint], dialect: Dialect) -> tuple[Endpoint, ...]:
    """Those of which it is known that they refuse come last."""
    order = health.refusing_last(results, [asked_in(endpoint, dialect) for endpoint in endpoints])
    by_address = {asked_in(endpoint, dialect): endpoint for endpoint in endpoints}
    return tuple(by_address[endpoint] for endpoint in order)
