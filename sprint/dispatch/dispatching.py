"""Sends work to one sprite: a task of the operator's own, or an issue."""

from __future__ import annotations

import json
import logging

from msgspec import structs

from sprint.config import Config
from sprint.dispatch import task_run
from sprint.dispatch.order import Order, steps
from sprint.errors import ConfigError
from sprint.first_look import forge_of
from sprint.sprite.backend import Backend
from sprint.sprite.validation import unready
from sprint.surroundings import Surroundings

_log = logging.getLogger(__name__)


def dispatch(
    config: Config,
    order: Order,
    backend: Backend,
    around: Surroundings,
    *,
    execute: bool = False,
    wait: bool = False,
    as_json: bool = False,
) -> int:
    """Show the steps, or take them. Raises ConfigError for what may not begin, before anything is done."""
    order = order.validated()
    _name, section = order.worker(config, backend.name)
    repo = order.repo_config(config)
    if order.remark:
        _log.warning("--agent %s: %s", order.agent, order.remark)
    if order.issue is not None:
        _see_that_it_is_ready(config, order, around)
    if not execute:
        shown = list(steps(order, section, repo, backend.state(order.sprite)))
        if as_json:
            print(json.dumps({"would": shown}), file=around.out)
        else:
            print("\n".join([*shown, "nothing was done yet: --execute does it"]), file=around.out)
        return 0
    if order.issue is not None:
        return _as_a_run(config, order, backend.name, around, as_json=as_json)
    run = task_run.begin(config, order, backend.name, around)
    if wait:
        return task_run.collect(config, order.sprite, around, wait=True, as_json=as_json)
    if as_json:
        print(json.dumps({"id": run.id, "sprite": order.sprite, "branch": run.branch}), file=around.out)
    else:
        print(
            f"{order.sprite}: task {run.id} has begun; then: sprint sprite collect {order.sprite}",
            file=around.out,
        )
    return 0


def _see_that_it_is_ready(config: Config, order: Order, around: Surroundings) -> None:
    assert order.issue is not None
    forge = forge_of(config, order.repo_config(config), around)
    issue = forge.issue(order.repo, order.issue)
    if reasons := unready(issue.title, issue.body, issue.labels, is_open=issue.is_open):
        raise ConfigError(f"issue #{order.issue} is not ready: {'; '.join(reasons)}")


def _as_a_run(config: Config, order: Order, backend: str, around: Surroundings, *, as_json: bool) -> int:
    """A run like any other: claimed now, settled by ticks, its sprite noted with it."""
    from sprint.run_command import Options, run_command

    name, section = order.worker(config, backend)
    if name not in config.workers:
        raise ConfigError(
            "--issue: no worker of kind sprite is configured for that backend, which ticks would need"
        )
    config = structs.replace(config, workers={**config.workers, name: section})
    options = Options(repos=(order.repo,), issue=order.issue, worker=name, as_json=as_json, quiet=True)
    return run_command(config, options, around)
