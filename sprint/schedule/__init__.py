"""`sprint schedule`: has cron, or systemd's user timers, start a tick for each configured repository."""

from __future__ import annotations

import logging
import os
import pwd
import sys
from dataclasses import dataclass
from pathlib import Path

from sprint import files, proc
from sprint.clean_text import safe_line
from sprint.config import Config, find, load
from sprint.errors import ConfigError
from sprint.lock import lock
from sprint.schedule import actions, crontab, in_cron, systemd
from sprint.schedule.plan import Plan, plan
from sprint.surroundings import Surroundings

_LOCK_SECONDS = 10.0
_LONGEST_PATH = 600  # characters: cron takes a command of 1,000

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What was asked for. `every` in minutes, None for 10; neither of the first two: only show."""

    install: bool = False
    remove: bool = False
    systemd: bool = False
    actions: bool = False
    every: int | None = None


def schedule(config_path: Path | None, options: Options, around: Surroundings) -> int:
    """Print, install or remove the schedule of a configuration file; returns 0. Raises SprintError."""
    if options.remove:  # for which the file need not be a sound one
        source = find(config_path, around)
        if source is None:
            raise ConfigError("whose schedule? Name its configuration with --config")
        remove = _remove_timers if options.systemd else _remove_lines
        remove(source, around)
        return 0
    config = load(config_path, around)
    if options.actions:
        _write_workflow(config, around)
        return 0
    planned = plan(config, program(), options.every, _path(around))
    lines = crontab.lines(planned, mails=proc.find("sendmail") is not None)
    if not (options.install or options.systemd):
        for name, what in in_cron.missing(config, around):
            _log.warning(
                "%s: %s is in the environment only, which cron does not have: use a file", name, what
            )
        around.out.write(os.fsdecode(crontab.block(planned.source, lines)))
        return 0
    in_cron.refuse_missing(config, around)
    before = None if options.systemd else crontab.read()
    said = in_cron.try_one(planned, config, around, before)
    if options.systemd:
        _write_timers(planned, around)
    else:
        _install_lines(planned, lines, around)
    around.out.write(f"{safe_line(said, 500)}\n")
    return 0


def program() -> tuple[str, ...]:
    """What starts this very sprint, wherever it is started from."""
    script = Path(sys.executable).parent / "sprint"
    return (str(script),) if os.access(script, os.X_OK) else (sys.executable, "-P", "-m", "sprint")


def _path(around: Surroundings) -> str:
    """The folders of this PATH that are there, for agents and toolchains; "" where they are too many."""
    folders = [folder for folder in around.get("PATH").split(":") if folder.startswith("/")]
    path = ":".join(folder for folder in dict.fromkeys(folders) if Path(folder).is_dir())
    if len(path) <= _LONGEST_PATH:
        return path
    _log.warning("your PATH is too long for a crontab: agents and toolchains need a place in /usr/local/bin")
    return ""


def _write_workflow(config: Config, around: Surroundings) -> None:
    path, secrets = actions.write(config)
    around.out.write(f"wrote {path}; commit it with {config.source}, and give that repository the secrets:\n")
    around.out.writelines(f"  {secret}\n" for secret in secrets)
    around.out.write("docs/without-cron.md says what is different there\n")


# --- cron --------------------------------------------------------------------------------------


def _crontab_lock(home: Path) -> Path:
    return home / ".cache" / "sprint" / "crontab.lock"


def _install_lines(planned: Plan, lines: list[str], around: Surroundings) -> None:
    files.make_folder(planned.log.parent)  # for it is the shell that opens the log
    with lock(_crontab_lock(around.home), wait=_LOCK_SECONDS, what="crontab"):
        before = crontab.read()
        after = crontab.with_block(before, planned.source, lines)
        if after != before:
            crontab.write(after)
    did = "installed in" if after != before else "already in"
    around.out.write(
        f"{did} your crontab; `crontab -l` shows it all, `sprint schedule --remove` takes these away:\n"
    )
    around.out.writelines(f"  {line}\n" for line in lines[1:])


def _remove_lines(source: Path, around: Surroundings) -> None:
    out = around.out
    with lock(_crontab_lock(around.home), wait=_LOCK_SECONDS, what="crontab"):
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


def _write_timers(planned: Plan, around: Surroundings) -> None:
    out = around.out
    where = systemd.folder(around)
    files.make_folder(planned.log.parent)
    timers = systemd.write(where, planned)
    if said := systemd.complaints(where, timers, around):
        _log.warning("systemd-analyze verify: %s", said)
    out.write(f"wrote {len(timers)} timers and their services in {where}; to start them:\n")
    out.write(f"  systemctl --user daemon-reload && systemctl --user enable --now {' '.join(timers)}\n")
    user = pwd.getpwuid(os.getuid()).pw_name
    if not systemd.lingers(user):
        out.write(f"and for them to run while you are logged out:\n  sudo loginctl enable-linger {user}\n")


def _remove_timers(source: Path, around: Surroundings) -> None:
    out = around.out
    where = systemd.folder(around)
    timers = systemd.remove(where, source)
    if not timers:
        out.write(f"there are no timers for {source} in {where}\n")
        return
    out.write(f"removed {len(timers)} timers and their services from {where}; to have them forgotten:\n")
    out.write(f"  systemctl --user stop {' '.join(timers)}; systemctl --user daemon-reload\n")
