"""What bubblewrap is told: which parts of the host commands see, and as whom."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from sprint.config import SandboxConfig
from sprint.sandbox.limits import MEGABYTE
from sprint.sandbox.toolchains import CREDENTIALS
from sprint.sandbox.variables import STAND_IN, stand_in_for_python

WORK = "/work"
REPO = "/work/repo"
HOME = "/work/home"
TMP = "/work/tmp"
SCRATCH = "/tmp"  # noqa: S108 - inside, and nobody else's
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - likewise

_ISOLATION = (
    "--unshare-all",
    "--unshare-user",
    "--disable-userns",
    *("--cap-drop", "ALL"),
    "--die-with-parent",
    "--new-session",
    "--clearenv",
    *("--hostname", "sandbox"),
)
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
    "maven/logging",
    "maven/m2.conf",
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
_ETC_OF_SOME_RELEASE = ("java-*-openjdk", "python3*")
_ETC_OF_OTHERS = tuple(f"java-{release}-openjdk" for release in range(8, 41))  # whose /etc cannot be listed
_ETC_FOR_NETWORK = ("resolv.conf", "hosts")


class View(Struct, frozen=True):
    """What one command sees. `read_only` maps host paths to where they appear."""

    workspace: Path
    is_writable: bool
    has_network: bool
    read_only: Mapping[Path, str]

    @property
    def home(self) -> str:
        return HOME if self.is_writable else SCRATCH

    @property
    def tmp(self) -> str:
        return TMP if self.is_writable else SCRATCH

    @property
    def in_memory(self) -> tuple[str, ...]:
        """Where file systems in memory are that commands can write to."""
        return (_SHARED_MEMORY,) if self.is_writable else (_SHARED_MEMORY, SCRATCH)


def options(
    view: View,
    config: SandboxConfig,
    *,
    instead: Mapping[Path, Path],
    files: Mapping[str, int],
    system: Sequence[str],
) -> list[str]:
    """All of bubblewrap's options except the environment.

    `instead` names the places where host paths are mounted that the uid cannot reach; `files` the
    descriptors with the text of the files that are made up; `system` are the options that show /usr and /etc.
    """
    network = ["--share-net"] if view.has_network else []
    listed = [*_ISOLATION, *network, *system, *_devices(config)]
    # Only the workspace's root is bound: all that is below it may have been replaced by links.
    root = str(instead.get(view.workspace, view.workspace))
    if view.is_writable:
        listed += ("--bind", root, WORK, "--symlink", TMP, SCRATCH)
    else:
        listed += ("--ro-bind", root, WORK, "--size", _memory_backed(config), "--tmpfs", SCRATCH)
    for source, target in view.read_only.items():
        listed += ("--ro-bind", str(instead.get(source, source)), target)
    for path, descriptor in files.items():
        mode = "0755" if path.startswith(f"{STAND_IN}/") else "0644"
        # What is to cover a file that is shown has to be mounted over it; a mount costs more than a file.
        how = "--file" if path.startswith((f"{STAND_IN}/", "/etc/")) else "--ro-bind-data"
        listed += ("--perms", mode, how, str(descriptor), path)
    return [*listed, "--remount-ro", "/"]


def made_up_files(uid: int, view: View) -> dict[str, str]:
    """The files that the host's own must not be shown for, or that it lacks, and their text."""
    files = {
        "/etc/passwd": f"sprint:x:{uid}:{uid}:sprint:{HOME}:/bin/sh\n"
        "nobody:x:65534:65534:nobody:/:/bin/false\n",
        "/etc/group": f"sprint:x:{uid}:\nnogroup:x:65534:\n",
    }
    if not view.has_network:
        files["/etc/hosts"] = "127.0.0.1 localhost\n::1 localhost\n"
    files[f"{STAND_IN}/python"] = stand_in_for_python()
    for source, target in view.read_only.items():
        for name, text in CREDENTIALS.items():
            if os.path.isfile(f"{source}/{name}"):  # noqa: PTH113 - for each command, and pathlib is dear
                files[f"{target}/{name}"] = text
    return files


@functools.cache
def programs() -> tuple[str, ...]:
    """The options that show this machine's programs and libraries."""
    listed = ["--ro-bind", "/usr", "/usr"]
    for name in _SYSTEM_LINKS:
        path = Path("/", name)
        if path.is_symlink():
            listed += ("--symlink", str(path.readlink()), str(path))
        elif path.is_dir():
            listed += ("--ro-bind", str(path), str(path))
    return tuple(listed)


@functools.cache
def shown_of_etc(*, has_network: bool) -> tuple[Path, ...]:
    """What commands see of the host's /etc, as it was when the first of them was started."""
    etc = Path("/etc")
    shown = [etc / name for name in (*_ETC, *(_ETC_FOR_NETWORK if has_network else ()))]
    return (*shown, *(path for pattern in _ETC_OF_SOME_RELEASE for path in sorted(etc.glob(pattern))))


def system_elsewhere(view: View, more: Sequence[str]) -> Iterator[str]:
    """The options that show a machine's programs and its /etc that cannot be looked at from here, and `more`
    of its paths: what is not there is left out."""
    etc = (*_ETC, *_ETC_OF_OTHERS, *(_ETC_FOR_NETWORK if view.has_network else ()))
    yield from ("--ro-bind", "/usr", "/usr")
    for path in (*(f"/{name}" for name in _SYSTEM_LINKS), *(f"/etc/{name}" for name in etc), *more):
        yield from ("--ro-bind-try", path, path)


def _devices(config: SandboxConfig) -> Iterator[str]:
    yield from ("--proc", "/proc", "--dev", "/dev")
    yield from ("--size", _memory_backed(config), "--tmpfs", _SHARED_MEMORY)
    yield from ("--remount-ro", "/dev")


def _memory_backed(config: SandboxConfig) -> str:
    """Bytes for a file system in memory: a quarter of what commands may have."""
    return str(config.memory_mb * MEGABYTE // 4)
