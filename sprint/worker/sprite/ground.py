"""Where on a sprite a run's work is, and how commands are run there.

Two ways. On a backend whose sprites are folders, here or over ssh, everything that an agent may have touched
is run in the project's own sandbox: the agent with its supervisor, and the export of what it made. Elsewhere
the sprite is the sandbox: a machine of its own, or, on one that is shared, what `sandbox: none` says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from sprint.config import BackendConfig, LocalBackendConfig, SandboxConfig, SshBackendConfig
from sprint.sandbox import elsewhere, profile
from sprint.worker import Job
from sprint.worker.sprite import confined
from sprint.worker.sprite.confined import Spec
from sprint.worker.sprite.note import Note

# Stands in a prompt for the folder of the work, which is known once the sprite is.
ROOT = "@sprint-work@"


def slug(repo: str) -> str:
    """The name of a repository's folders on a sprite."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", repo.replace("/", "--"))[:100]


def is_confined(backend: BackendConfig) -> bool:
    """Whether work there runs in the sandbox, on whichever machine."""
    return isinstance(backend, LocalBackendConfig | SshBackendConfig) and backend.sandbox != "none"


def is_here(backend: BackendConfig) -> bool:
    """Whether it runs in this machine's sandbox, with what is on this machine."""
    return isinstance(backend, LocalBackendConfig) and is_confined(backend)


@dataclass(frozen=True)
class Ground:
    """One run's place on its sprite. `home` is the sprite's, absolute there; `uid` is who works, None: the
    backend's own user. `confined`: in this machine's sandbox; `boxed`: in one on the sprite's machine."""

    home: str
    slug: str
    confined: bool
    boxed: bool
    uid: int | None
    sandbox: SandboxConfig
    network: bool

    @classmethod
    def of(cls, job: Job, note: Note, backend: BackendConfig) -> Ground:
        box = replace(job.repo_config.sandbox, kind="bwrap")
        here = is_here(backend)
        boxed, uid = is_confined(backend) and not here, note.uid if here else None
        return cls(note.home, slug(job.run.repo), here, boxed, uid, box, job.network)

    @property
    def held(self) -> bool:
        """Whether a sandbox holds the work, on whichever machine."""
        return self.confined or self.boxed

    @property
    def sets_up(self) -> bool:
        """Whether the project's set-up can be run there, which fetches things."""
        return not self.confined and (self.network or not self.boxed)

    @property
    def outside(self) -> str:
        """The work's folder on the sprite's machine."""
        return f"{self.home}/work/{self.slug}"

    @property
    def root(self) -> str:
        """The same as the agent sees it; `repo` in it is the checkout."""
        return profile.WORK if self.held else self.outside

    @property
    def cwd(self) -> str:
        """Where a command of ours begins: never in the checkout, where it is not in the sandbox yet."""
        return "." if self.held else f"work/{self.slug}/repo"

    def confine(
        self,
        *,
        seconds: float,
        writable: bool = True,
        has_input: bool = False,
        env: Mapping[str, str] | None = None,
        read_only: Mapping[Path, str] | None = None,
        shown: Sequence[str] = (),
        output_cap: int = 1_000_000,
    ) -> dict[str, Any]:
        """How an errand has a command run over the work: `words` before it, and what these need."""
        read = {str(path): inside for path, inside in (read_only or {}).items()}
        network = self.network and writable
        if not self.held:
            return {"words": []}
        if self.boxed:
            shown = (f"{self.home}/.local", *shown)
            return elsewhere.box(
                self.sandbox,
                self.outside,
                network=network,
                writable=writable,
                env=env,
                read_only=read,
                shown=shown,
            )
        spec = Spec(
            root=self.outside,
            uid=self.uid,
            sandbox=self.sandbox,
            seconds=seconds,
            network=network,
            env=env or {},
            read_only=read,
            writable=writable,
            has_input=has_input,
            output_cap=output_cap,
        )
        return {"words": confined.wrap(spec)}
