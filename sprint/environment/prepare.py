"""The one way from a commit to a workspace in which its checks can run."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from sprint import verify, workspace
from sprint.beside import ending
from sprint.clean_text import safe_line
from sprint.domain import CheckResult, CheckStatus, EnvironmentUse, Workspace, replace
from sprint.environment import kept
from sprint.environment.proposal import COMPILE_RUST
from sprint.environment.recipe import Project, Recipe, recipe_for
from sprint.errors import Busy

_NPM_LOG = "A complete log of this run can be found in"
_log = logging.getLogger(__name__)


class Checkout(Struct, frozen=True):
    """What a workspace is made of: `name` is its own, `commit` is checked out on `new_branch`."""

    name: str
    commit: str
    branch: str
    new_branch: str


class Prepared(Struct, frozen=True):
    """A workspace that is ready, with its checks; or one that is not, and the command that `failed`."""

    workspace: Workspace
    checks: tuple[str, ...]
    use: EnvironmentUse
    failed: CheckResult | None = None
    is_built: bool = False  # what failed works on the project's own sources, and fetches not only


class Fresh(Struct, frozen=True):
    """A workspace as it was checked out, and what is to be done in it."""

    workspace: Workspace
    recipe: Recipe


def check_out(project: Project, checkout: Checkout, watch: Callable[[], str]) -> Fresh:
    """The beginning of `prepare`, which runs nothing there, and which `watch` may end by raising. Raises
    SprintError, leaving nothing."""
    recipe = recipe_for(project, checkout.commit)
    return Fresh(_made_of(project, checkout, recipe, watch), recipe)


def prepare(
    project: Project,
    checkout: Checkout,
    at_base: EnvironmentUse | None = None,
    *,
    fresh: Fresh | None = None,
    watching: verify.Watching = verify.UNWATCHED,
) -> Prepared:
    """Make a workspace of a commit, with the environment that its manifests ask for.

    Set-up runs once for all commits with the same manifests, and then is put by copy; build runs each time.
    `at_base` is given for the proof of a change: what is made of its sources is never kept, and where its
    manifests are the base's, so is its environment. Commands that were found and fail are done without, and
    `use.note` says so; those that are configured, and all of a proof's, come back as `failed`. Raises
    SprintError, and leaves nothing, where a workspace cannot be made. `fresh` is the beginning of it, made by
    `check_out`. `watching` follows set-up and build; its reason to end anything else comes as EndedEarly.
    """
    wanted = fresh.recipe if fresh else recipe_for(project, checkout.commit)
    failed = ""
    if at_base is not None and wanted.key == at_base.key:
        failed = at_base.failed
        wanted = replace(wanted, setup=at_base.setup, build=at_base.build)
    job = _Job(project, checkout, wanted, at_base is not None, watching)
    use = EnvironmentUse(
        wanted.key,
        setup=wanted.setup,
        build=wanted.build,
        is_found=wanted.is_found,
        note=wanted.note,
        failed=failed,
    )
    made = Prepared(fresh.workspace if fresh else job.workspace(), wanted.checks, use)
    try:
        prepared = _built(job, _set_up(job, made) if wanted.setup else made)
    except BaseException:
        workspace.remove(made.workspace.root)
        raise
    _tell(prepared)
    return prepared


def put_into(space: Workspace, project: Project, use: EnvironmentUse | None) -> None:
    """What set-up and build made at a run's base, in another workspace of that commit; what cannot be had
    there is logged, and done without."""
    if use is None or not use.bytes:
        return
    folder = kept.place(project.paths.cache, project.forge, project.repo, use.key)
    try:
        with kept.alone(folder, wait=project.config.limits.check_minutes * 60):
            found = kept.find(folder)
            is_archive = found is not None and found.owner is None  # a tree is shown to this process alone
            fault = (
                kept.put(found, space, project.sandbox) if found and is_archive else "it is not kept as one"
            )
    except Busy as error:
        fault = str(error)
    if fault:
        _log.warning("the environment could not be put there: %s", safe_line(fault))
        return
    seconds = project.config.limits.check_minutes * 60
    failed = verify.run_setup(project.sandbox, space, use.build, network=False, gateway=None, timeout=seconds)
    if failed:
        _log.warning("build failed there: %s", failure(failed))


class _Job(Struct, frozen=True):
    project: Project
    checkout: Checkout
    wanted: Recipe
    is_proof: bool
    watching: verify.Watching

    @property
    def folder(self) -> Path:
        project = self.project
        return kept.place(project.paths.cache, project.forge, project.repo, self.wanted.key)

    @property
    def seconds(self) -> float:
        """For each command."""
        return self.project.config.limits.check_minutes * 60

    def workspace(self) -> Workspace:
        return _made_of(self.project, self.checkout, self.wanted, ending(self.watching.watch))

    def anew(self, prepared: Prepared) -> Prepared:
        workspace.remove(prepared.workspace.root)
        return replace(prepared, workspace=self.workspace())


def _made_of(project: Project, checkout: Checkout, recipe: Recipe, watch: Callable[[], str]) -> Workspace:
    return workspace.create(
        project.paths.workspaces,
        checkout.name,
        project.mirror,
        checkout.commit,
        checkout.branch,
        checkout.new_branch,
        # What compares times would take what it made of another commit for up to date.
        may_show=project.may_show and COMPILE_RUST not in recipe.setup,
        watch=watch,
    )


def _set_up(job: _Job, fresh: Prepared) -> Prepared:
    if not job.project.sandbox.is_confined:
        note = "not kept: commands are not isolated (sandbox: none)"
        return _made(job, replace(fresh, use=replace(fresh.use, note=note)))
    with contextlib.ExitStack() as stack:
        try:
            # Whoever makes the same one now may take as long as we would.
            patience = job.seconds * (len(job.wanted.setup) + 1)
            stack.enter_context(kept.alone(job.folder, wait=patience, watch=ending(job.watching.watch)))
        except Busy as error:
            note = f"not kept: {error}"
            return _made(job, replace(fresh, use=replace(fresh.use, note=note)))
        return _taken_or_made(job, fresh)


def _taken_or_made(job: _Job, fresh: Prepared) -> Prepared:
    if (found := kept.find(job.folder)) and (found.owner is None or job.project.may_show):
        started = time.monotonic()
        fault = kept.put(found, fresh.workspace, job.project.sandbox)
        if not fault:
            use = replace(fresh.use, is_hit=True, seconds=_since(started), bytes=found.bytes)
            return replace(fresh, use=use)
        _log.warning("the environment at %s is damaged (%s); it is made anew", job.folder, safe_line(fault))
        fresh = job.anew(fresh)
    made = _made(job, fresh)
    return made if job.is_proof or made.failed or not made.use.setup else _kept(job, made)


def _made(job: _Job, fresh: Prepared) -> Prepared:
    """Run set-up; where it was only found, and fails, do without."""
    started = time.monotonic()
    failed = _run(job, fresh, job.wanted.setup)
    made = replace(fresh, use=replace(fresh.use, seconds=_since(started)), failed=failed)
    if failed is None or job.is_proof or not job.wanted.is_found or job.watching.watch():
        return replace(made, is_built=not job.wanted.is_dependencies_only)
    note = f"set-up was found and failed: {failure(failed)}"
    use = replace(made.use, setup=(), build=(), note=note, failed=failed.command)
    return job.anew(replace(made, use=use, failed=None))


def _kept(job: _Job, made: Prepared) -> Prepared:
    project, seconds = job.project, made.use.seconds
    try:
        saved = kept.keep(
            *(made.workspace, job.checkout.commit, project.sandbox, project.config.sandbox),
            *(job.folder, seconds),
            may_show=project.may_show,
        )
    except kept.NotKept as error:
        return replace(made, use=replace(made.use, note=f"not kept: {error}"))
    return replace(made, use=replace(made.use, bytes=saved.bytes))


def _built(job: _Job, prepared: Prepared) -> Prepared:
    if prepared.failed or not prepared.use.build:
        return prepared
    started = time.monotonic()
    failed = _run(job, prepared, prepared.use.build)
    use = replace(prepared.use, build_seconds=_since(started))
    if failed is None or job.is_proof or not job.wanted.is_build_found:
        return replace(prepared, use=use, failed=failed, is_built=True)
    return replace(
        prepared, use=replace(use, build=(), note=f"build was found and failed: {failure(failed)}")
    )


def _run(job: _Job, prepared: Prepared, commands: Sequence[str]) -> CheckResult | None:
    is_base = not job.is_proof
    # Code that the agent may have changed never gets this machine's network.
    network = is_base and job.project.config.sandbox.setup_network == "host"
    return verify.run_setup(
        job.project.sandbox,
        prepared.workspace,
        commands,
        network=network,
        gateway=job.project.setup_gateway(is_base),
        timeout=job.seconds,
        watching=job.watching,
    )


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)


def failure(failed: CheckResult) -> str:
    """A command that failed, and the last that it said: where npm keeps its log is not that."""
    lines = [line for line in failed.tail.splitlines() if line.strip() and _NPM_LOG not in line]
    last = safe_line(lines[-1] if lines else failed.status)
    said = "it ran out of time" if failed.status is CheckStatus.TIMED_OUT else last
    return f"{failed.command}: {said}{f'; {failed.note}' if failed.note else ''}"


def _tell(prepared: Prepared) -> None:
    use = prepared.use
    origin = "found" if use.is_found else "configured"
    for name, commands in (("set-up", use.setup), ("build", use.build), ("checks", prepared.checks)):
        if commands:
            _log.info("%s, %s: %s", name, origin, "; ".join(commands))
    if use.says:
        _log.info("environment: %s", use.says)
