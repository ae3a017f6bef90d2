"""What a run begins with, made beside its claim: its repository's mirror, and a checkout of its base."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from sprint import early_imports, environment, workspace
from sprint.beside import Beside
from sprint.context import Context
from sprint.domain import Purpose, Run, replace
from sprint.errors import SprintError
from sprint.settle.run_project import project_of

# By prompts and policy; importing them takes as long as a claim.
_NEEDED_BY_RUNS = (
    *("detect_secrets.core.plugins.util", "detect_secrets.filters", "detect_secrets.plugins.*"),
    "jinja2",
)

Mirrored = Beside[tuple[Path, str]]  # `workspace.update_mirror`, under way


def mirroring(context: Context, run: Run | None, base: str) -> Mirrored:
    """A run's mirror brought up to date beside whatever is done meanwhile, and the commit of that branch.

    What runs import is imported as well: where a mirror is wanted there is news, and mostly a run.
    """
    early_imports.load(*_NEEDED_BY_RUNS)
    cache, remote = context.config.paths.cache, context.remote
    forge, repo = (run.forge, run.repo) if run else (context.repo_config.forge, context.repository.name)
    return Beside(lambda watch: workspace.update_mirror(cache, forge, repo, remote, branch=base, watch=watch))


def branch_of(context: Context, run: Run) -> str:
    """The branch that a run works on."""
    if run.purpose is Purpose.ISSUE:
        return context.repo_config.publish.branch.format(number=run.number)
    return run.branch


class Ahead:
    """Both for one run after the other: the mirror is fetched once, a checkout is made for each of them.

    `mirrored`: the mirror, where it is brought up to date already. Whoever has it closes it.
    """

    def __init__(self, context: Context, mirrored: Mirrored | None = None) -> None:
        self._context = context
        self._mirrored = mirrored
        self._checked_out: Beside[environment.Fresh | None] | None = None

    def begin(self, run: Run) -> None:
        """For a run on an issue, which is written down and not claimed yet."""
        mirrored = self._mirroring(run, self._context.base)
        self._checked_out = Beside(lambda watch: self._check_out(run, mirrored, watch))

    def take(self, run: Run, base: str, watch: Callable[[], str]) -> tuple[str, environment.Fresh | None]:
        """The commit that a run begins at, and its checkout, which is the run's own from now on; None where
        none was made. The run after it begins at what the base is then.

        Raises SprintError; what `watch` raises ends both.
        """
        try:
            _, base_sha = self._mirroring(run, base).result(watch)
            fresh = self._checked_out.result(watch) if self._checked_out else None
        except BaseException:
            self.close()
            raise
        self._checked_out = self._mirrored = None
        return base_sha, fresh

    def drop(self) -> None:
        """Its issue is another host's: what was checked out for it goes."""
        left, self._checked_out = self._checked_out, None
        if left is not None:
            left.stop()
            if left.is_done:
                self._remove(left.result())

    def close(self) -> None:
        self.drop()
        if self._mirrored is not None:
            self._mirrored.stop()

    def _mirroring(self, run: Run, base: str) -> Mirrored:
        self._mirrored = self._mirrored or mirroring(self._context, run, base)
        return self._mirrored

    def _check_out(self, run: Run, mirrored: Mirrored, watch: Callable[[], str]) -> environment.Fresh | None:
        """Not of a large tree: that takes long and may be shown, to the thread that works with it. What fails
        here fails again, and is told, when the run begins."""
        context, fresh = self._context, None
        try:
            mirror, base_sha = mirrored.result(watch)
            if workspace.is_large(mirror, base_sha):
                return None
            checkout = environment.Checkout(run.id, base_sha, context.base, branch_of(context, run))
            project = replace(project_of(context, run), may_show=False)
            fresh = environment.check_out(project, checkout, watch)
            watch()
        except (SprintError, OSError):
            self._remove(fresh)
            return None
        return fresh

    def _remove(self, fresh: environment.Fresh | None) -> None:
        """Where that fails, it is one of the workspaces that are cleaned away later."""
        if fresh is not None:
            cache, forge = self._context.config.paths.cache, self._context.repo_config.forge
            with contextlib.suppress(SprintError):
                mirror = workspace.mirror_path(cache, forge, self._context.repository.name)
                workspace.undo(fresh.workspace.root, mirror)
