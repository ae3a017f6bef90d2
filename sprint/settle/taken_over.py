"""Detached runs change hosts: one that is gone, or takes no ticks, has left them to whoever ticks next.

The claim decides, by compare-and-swap. Whoever has it makes workspace and base itself; the other one, should
it come back, forgets the run without a word, for its row and its pull request are not for two to make.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from datetime import UTC, datetime

from sprint import files, workspace
from sprint.context import Context
from sprint.domain import Claim, Phase, Purpose, Run, replace
from sprint.errors import ConfigError, SprintError, Stopped
from sprint.settle import lease as leases

_log = logging.getLogger(__name__)


def take_over(context: Context) -> None:
    """Bring what other hosts have left behind into this host's store, as far as it can be told here."""
    left = context.sharing.left_behind(context.repo_config.forge, context.repository.name)
    wanted = [(run, beside) for run, beside in left if _can_be_taken(context, run)]
    claims = context.claims.read() if wanted else {}
    for run, beside in wanted:
        try:
            _take(context, run, claims.get(run.number), beside)
        except Stopped:
            raise
        except SprintError as error:
            _log.warning("run %s of host %s cannot be taken over: %s", run.id, run.host, error)


def _can_be_taken(context: Context, run: Run) -> bool:
    """A follow-up begins with a merge that its host alone has; a task has no claim that could be moved."""
    with suppress(ConfigError):  # of a worker that this host has not
        return run.purpose is Purpose.ISSUE and not context.worker_of(run).attached
    return False


def _take(context: Context, run: Run, claim: Claim | None, beside: dict[str, str]) -> None:
    """Written down before the claim is moved: killed anywhere, the next tick here goes on with it. A third
    host may be faster, for all that it takes is the claim as it is."""
    if claim is None or (claim.state, claim.run) != ("claimed", run.id):
        return
    if run.base_sha:  # first, for it may take minutes, in which the claim must not speak for two
        workspace.update_mirror(
            *(context.config.paths.cache, run.forge, run.repo, context.remote),
            branch=run.base_branch,
            watch=context.check_going_on,
        )
    known = context.store.exists(run.id)  # it was begun here, or this was tried before
    if known and claim.host == context.host_id:
        return
    left_by = run.host
    run = replace(run, host=context.host, pid=os.getpid(), workspace="", uid=None, taking_over=True)
    (context.store.reopen if known else context.store.create)(run)
    for name, text in beside.items():
        files.replace(context.store.folder(run.id) / name, text.encode())
    if _moved(context, run, claim) is None:
        _log.info("run %s: its host, or another one, was faster", run.id)
        if known:
            context.store.save(
                replace(run, phase=Phase.SETTLED, taking_over=False, detail="another host has it")
            )
        else:
            context.store.discard(run.id)
        return
    _log.warning("run %s is taken over from host %s, which is gone or drained", run.id, left_by)


def _moved(context: Context, run: Run, claim: Claim) -> Claim | None:
    return context.claims.move(claim, datetime.now(UTC), lease=leases.length(context, run)())


def whose(context: Context, run: Run, claim: Claim | None) -> tuple[Run, Claim | None, bool]:
    """A detached run of this host's and its claim, and whether it is to be brought on here and now.

    It is not where another host has it, or is just taking it over, or where the others could not be told that
    this one has. Raises SprintError where that cannot be told.
    """
    if _is_elsewhere(context, run, claim):
        return _forgotten(context, run), claim, False
    claim = _taken_back(context, run, claim)
    if _is_moved(context, run, claim):
        return run, claim, False
    told = _told(context, run)
    return told or run, claim, told is not None


def _is_elsewhere(context: Context, run: Run, claim: Claim | None) -> bool:
    """Whether another host has taken this run over. Raises SprintError where that cannot be told."""
    if claim is not None and (claim.run, claim.host) == (run.id, context.host_id):
        return False
    return context.sharing.is_elsewhere(run.id)


def _taken_back(context: Context, run: Run, claim: Claim | None) -> Claim | None:
    """The claim of a run of ours: this host's again where the one that took it is lost, too, before it could
    tell anybody."""
    if claim is None or not _is_moved(context, run, claim):
        return claim
    try:
        is_lost = context.sharing.is_lost(claim.host)
    except SprintError as error:
        _log.info("run %s: its claim is another host's, and how that is is not known: %s", run.id, error)
        return claim
    return _moved(context, run, claim) or claim if is_lost else claim


def _is_moved(context: Context, run: Run, claim: Claim | None) -> bool:
    """Whether another host has the claim of this run of ours, and has not said yet that it took it over."""
    if context.config.fleet is None or claim is None or claim.host == context.host_id:
        return False
    return (claim.state, claim.run) == ("claimed", run.id) and datetime.now(UTC) < claim.expires


def _told(context: Context, run: Run) -> Run | None:
    """The run, once all hosts know that it is this one's; None where they could not be told now. Until then,
    another one that finds its claim released could make a row for it."""
    if not run.taking_over:
        return run
    told = replace(run, taking_over=False)
    try:
        context.sharing.took_over(told)
    except SprintError as error:
        _log.info("run %s waits until the other hosts can be told whose it is: %s", run.id, error)
        return None
    context.store.save(told)
    return told


def _forgotten(context: Context, run: Run) -> Run:
    """The run is settled elsewhere: no row here, and nothing said."""
    _log.warning("run %s was taken over by another host", run.id)
    workspace.remove_all_of(context.config.paths.workspaces, run.id)
    run = replace(run, phase=Phase.SETTLED, taking_over=False, detail="another host took it over")
    context.store.save(run)
    return run
