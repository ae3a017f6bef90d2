"""The kinds of worker there are: a literal dict, its keys the very kinds that the configuration knows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sprint.config import (
    AgentWorkerConfig,
    ClaudeWorkerConfig,
    CodexWorkerConfig,
    CommandWorkerConfig,
    HermesWorkerConfig,
    KimiCodeWorkerConfig,
    Limits,
    LocalWorkerConfig,
    OpencodeWorkerConfig,
    WorkerConfig,
)
from sprint.runs import RunStore
from sprint.worker import Endpoints, Worker


@dataclass(frozen=True)
class Services:
    """What workers are made from besides their section of the configuration."""

    endpoints: Endpoints
    store: RunStore
    results: Path
    limits: Limits


def _local(config: WorkerConfig, services: Services) -> Worker:
    from sprint.worker.attached import Attached
    from sprint.worker.local.worker import LocalPerformer

    return Attached(LocalPerformer(services.endpoints, services.results, services.limits), services.store)


def _command(config: WorkerConfig, services: Services) -> Worker:
    from sprint.worker.attached import Attached
    from sprint.worker.command import CommandPerformer

    assert isinstance(config, CommandWorkerConfig)
    return Attached(CommandPerformer(config), services.store)


def _agent(config: WorkerConfig, services: Services) -> Worker:
    from sprint.worker.agents import way
    from sprint.worker.agents.catalogue import AGENTS
    from sprint.worker.agents.performer import AgentPerformer
    from sprint.worker.attached import Attached

    assert isinstance(config, AgentWorkerConfig)
    performer = AgentPerformer(AGENTS[type(config)], config, way.route(services.endpoints))
    return Attached(performer, services.store)


KINDS: dict[type[WorkerConfig], Callable[[WorkerConfig, Services], Worker]] = {
    LocalWorkerConfig: _local,
    CommandWorkerConfig: _command,
    ClaudeWorkerConfig: _agent,
    CodexWorkerConfig: _agent,
    HermesWorkerConfig: _agent,
    KimiCodeWorkerConfig: _agent,
    OpencodeWorkerConfig: _agent,
}


def make(config: WorkerConfig, services: Services) -> Worker:
    """The worker of a section of the configuration; nothing is asked of a model or a backend yet."""
    return KINDS[type(config)](config, services)
