"""`sprint sprite setup`: what a sprite needs before its first task, made once, and its clean state kept."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from sprint import environment, git, sandbox, workspace
from sprint.config import Config
from sprint.context import Context, open_context
from sprint.dispatch.order import Order
from sprint.errors import ConfigError
from sprint.sprite import audit
from sprint.sprite.backend import Backend, SpriteState, checked
from sprint.sprite.compose import furnish
from sprint.sprite.composition import MANAGED_BY, OURS, load
from sprint.sprite.onlooking import install, sprite_of
from sprint.sprite.validation import check_repository
from sprint.surroundings import Surroundings
from sprint.worker.sprite.chosen import CLEAN
from sprint.worker.sprite.ground import is_confined, is_here
from sprint.worker.sprite.installing import SECONDS, install_agent, run_there

_CLONE = """\
set -eu
folder=workspace/$1 bundle=$2 base=$3
[ -d "$folder/.git" ] || git init -q "$folder"
cd "$folder"
git fetch -q --no-tags "$HOME/$bundle" +refs/heads/*:refs/remotes/origin/*
[ -n "$(git status --porcelain)" ] || git checkout -q -B "$4" "$base"
rm -f "$HOME/$bundle"
"""


@dataclass(frozen=True)
class Setup:
    """`composition` None: no base files and no persona."""

    order: Order
    backend: Backend
    composition: Path | None = None


def set_up(config: Config, asked: Setup, around: Surroundings) -> int:
    """Each step says what it did; done again, it does what is still to be done. Raises SprintError."""
    order, backend, out = asked.order, asked.backend, around.out
    checked(order.sprite)
    check_repository(order.repo)
    _name, section = order.worker(config, backend.name)
    here = is_here(config.backends[backend.name])
    composition = load(asked.composition) if asked.composition else None
    if composition and order.sprite not in composition.members:
        raise ConfigError(
            f"{asked.composition} names no sprite {order.sprite}: {', '.join(composition.members)}"
        )
    context = open_context(config, order.repo_config(config), around)
    if backend.state(order.sprite) is SpriteState.GONE:
        backend.create(order.sprite, {MANAGED_BY: OURS})
        audit.note(config.paths.results, backend.name, "create", order.sprite)
        print(f"{order.sprite} is made", file=out)
    if composition:
        furnish(backend, composition, order.sprite, sprite_of(backend, order.sprite).labels)
        print(f"{len(composition.kits[order.sprite])} files of {composition.name}", file=out)
    install(backend, order.sprite)
    if here:
        print("agent, environment and sandbox are this machine's: see `sprint doctor`", file=out)
    else:
        print(install_agent(backend, order.sprite, section), end="", file=out)
        is_held = is_confined(config.backends[backend.name])
        _repository(context, backend, order.sprite, out, runs_setup=not is_held)
    for command in section.bootstrap:
        run_there(backend, order.sprite, ["sh", "-c", command], f"bootstrap: {command}")
    kept = backend.checkpoint(order.sprite, CLEAN)
    print(f"its clean state is {kept.id}", file=out)
    return 0


def _repository(context: Context, backend: Backend, sprite: str, out: TextIO, *, runs_setup: bool) -> None:
    """A clone at the seed's place, for whoever looks there by hand, and what the project's set-up downloads.
    Work of somebody's in it stays as it is."""
    paths, name = context.config.paths, context.repository.name
    mirror, base = workspace.update_mirror(
        paths.cache, context.repo_config.forge, name, context.remote, branch=context.base
    )
    bundle = git.git(
        "bundle",
        "create",
        "-q",
        "-",
        f"refs/heads/{context.base}",
        git_dir=mirror,
        output_cap=1 << 30,
        timeout=SECONDS,
    ).stdout
    sent, folder = ".sprint/setup.bundle", name.partition("/")[2]
    backend.put(sprite, sent, bundle)
    run_there(backend, sprite, ["sh", "-c", _CLONE, "clone", folder, sent, base, context.base], "the clone")
    print(f"workspace/{folder} is at {base[:12]}, or has work of somebody's", file=out)
    if not runs_setup:
        print("set-up is the project's own, and is not run outside of the sandbox", file=out)
        return
    recipe = environment.found_in(
        context.repo_config,
        environment.of_commit(mirror, base),
        sandbox.make(context.repo_config.sandbox),
        paths.cache,
    )
    for command in recipe.setup:
        inside = f"cd workspace/{shlex.quote(folder)} && {{ {command}\n}}"
        run_there(backend, sprite, ["sh", "-c", inside], f"set-up: {command}")
        print(f"set-up: {command}", file=out)
