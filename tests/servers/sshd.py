"""A real sshd on loopback, with keys of its own, and a person on it who is not root.

Where the tests are root it sees an /etc/passwd and a /home of its own, by mounts in a name space: so whoever
logs in is an ordinary user, of whom this machine knows nothing. Elsewhere it lets in whoever runs the tests.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sprint.config import SshBackendConfig

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
_UID = 64_997
_PERSON = f"sprites:x:{_UID}:{_UID}::/home/sprites:/bin/sh\n"
_ENTER = f"""\
mount --bind "$1" /etc/passwd || exit 1
[ -z "$3" ] || mount -t tmpfs -o "size=$3,uid={_UID},mode=755" none "$2/sprites" || exit 1
mount --rbind "$2" /home || exit 1
shift 3; exec "$@"
"""


@dataclass(frozen=True)
class Sshd:
    """`sprites`: the folder of the backend's sprites, as seen from here."""

    config: SshBackendConfig
    sprites: Path
    daemon: subprocess.Popen[bytes]

    def connections(self) -> list[int]:
        """The processes that serve one each."""
        return list(_children(self.daemon.pid))

    def signal(self, number: signal.Signals) -> None:
        """To the daemon, and to what serves each connection; not to what commands left running."""
        served = [pid for one in self.connections() for pid in (one, *_children(one))]
        for pid in (self.daemon.pid, *served):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _children(pid: int) -> Iterator[int]:
    """Those that are sshd, too."""
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"sshd:"):
                yield int(child)


@contextmanager
def sshd(root: Path, *, disk: str = "") -> Iterator[Sshd]:
    """`disk`: how large the person's is, which nobody else sees then; for tests that are root."""
    assert SSHD, "install openssh-server"
    root.mkdir(parents=True)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(root / name)], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    person = os.getuid() == 0
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": root / "host",
        "AuthorizedKeysFile": "/home/keys" if person else root / "user.pub",
        "PidFile": "none",
        "UsePAM": "no",
        "StrictModes": "no",
        "PermitRootLogin": "prohibit-password",
        "PasswordAuthentication": "no",
    }
    (root / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    (root / "known").write_text(f"[127.0.0.1]:{port} {(root / 'host.pub').read_text()}")
    (root / "ssh_config").write_text(f"UserKnownHostsFile {root / 'known'}\n")
    Path("/run/sshd").mkdir(exist_ok=True)
    enter = _as_person(root, disk) if person else []
    argv = [*enter, SSHD, "-D", "-e", "-f", str(root / "sshd_config")]
    daemon = subprocess.Popen(argv, stderr=subprocess.PIPE)
    own = Path(tempfile.mkdtemp(prefix="sprint-test-", dir="/var/tmp"))  # /tmp is the sandbox's own
    config = SshBackendConfig(
        host=f"{'sprites' if person else getpass.getuser()}@127.0.0.1",
        port=port,
        path="sprites" if person else str(own),
        identity_file=str(root / "user"),
        config_file=str(root / "ssh_config"),
    )
    made = Sshd(config, root / "homes/sprites/sprites" if person else own, daemon)
    try:
        assert daemon.stderr
        while b"listening" not in daemon.stderr.readline():
            assert daemon.poll() is None
        yield made
    finally:
        made.signal(signal.SIGKILL)
        daemon.wait()
        shutil.rmtree(own, ignore_errors=True)


def _as_person(root: Path, disk: str) -> list[str]:
    (root / "passwd").write_text(Path("/etc/passwd").read_text() + _PERSON)
    home = root / "homes/sprites"
    home.mkdir(parents=True)
    os.chown(home, _UID, _UID)
    shutil.copy(root / "user.pub", root / "homes/keys")
    mounts = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", _ENTER, "sh"]
    return [*mounts, str(root / "passwd"), str(root / "homes"), disk]
