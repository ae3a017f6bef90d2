"""systemd's user timers in place of cron: a service and a timer for each line of a crontab."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path

from sprint import files, proc
from sprint.clean_text import safe_line
from sprint.errors import ConfigError
from sprint.schedule.plan import Entry, Plan
from sprint.surroundings import Surroundings

_SECONDS = 20.0
_LINGERING = Path("/var/lib/systemd/linger")
_SUFFIXES = (".service", ".timer")


def folder(around: Surroundings) -> Path:
    """Where a user's units are."""
    return around.user_config / "systemd" / "user"


def units(plan: Plan) -> dict[str, str]:
    """The units' texts by file name. Raises ConfigError for a path that systemd cannot start."""
    if re.search("[\"']", plan.entries[0].argv[0]):
        raise ConfigError(f"{plan.entries[0].argv[0]}: systemd starts no program with a quote in its path")
    texts = {}
    for entry in plan.entries:
        name = _unit(plan.source, entry)
        texts[f"{name}.service"] = _service(plan, entry)
        texts[f"{name}.timer"] = _timer(plan, entry)
    return texts


def _unit(source: Path, entry: Entry) -> str:
    digest = hashlib.sha256(os.fsencode(source) + b"\0" + entry.what.encode()).hexdigest()[:8]
    return f"sprint-{re.sub('[^A-Za-z0-9_.-]+', '-', entry.what)[:100]}-{digest}"


def _mark(source: Path) -> str:
    return f"# `sprint schedule --systemd` made this file for {source}\n"


def _service(plan: Plan, entry: Entry) -> str:
    log = "" if entry.is_monitor else f"StandardOutput=append:{plain(str(plan.log))}\n"
    path = f"Environment={quoted(f'PATH={plan.path}')}\n" if plan.path else ""
    return (
        f"{_mark(plan.source)}[Unit]\nDescription=sprint: {plain(_does(entry))}\n\n"
        f"[Service]\nType=oneshot\n{path}"
        # The colon: no variable is put in for what looks like one. KillMode: the end of a tick must not end
        # what it has begun to outlive it, an agent on a sprite that is a folder here say, and its gateway.
        f"ExecStart=:{' '.join(map(quoted, entry.argv))}\n{log}KillMode=process\n"
    )


def _timer(plan: Plan, entry: Entry) -> str:
    return (
        f"{_mark(plan.source)}[Unit]\nDescription=sprint: when to start {plain(_does(entry))}\n\n"
        f"[Timer]\nOnCalendar={_calendar(entry)}\nAccuracySec=1s\n\n[Install]\nWantedBy=timers.target\n"
    )


def _does(entry: Entry) -> str:
    return "the monitor's alarms" if entry.is_monitor else f"a tick for {entry.what}"


def _calendar(entry: Entry) -> str:
    if entry.every <= 60:
        return f"*-*-* *:{_steps(entry.offset, entry.every, 60)}:00"
    return f"*-*-* {_steps(entry.offset // 60, entry.every // 60, 24)}:{entry.offset % 60:02}:00"


def _steps(first: int, step: int, count: int) -> str:
    return f"{first:02}" if step == count else f"{first:02}/{step}"


def plain(text: str) -> str:
    return text.replace("%", "%%")


def quoted(word: str) -> str:
    return '"{}"'.format(plain(word).replace('"', '\\"'))


# --- files -------------------------------------------------------------------------------------


def write(where: Path, plan: Plan) -> list[str]:
    """Write the units, and remove those of repositories no longer configured; returns the timers' names.

    Raises SprintError where a file of the same name is somebody else's, before anything is written.
    """
    texts = units(plan)
    files.make_folder(where, mode=0o755)
    for name in texts:
        files.check_own(where / name, os.fsencode(_mark(plan.source)), "`sprint schedule`")
    for name, text in texts.items():
        files.replace(where / name, os.fsencode(text), mode=0o644)
    for path in _ours(where, plan.source):
        if path.name not in texts:
            _remove(path)
    return [name for name in texts if name.endswith(".timer")]


def remove(where: Path, source: Path) -> list[str]:
    """Remove the units made for a configuration file, enabled or not; returns their timers' names."""
    ours = _ours(where, source)
    for path in ours:
        _remove(path)
    return [path.name for path in ours if path.suffix == ".timer"]


def _ours(where: Path, source: Path) -> list[Path]:
    mark = os.fsencode(_mark(source))
    found = [path for path in sorted(where.glob("sprint-*")) if path.suffix in _SUFFIXES]
    return [path for path in found if files.begins_with(path, mark)]


def _remove(path: Path) -> None:
    enabled = path.parent / "timers.target.wants" / path.name
    with files.refusing("remove", path):
        path.unlink()
        if enabled.is_symlink():
            enabled.unlink()


def complaints(where: Path, names: list[str], around: Surroundings) -> str:
    """What `systemd-analyze verify` says against the timers and their services; "" without the program."""
    program = proc.find("systemd-analyze")
    if program is None:
        return ""
    both = [str(where / name.replace(".timer", suffix)) for name in names for suffix in _SUFFIXES]
    with tempfile.TemporaryDirectory(prefix="sprint-verify-") as scratch:
        env = proc.minimal_environment(
            HOME=scratch, XDG_RUNTIME_DIR=around.environ.get("XDG_RUNTIME_DIR") or scratch, SYSTEMD_PAGER=""
        )
        argv = [program, "--user", "--man=no", "verify", *both]
        done = proc.run(argv, timeout=_SECONDS, env=env, cwd=Path("/"))
    return safe_line(done.err, 500)


def lingers(user: str) -> bool:
    """Whether a user's timers run while nobody is logged in."""
    return (_LINGERING / user).exists()
