"""A run's repository as its environment sees it."""

from __future__ import annotations

from pathlib import Path

from sprint import environment, workspace
from sprint.config import SpriteWorkerConfig
from sprint.context import Context
from sprint.domain import Purpose, Run


def mirror_of(context: Context, run: Run) -> Path:
    """By the name that the repository had when the run began: its base is there."""
    return workspace.mirror_path(context.config.paths.cache, run.forge, run.repo)


def project_of(context: Context, run: Run) -> environment.Project:
    mirror, folder = mirror_of(context, run), context.store.folder(run.id)
    return environment.Project(
        run.forge,
        run.repo,
        context.repo_config,
        context.config.paths,
        mirror,
        context.sandbox,
        lambda is_base: context.setup_gateway(folder, mirror, run.base_sha, at_base=is_base),
        may_show=_stays_here(context, run),
    )


def _stays_here(context: Context, run: Run) -> bool:
    """Whether only sandboxes of this process see the workspace, which may be shown things then."""
    section = context.config.worker(run.worker)
    is_on_sprite = run.purpose is Purpose.TASK or isinstance(section, SpriteWorkerConfig)
    return not is_on_sprite and not getattr(section, "outside_sandbox", False)
