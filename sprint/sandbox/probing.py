"""Whether a sandbox really isolates, found out by trying to get out; and what to do where none starts."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from sprint.domain import Completed, Workspace
from sprint.errors import SandboxError
from sprint.sandbox.protocol import Command, Sandbox

_SECONDS = 20.0
_ANY_UID = 64_999
# Says what it could do and should not. The shell's own means only: each program would cost milliseconds.
ATTEMPTS = r"""
[ "$(id -u)" != 0 ] || echo "commands run as root"
true >made-here || echo "the workspace cannot be written"
{ true >"/usr/$0" && echo "the system can be written"; } 2>/dev/null
{ true >"/etc/$0" && echo "/etc can be written"; } 2>/dev/null
{ true >/proc/sys/kernel/core_pattern && echo "kernel settings can be written"; } 2>/dev/null
{ true <"$1" && echo "the host's files can be read"; } 2>/dev/null
while read -r name _; do
    case $name in lo:* | "Inter-|" | face) ;; *) echo "the network is on" ;; esac
done </proc/net/dev
exit 0
"""


def probe(sandbox: Sandbox) -> None:
    """Try to get out of a throwaway workspace. Raises SandboxError where that works, or nothing does."""
    with tempfile.NamedTemporaryFile(prefix="sprint-outside-") as outside:
        Path(outside.name).chmod(0o644)
        done = in_throwaway(sandbox, ["/bin/sh", "-c", ATTEMPTS, Path(outside.name).name, outside.name])
    if fault := fault_of(done):
        raise SandboxError(f"the sandbox does not hold: {fault}; {remedy(fault)}")


def probe_commands(sandbox: Sandbox) -> None:
    """Only see whether commands run at all, and not as root. Raises SandboxError otherwise."""
    done = in_throwaway(sandbox, ["/bin/sh", "-c", '[ "$(id -u)" != 0 ] && true >made-here'])
    if fault := fault_of(done):
        raise SandboxError(f"commands cannot be run: {fault}; see that /tmp is a usable folder")


def in_throwaway(
    sandbox: Sandbox,
    argv: list[str],
    *,
    timeout: float = _SECONDS,
    read_only: Mapping[Path, str] | None = None,
) -> Completed:
    """Run argv over a workspace that is made for it and gone afterwards."""
    uid = None if os.getuid() else _ANY_UID
    with tempfile.TemporaryDirectory(prefix="sprint-probe-") as folder:
        space = Workspace(Path(folder), uid)
        space.root.chmod(0o755)
        for path in (space.checkout, space.home, space.tmp):
            path.mkdir()
            path.chmod(0o777)
        return sandbox.run(Command(argv, timeout=timeout, read_only=read_only or {}), space)


def fault_of(done: Completed) -> str:
    """What does not hold, from what ATTEMPTS printed; "" where all does."""
    said = (done.out + done.err).strip().splitlines()
    if said:
        return said[0]
    return "" if done.ok else done.killed_by or f"exit code {done.exit_code}"


def remedy(said: str) -> str:
    """What an operator can do about a sandbox that does not start, from what it said and how the host is."""
    if said == "bwrap: No such file or directory":
        return "install it with `apt-get install bubblewrap`"
    if "nknown option" in said:
        return "bubblewrap is too old: 0.8 or newer is needed"
    for setting, (bad, good) in _SETTINGS.items():
        path = Path("/proc/sys", setting)
        if path.exists() and path.read_text().strip() == bad:
            return f"allow user namespaces with `sysctl -w {setting.replace('/', '.')}={good}`"
    if any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv")):
        return (
            "in a container it needs `--security-opt seccomp=unconfined --security-opt apparmor=unconfined "
            "--security-opt systempaths=unconfined`"
        )
    return "see whether `bwrap --unshare-all --ro-bind / / true` works as an ordinary user"


def settings() -> list[Path]:
    """The kernel's settings that decide whether one starts."""
    return [Path("/proc/sys", name) for name in _SETTINGS]


_SETTINGS = {
    "kernel/unprivileged_userns_clone": ("0", "1"),
    "user/max_user_namespaces": ("0", "10000"),
    "kernel/apparmor_restrict_unprivileged_userns": ("1", "0"),
}
