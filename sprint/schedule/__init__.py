"""`sprint schedule`: has cron, or systemd's user timers, start a tick for each configured repository."""

from __future__ import annotations

import logging
import os
import pwd
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from sprint import credentials, files, proc
from sprint.config import Config, ModelConfig, find, load
from sprint.errors import ConfigError, SprintError
from sprint.lock import lock
from sprint.schedule import crontab, systemd
from sprint.schedule.plan import Plan, plan

_LOCK_SECONDS = 10.0
_MODEL_VARIABLES = ("OPENAI_API_KEY", "OPENROUTER_API_KEY", "OPENAI_BASE_URL", "SPRINT_MODEL", "OLLAMA_HOST")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What was asked for. `every` in minutes, None for 10; neither of the first two: only show."""

    install: bool = False
    remove: bool = False
    systemd: bool = False
    every: int | None = None


def schedule(
    config_path: Path | None,
    options: Options,
    environ: Mapping[str, str],
    cwd: Path,
    home: Path,
    out: TextIO,
) -> int:
    """Print, install or remove the schedule of a configuration file; returns 0. Raises SprintError."""
    if options.remove:  # for which the file need not be a sound one
        source = find(config_path, environ=environ, cwd=cwd, home=home)
        if source is None:
            raise ConfigError("whose schedule? Name its configuration with --config")
        remove = _remove_timers if options.systemd else _remove_lines
        remove(source, environ, home, out)
        return 0
    config = load(config_path, environ=environ, cwd=cwd, home=home)
    planned = plan(config, _program(), options.every)
    for name, what in missing_in_cron(config, environ, home):
        _log.warning("%s: %s is in the environment only, which cron does not have: use a file", name, what)
    if options.systemd:
        _write_timers(planned, environ, home, out)
        return 0
    lines = crontab.lines(planned, mails=proc.find("sendmail") is not None)
    if options.install:
        _install_lines(planned, lines, home, out)
    else:
        out.write(os.fsdecode(crontab.block(planned.source, lines)))
    return 0


def _program() -> tuple[str, ...]:
    """What starts this very sprint, wherever it is started from."""
    script = Path(sys.executable).parent / "sprint"
    return (str(script),) if os.access(script, os.X_OK) else (sys.executable, "-P", "-m", "sprint")


def missing_in_cron(config: Config, environ: Mapping[str, str], home: Path) -> Iterable[tuple[str, str]]:
    """Keys of the configuration and the secret each has now and would not have when cron starts a tick."""
    for name in dict.fromkeys(repo.forge for repo in config.repos):
        forge = config.forges[name]
        if forge.token_env:
            yield f"forges.{name}", f"${forge.token_env}"
        elif _has_token(config, name, environ, home) and not _has_token(config, name, _bare(environ), home):
            yield f"forges.{name}", "its token"
    if all(repo.worker != "local" for repo in config.repos):
        return
    if config.model is None or not (config.model.base_url or _key_places(config.model)):
        set_here = [variable for variable in _MODEL_VARIABLES if environ.get(variable, "").strip()]
        if set_here:
            yield "model", f"${set_here[0]}"
    elif variables := [key for key in _key_places(config.model) if key.startswith("$")]:
        yield "model", variables[0]


def _bare(environ: Mapping[str, str]) -> dict[str, str]:
    return {"PATH": environ.get("PATH", proc.SEARCH_PATH)}


def _has_token(config: Config, name: str, environ: Mapping[str, str], home: Path) -> bool:
    try:
        return credentials.forge_token(name, config.forges[name], environ, home) is not None
    except SprintError:
        return False


def _key_places(model: ModelConfig) -> list[str]:
    own = f"${model.api_key_env}" if model.api_key_env else model.api_key_file
    return [place for place in [own, *(p for f in model.fallbacks for p in _key_places(f))] if place]


# --- cron --------------------------------------------------------------------------------------


def _crontab_lock(home: Path) -> Path:
    return home / ".cache" / "sprint" / "crontab.lock"


def _install_lines(planned: Plan, lines: list[str], home: Path, out: TextIO) -> None:
    files.make_folder(planned.log.parent)  # for it is the shell that opens the log
    with lock(_crontab_lock(home), wait=_LOCK_SECONDS, what="crontab"):
        before = crontab.read()
        after = crontab.with_block(before, planned.source, lines)
        if after != before:
            crontab.write(after)
    did = "installed in" if after != before else "already in"
    out.write(
        f"{did} your crontab; `crontab -l` shows it all, `sprint schedule --remove` takes these away:\n"
    )
    out.writelines(f"  {line}\n" for line in lines[1:])


def _remove_lines(source: Path, environ: Mapping[str, str], home: Path, out: TextIO) -> None:
    with lock(_crontab_lock(home), wait=_LOCK_SECONDS, what="crontab"):
        before = crontab.read()
        after = crontab.without_block(before, source)
        written = crontab.write(after) if after != before else before
    if after == before:
        out.write(f"your crontab has no lines for {source}\n")
        return
    out.write(f"removed the lines for {source} from your crontab\n")
    if written != after:
        out.write("its last line has a newline at its end now: this crontab program takes none without\n")


# --- systemd -----------------------------------------------------------------------------------


def _write_timers(planned: Plan, environ: Mapping[str, str], home: Path, out: TextIO) -> None:
    where = systemd.folder(environ, home)
    files.make_folder(planned.log.parent)
    timers = systemd.write(where, planned)
    if said := systemd.complaints(where, timers, environ):
        _log.warning("systemd-analyze verify: %s", said)
    out.write(f"wrote {len(timers)} timers and their services in {where}; to start them:\n")
    out.write(f"  systemctl --user daemon-reload && systemctl --user enable --now {' '.join(timers)}\n")
    user = pwd.getpwuid(os.getuid()).pw_name
    if not systemd.lingers(user):
        out.write(f"and for them to run while you are logged out:\n  sudo loginctl enable-linger {user}\n")


def _remove_timers(source: Path, environ: Mapping[str, str], home: Path, out: TextIO) -> None:
    where = systemd.folder(environ, home)
    timers = systemd.remove(where, source)
    if not timers:
        out.write(f"there are no timers for {source} in {where}\n")
        return
    out.write(f"removed {len(timers)} timers and their services from {where}; to have them forgotten:\n")
    out.write(f"  systemctl --user stop {' '.join(timers)}; systemctl --user daemon-reload\n")
