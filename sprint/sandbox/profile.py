"""What bubblewrap is told: which parts of the host commands see, and as whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from sprint.config import SandboxConfig
from sprint.domain import Workspace
from sprint.sandbox.limits import MEGABYTE

WORK = "/work"
REPO = "/work/repo"
HOME = "/work/home"
TMP = "/work/tmp"
SCRATCH = "/tmp"  # noqa: S108 - inside, and nobody else's

ISOLATION = (
    "--unshare-all",
    "--unshare-user",
    "--disable-userns",
    *("--cap-drop", "ALL"),
    "--die-with-parent",
    "--new-session",
    "--clearenv",
    *("--hostname", "sandbox"),
)
SEAL = ("--remount-ro", "/")

_SYSTEM_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# What programs under /usr need to work at all, and nothing that may hold a secret.
_ETC = (
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "fonts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "mime.types",
    "nsswitch.conf",
    "perl",
    "php",
    "pki",
    "protocols",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
)
_ETC_FOR_NETWORK = ("resolv.conf", "hosts")


def system(config: SandboxConfig, *, network: bool) -> Iterator[str]:
    """The read-only system and the devices."""
    yield from ("--ro-bind", "/usr", "/usr")
    for name in _SYSTEM_LINKS:
        path = Path("/", name)
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        elif path.is_dir():
            yield from ("--ro-bind", str(path), str(path))
    for name in (*_ETC, *(_ETC_FOR_NETWORK if network else ())):
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
    yield from binds({Path(path): path for path in config.readable})
    yield from ("--proc", "/proc", "--dev", "/dev")
    yield from ("--size", memory_backed(config), "--tmpfs", "/dev/shm", "--remount-ro", "/dev")  # noqa: S108
    if network:
        yield "--share-net"


def accounts(uid: int, *, network: bool) -> dict[str, str]:
    """The files of /etc that are made up, and their text."""
    files = {
        "/etc/passwd": f"sprint:x:{uid}:{uid}:sprint:{HOME}:/bin/sh\n"
        "nobody:x:65534:65534:nobody:/:/bin/false\n",
        "/etc/group": f"sprint:x:{uid}:\nnogroup:x:65534:\n",
    }
    if not network:
        files["/etc/hosts"] = "127.0.0.1 localhost\n::1 localhost\n"
    return files


def work(workspace: Workspace, config: SandboxConfig, *, writable: bool) -> Iterator[str]:
    """The workspace. Only its root is bound by path: all below it may have been replaced by links."""
    if writable:
        yield from ("--bind", str(workspace.root), WORK, "--symlink", TMP, SCRATCH)
    else:
        yield from ("--ro-bind", str(workspace.root), WORK)
        yield from ("--size", memory_backed(config), "--tmpfs", SCRATCH)


def binds(read_only: Mapping[Path, str]) -> Iterator[str]:
    for source, target in read_only.items():
        yield from ("--ro-bind", str(source), target)


def variables(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        yield from ("--setenv", name, value)


def memory_backed(config: SandboxConfig) -> str:
    """Bytes for a file system in memory: a quarter of what commands may have."""
    return str(config.memory_mb * MEGABYTE // 4)
