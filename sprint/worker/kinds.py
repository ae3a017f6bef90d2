"""The kinds of worker there are: a literal dict, its keys the very kinds that the configuration knows."""

from __future__ import annotations

from collections.abc import Callable

from sprint import sharing
from sprint.config import (
    AgentWorkerConfig,
    ClaudeWorkerConfig,
    CodexWorkerConfig,
    CommandWorkerConfig,
    HermesWorkerConfig,
    KimiCodeWorkerConfig,
    LocalWorkerConfig,
    OpencodeWorkerConfig,
    SpriteWorkerConfig,
    WorkerConfig,
)
from sprint.worker import Services, Worker


def _local(config: WorkerConfig, services: Services) -> Worker:
    from sprint.worker.attached import Attached
    from sprint.worker.local.worker import LocalPerformer

    shared = sharing.of(services.config, services.around)
    performer = LocalPerformer(services.endpoints, services.results, services.limits, shared)
    return Attached(performer, services.store)


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
    performer = AgentPerformer(AGENTS[type(config)], config, way.route(services, config.price))
    return Attached(performer, services.store)


def _hermes(config: WorkerConfig, services: Services) -> Worker:
    from sprint import credentials
    from sprint.worker.agents import way
    from sprint.worker.agents.hermes_via import HermesPerformer
    from sprint.worker.attached import Attached

    assert isinstance(config, HermesWorkerConfig)
    key = credentials.hermes_server_key(config, services.around) if config.outside_sandbox else None
    return Attached(HermesPerformer(config, way.route(services, config.price), key), services.store)


def _sprite(config: WorkerConfig, services: Services) -> Worker:
    from sprint.sprite import backends
    from sprint.worker.sprite.sprite_worker import SpriteWorker

    assert isinstance(config, SpriteWorkerConfig)
    backend = backends.opened(services.config, config.backend, services.around)
    return SpriteWorker(config, services.config.backends[backend.name], backend, services)


KINDS: dict[type[WorkerConfig], Callable[[WorkerConfig, Services], Worker]] = {
    LocalWorkerConfig: _local,
    CommandWorkerConfig: _command,
    ClaudeWorkerConfig: _agent,
    CodexWorkerConfig: _agent,
    HermesWorkerConfig: _hermes,
    KimiCodeWorkerConfig: _agent,
    OpencodeWorkerConfig: _agent,
    SpriteWorkerConfig: _sprite,
}


def make(config: WorkerConfig, services: Services) -> Worker:
    """The worker of a section of the configuration; nothing is asked of a model or a backend yet."""
    return KINDS[type(config)](config, services)
