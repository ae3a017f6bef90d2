"""A task of an operator's own on one sprite: a run of purpose `task`, without an issue and without a claim.

It is settled as every run is, by ticks of its repository or by `sprint sprite collect`, whichever comes
first: the same export, policy, checks and pull request, and a row. Its branch is `feat/task-ID`.
"""

from __future__ import annotations

import json
import time
from typing import TextIO

from sprint import publish, workspace
from sprint.capacity import ceiling_reached
from sprint.clean_text import safe_line
from sprint.config import Config, resolve
from sprint.context import Context, open_context
from sprint.dispatch.order import Order
from sprint.domain import Liveness, Phase, Purpose, Run, Verdict, replace
from sprint.errors import Busy, SprintError
from sprint.new_run import new_run
from sprint.runs import RunStore
from sprint.settle import settle_task
from sprint.surroundings import Surroundings
from sprint.worker.sprite import asked
from sprint.worker.sprite import note as notes
from sprint.worker.sprite.asked import Asked
from sprint.worker.sprite.launching import Supervision

_POLL_SECONDS = (0.5, 5.0)  # at first, at most


def begin(config: Config, order: Order, backend: str, around: Surroundings) -> Run:
    """Have the agent work there, and leave. Raises SprintError; then nothing is left, unless it may be at
    work: that is for ticks, `collect` or `sprint stop`."""
    name, section = order.worker(config, backend)
    context = open_context(config, order.repo_config(config), around)
    if reason := ceiling_reached(context.sharing, context.repo_config):
        raise SprintError(f"{order.repo}: {reason}")
    run = _new(context, order, name)
    wanted = Asked(
        section=section,
        text=order.prompt,
        ralph=order.ralph,
        iterations=order.iterations,
        env_file=str(order.env_file.absolute()) if order.env_file else "",
    )
    Supervision.of(wanted)
    asked.save(context.store.create(run), wanted)
    try:
        if refused := context.sharing.reserve(run, context.repo_config.limits):
            raise SprintError(f"{order.repo}: {refused}")
        context.sandbox.probe()
        context.worker_of(run).check()
        publish.check(context.forge, context.repository, context.repo_config.publish)
        return settle_task(context, run, is_new=True)
    except BaseException:
        if context.store.exists(run.id) and notes.load(context.store.folder(run.id)) is None:
            workspace.remove_all_of(config.paths.workspaces, run.id)
            context.store.discard(run.id)
        raise


def _new(context: Context, order: Order, worker: str) -> Run:
    run = new_run(context, None, worker)
    title, branch = safe_line(order.prompt)[:100], order.branch or f"feat/task-{run.id[-8:]}"
    return replace(run, title=title, purpose=Purpose.TASK, branch=branch)


# --- later


def found(config: Config, sprite: str) -> Run:
    """The newest task that was sent to a sprite from here. Raises SprintError where there is none."""
    store = RunStore(config.paths.results)

    def is_sent_there(run: Run) -> bool:
        return run.purpose is Purpose.TASK and asked.load(store.folder(run.id)).section.sprites == (sprite,)

    return store.newest(f"a task of `sprint sprite dispatch {sprite}`", is_sent_there)


def collect(
    config: Config, sprite: str, around: Surroundings, *, wait: bool = False, as_json: bool = False
) -> int:
    """Settle the newest task on a sprite, once its agent has ended; 1 while it is at work, and where it
    failed. Raises SprintError where the sprite does not answer."""
    run = found(config, sprite)
    if run.phase is not Phase.SETTLED:
        run = _settled(config, run, around, wait=wait)
    if run.phase is not Phase.SETTLED:
        print(f"{sprite}: task {run.id} is at work: `collect --wait`, or later", file=around.out)
        return 1
    _tell(run, around.out, as_json=as_json)
    return 1 if run.outcome is None or run.outcome.verdict is not Verdict.PASSED else 0


def _settled(config: Config, run: Run, around: Surroundings, *, wait: bool) -> Run:
    """As far as it can come now; `wait`: to its end."""
    repo = resolve(config, f"{run.forge}:{run.repo}" if run.forge in config.forges else run.repo)
    context = open_context(config, repo, around)
    pause, most = _POLL_SECONDS
    while run.phase is not Phase.SETTLED:
        try:
            run = settle_task(context, run)
        except Busy:  # a tick is at it
            run = context.store.load(run.id)
        if run.phase is Phase.SETTLED:
            break
        if not wait:
            if context.worker_of(run).poll(run).liveness is Liveness.UNKNOWN:
                raise SprintError(f"task {run.id}: its sprite is unreachable; it may be at work there")
            break
        time.sleep(pause)
        pause = min(2 * pause, most)
    return run


def _tell(run: Run, out: TextIO, *, as_json: bool) -> None:
    result = run.result
    summary = result.summary if result else ""
    if as_json:
        told = {
            "id": run.id,
            "outcome": run.outcome,
            "detail": run.detail,
            "summary": summary,
            "branch": run.branch if run.pr_url else "",
            "pr_url": run.pr_url,
            "proof": run.proof.verdict if run.proof else "",
        }
        print(json.dumps(told), file=out)
        return
    said = safe_line(run.detail or summary)[:300]
    print(f"{run.id}: {run.outcome}{f': {said}' if said else ''}", file=out)
    if run.pr_url:
        print(f"{run.pr_url} from {run.branch}", file=out)
    else:
        print(f"nothing was proposed; `sprint show {run.id}` tells more, and where its patch is", file=out)
