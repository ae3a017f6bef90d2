"""What is kept and for how long: the newest workspaces, run folders and log lines, mirrors still in use."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from sprint import environment, json_file, workspace
from sprint.config import Config
from sprint.disk_use import used
from sprint.errors import SprintError
from sprint.logs import bound_cron_log
from sprint.runs import RunStore

KEEP_WORKSPACES = 24
KEEP_RUNS = 100
MIRROR_DAYS = 30
ENVIRONMENT_DAYS = 14  # since it was made: after that, what is not pinned is resolved anew
_MEGABYTE = 1_000_000


def sweep(config: Config, *, seconds: float = math.inf) -> list[str]:
    """Remove what is older or too much, never what a run under way uses, and old lines of cron's log.

    Of a great many run folders, those that are not removed within `seconds` stay for the next time. Returns
    the files and folders that were removed.
    """
    paths = config.paths
    bound_cron_log(paths.results)
    store = RunStore(paths.results)
    sizes = _Sizes(paths.cache)
    removed = [
        *workspace.clean(
            paths.workspaces,
            keep=KEEP_WORKSPACES,
            in_use=_in_use(config, store),
            most_bytes=paths.workspaces_mb * _MEGABYTE,
            size=sizes.of,
        ),
        *store.clean(keep=KEEP_RUNS, most_bytes=paths.results_mb * _MEGABYTE, seconds=seconds),
        *environment.clean(paths.cache, days=ENVIRONMENT_DAYS, most_bytes=paths.environments_mb * _MEGABYTE),
        *workspace.clean_mirrors(paths.cache, days=MIRROR_DAYS),
    ]
    sizes.keep()
    return removed


class Use(Struct, frozen=True):
    """Bytes that one kind of files takes up, and how many a sweep leaves (None: it counts days)."""

    what: str
    where: Path
    bytes: int
    most_bytes: int | None

    def __str__(self) -> str:
        of = f" of {self.most_bytes / 1e9:.1f}" if self.most_bytes is not None else ""
        return f"{self.what} {self.bytes / 1e9:.1f}{of} GB"


def usage(config: Config) -> Iterator[Use]:
    """What is kept now, kind by kind. Workspaces of runs under way are not among them."""
    paths, sizes = config.paths, _Sizes(config.paths.cache)
    in_use = _in_use(config, RunStore(paths.results))
    spaces = [path for path in workspace.newest_first(paths.workspaces) if str(path) not in in_use]
    yield Use("results", paths.results, used(paths.results)[0], paths.results_mb * _MEGABYTE)
    yield Use("workspaces", paths.workspaces, sum(map(sizes.of, spaces)), paths.workspaces_mb * _MEGABYTE)
    environments = paths.cache / "environments"
    yield Use("environments", environments, used(environments)[0], paths.environments_mb * _MEGABYTE)
    yield Use("mirrors", paths.cache / "mirrors", used(paths.cache / "mirrors")[0], None)
    sizes.keep()


def _in_use(config: Config, store: RunStore) -> set[str]:
    """The workspaces of runs under way, those of their proofs too."""
    runs = store.active()
    names = tuple(f"sprint-{run.id}" for run in runs)
    found = workspace.newest_first(config.paths.workspaces)
    return {run.workspace for run in runs} | {str(path) for path in found if path.name.startswith(names)}


class _Sizes:
    """Bytes of workspaces, each measured once: in one whose run is over nothing grows any more."""

    def __init__(self, cache: Path) -> None:
        self._path = cache / "workspace-sizes.json"
        self._known = json_file.read_if_sound(self._path, dict[str, tuple[int, int]]) or {}
        self._seen: dict[str, tuple[int, int]] = {}

    def of(self, workspace: Path) -> int:
        with suppress(FileNotFoundError):
            number = workspace.lstat().st_ino
            known = self._known.get(str(workspace))
            found = known if known and known[0] == number else (number, used(workspace)[0])
            self._seen[str(workspace)] = found
            return found[1]
        return 0

    def keep(self) -> None:
        if self._seen != self._known:
            with suppress(SprintError):  # it only costs the next sweep the measuring
                json_file.write(self._path, self._seen, durable=False)
