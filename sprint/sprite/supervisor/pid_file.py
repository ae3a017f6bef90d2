"""Who supervises here."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import secrets
from pathlib import Path

from sprint.sprite.supervisor.fault import Fault
from sprint.sprite.supervisor.own_processes import end_all, marked, started
from sprint.sprite.supervisor.state_files import load, replace

_BBS = (b"bb", b"sprite-agent", b"ralph.sh")


@dataclasses.dataclass(frozen=True)
class Claim:
    """Who supervises: the pid file. A number alone may be another process by now, or after a reboot."""

    pid: int
    started: str
    boot: str
    mark: str

    @property
    def is_alive(self) -> bool:
        return bool(self.started) and self.boot == _boot() and started(self.pid) == self.started


def claim_in(path: Path) -> Claim | None:
    data = load(path)
    try:
        return Claim(int(data["pid"]), str(data["started"]), str(data["boot"]), str(data["mark"]))
    except (KeyError, ValueError, TypeError):
        return None


def take_over(path: Path) -> Claim:
    """Be the one that supervises here. What one that was killed left running is ended first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(lock_of(path), os.O_RDWR | os.O_CREAT, 0o600)  # held until we end
    before = claim_in(path)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        who = f" (process {before.pid})" if before else ""
        raise Fault(f"one is at work already{who}: `status` tells of it, `stop` ends it") from None
    patience_of(path).unlink(missing_ok=True)
    if before:
        end_all(lambda: marked(before.mark), 0.0)
    mine = Claim(os.getpid(), started(os.getpid()), _boot(), secrets.token_hex(8))
    replace(path, dataclasses.asdict(mine))
    return mine


def patience_of(path: Path) -> Path:
    """Where `stop` says how long the agent may take to end."""
    return path.with_name(f"{path.name}.stop")


def lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def number_in(path: Path) -> int:
    try:
        number = int(path.read_text())
        command = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return 0
    is_bbs = any(word.rpartition(b"/")[2] in _BBS for word in command[:3])
    return number if is_bbs and number > 1 else 0


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
