"""`sprint pause` and `sprint resume`: whether hosts begin runs in a repository."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sprint import repo_pause
from sprint.claim import copy_path
from sprint.clean_text import safe_line
from sprint.config import Config, RepoConfig, resolve
from sprint.errors import ConfigError, SprintError
from sprint.first_look import forge_of
from sprint.git import Remote
from sprint.surroundings import Surroundings

_log = logging.getLogger(__name__)

Act = Callable[[Path, Remote, str], str]


def pause(
    config: Config,
    names: Sequence[str],
    everything: bool,
    why: str,
    around: Surroundings,
) -> int:
    """Pause the named repositories, or all configured ones; returns the exit code, the worst of theirs."""

    def act(git_dir: Path, remote: Remote, name: str) -> str:
        repo_pause.pause(git_dir, remote, why, datetime.now(UTC))
        return f"paused on all hosts; runs under way go on; `sprint resume {name}` lifts it"

    return _for_each(config, names, everything, around, act)


def resume(
    config: Config,
    names: Sequence[str],
    everything: bool,
    around: Surroundings,
) -> int:
    """Lift their pauses; returns the exit code, the worst of theirs."""

    def act(git_dir: Path, remote: Remote, name: str) -> str:
        return "hosts begin runs again" if repo_pause.resume(git_dir, remote) else "it was not paused"

    return _for_each(config, names, everything, around, act)


def _for_each(
    config: Config,
    names: Sequence[str],
    everything: bool,
    around: Surroundings,
    act: Act,
) -> int:
    """One repository's failure stops no other."""
    worst = 0
    for repo in _wanted(config, names, everything):
        try:
            forge = forge_of(config, repo, around)
            repository = forge.repository(repo.name)
            git_dir = copy_path(config.paths.cache, repo.forge, repository.name)
            said = act(git_dir, forge.remote(repository), repo.name)
            print(f"{repo.name}: {safe_line(said)}", file=around.out, flush=True)
        except SprintError as error:
            _log.error("%s: %s", repo.name, error)
            _log.debug("where it came from", exc_info=True)
            worst = max(worst, error.exit_code)
    return worst


def _wanted(config: Config, names: Sequence[str], everything: bool) -> Sequence[RepoConfig]:
    if everything and names:
        raise ConfigError("--all goes without repository names")
    if not everything and not names:
        raise ConfigError("name repositories as OWNER/REPO, or say --all for all that are configured")
    return [resolve(config, name) for name in names] or config.repos
