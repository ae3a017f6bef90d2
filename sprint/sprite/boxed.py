"""Whether work on a machine behind a backend can be held in the sandbox, found out by trying to get out."""

from __future__ import annotations

import secrets

from sprint.config import SandboxConfig
from sprint.domain import Completed
from sprint.sandbox import elsewhere, probing
from sprint.sprite.backend import BackendError, Refused, Unreachable
from sprint.sprite.folders import FolderBackend
from sprint.sprite.visit import ask_machine

_SECONDS = 20.0


def probe(backend: FolderBackend, config: SandboxConfig) -> None:
    """Raises BackendError, with the remedy, where the sandbox does not hold there or does not start."""
    root = f"/tmp/sprint-probe-{secrets.token_hex(8)}"  # noqa: S108 - made there anew, or the probe fails
    script = ["/bin/sh", "-c", probing.ATTEMPTS, root.rpartition("/")[2], f"{root}/outside"]
    try:
        told = ask_machine(
            backend,
            "try_out",
            root=root,
            confine=elsewhere.box(config, f"{root}/work"),
            argv=script,
            seconds=_SECONDS,
        )
    except Unreachable:
        raise
    except BackendError as error:
        raise Refused(f"{error}; or say `sandbox: none`: agents have all rights of that user then") from error
    done = Completed(told["code"], str(told["out"]).encode(), str(told["err"]).encode())
    if fault := probing.fault_of(done):
        raise Refused(
            f"backend {backend.name}: its sandbox does not hold: {fault}; see whether `bwrap --unshare-all "
            "--ro-bind / / true` works there as that user, with bubblewrap 0.8 or newer; or say "
            "`sandbox: none`"
        )
