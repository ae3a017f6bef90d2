"""What is kept and for how long: the newest workspaces, run folders and log lines, mirrors still in use."""

from __future__ import annotations

from sprint import environment, workspace
from sprint.config import Config
from sprint.logs import bound_cron_log
from sprint.runs import RunStore

KEEP_WORKSPACES = 24
KEEP_RUNS = 100
MIRROR_DAYS = 30
ENVIRONMENT_DAYS = 14  # since it was made: after that, what is not pinned is resolved anew
ENVIRONMENT_BYTES = 20_000_000_000


def sweep(config: Config) -> list[str]:
    """Remove what is older, never what a run under way uses, and old lines of cron's log.

    Returns the files and folders that were removed.
    """
    bound_cron_log(config.paths.results)
    store = RunStore(config.paths.results)
    in_use = {run.workspace for run in store.active()}
    return [
        *workspace.clean(config.paths.workspaces, keep=KEEP_WORKSPACES, in_use=in_use),
        *store.clean(keep=KEEP_RUNS),
        *environment.clean(config.paths.cache, days=ENVIRONMENT_DAYS, most_bytes=ENVIRONMENT_BYTES),
        *workspace.clean_mirrors(config.paths.cache, days=MIRROR_DAYS),
    ]
