"""The workspace of a detached run, made anew where it is gone: this machine went down while work went on."""

from __future__ import annotations

from sprint import workspace
from sprint.domain import replace
from sprint.settle.under_way import UnderWay


def regained(current: UnderWay) -> UnderWay:
    """At the base, for what its worker has made to be put into; as it is where it is there."""
    if current.has_workspace:
        workspace.cover_again(current.space)
        return current
    run = current.run
    space = workspace.create(
        current.context.config.paths.workspaces,
        run.id,
        current.mirror,
        run.base_sha,
        run.base_branch,
        run.branch,
        watch=current.context.check_going_on,
    )
    run = replace(run, workspace=str(space.root), uid=space.uid)
    current.context.store.save(run)
    return replace(current, run=run)
