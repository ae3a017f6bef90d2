"""`sprint sprite`: what an operator does with sprites by hand."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from sprint import files
from sprint.errors import ConfigError
from sprint.sprite import audit
from sprint.sprite.backend import Backend, BackendError, Missing, SpriteState
from sprint.sprite.composition import MANAGED_BY, OURS
from sprint.sprite.visit import Visit
from sprint.terminal_text import decoded, readable

_EXEC_SECONDS = 3600.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Operator:
    """A backend, and where to say what was asked of it and what was done."""

    backend: Backend
    results: Path
    out: TextIO

    def listing(self) -> int:
        sprites = sorted(self.backend.list(), key=lambda one: one.name)
        if not sprites:
            _log.warning("%s has no sprite; `sprint sprite provision NAME` makes one", self.backend.name)
        for sprite in sprites:
            labels = " ".join(f"{key}={value}" for key, value in sorted(sprite.labels.items()))
            made = f"{sprite.created:%Y-%m-%d %H:%M}" if sprite.created else "-"
            self._print(f"{sprite.name:24} {sprite.state.value:8} {made:16} {labels}")
        return 0

    def provision(self, sprite: str, labels: Mapping[str, str]) -> int:
        self.backend.create(sprite, {MANAGED_BY: OURS, **labels})
        self._note("create", sprite)
        self._print(f"{sprite} is there")
        return 0

    def exec(self, sprite: str, argv: Sequence[str]) -> int:
        """As the command there: its output, its exit code."""
        if not argv:
            raise ConfigError("say what to run: sprint sprite exec NAME -- COMMAND ...")
        given = b"" if sys.stdin.isatty() else sys.stdin.buffer.read()
        done = self.backend.exec(sprite, argv, timeout=_EXEC_SECONDS, stdin=given)
        self.out.write(decoded(done.stdout))
        sys.stderr.write(decoded(done.stderr))
        return done.exit_code

    def put(self, sprite: str, source: Path, path: str) -> int:
        with files.refusing("read", source):
            data, mode = source.read_bytes(), source.stat().st_mode & 0o777
        self.backend.put(sprite, path, data, mode=mode)
        self._print(f"{path}: {len(data)} bytes")
        return 0

    def get(self, sprite: str, path: str, target: Path) -> int:
        data = self.backend.get(sprite, path)
        files.replace(target, data)
        self._print(f"{target}: {len(data)} bytes")
        return 0

    def checkpoint(self, sprite: str, comment: str) -> int:
        self._print(f"{sprite}: {self.backend.checkpoint(sprite, comment).id}")
        return 0

    def checkpoints(self, sprite: str) -> int:
        for one in self.backend.checkpoints(sprite):
            made = f"{one.created:%Y-%m-%d %H:%M:%S}" if one.created else "-"
            self._print(f"{one.id:12} {made:20} {one.comment}")
        return 0

    def restore(self, sprite: str, checkpoint: str, *, force: bool = False) -> int:
        self._refuse_while_held(sprite, force=force)
        self.backend.restore(sprite, checkpoint)
        self._note("restore", sprite, checkpoint)
        self._print(f"{sprite} is as it was at {checkpoint}")
        return 0

    def destroy(self, sprite: str, *, yes: bool, force: bool = False) -> int:
        if self.backend.state(sprite) is SpriteState.GONE:
            raise Missing(f"{self.backend.name}: there is no sprite {sprite}")
        self._refuse_while_held(sprite, force=force)
        if not yes:
            if not sys.stdin.isatty():
                raise ConfigError(f"nobody to ask whether to destroy {sprite}: say so with --yes")
            if input(f"Destroy {sprite} with all that is on it? Type its name: ").strip() != sprite:
                raise ConfigError(f"{sprite} was not destroyed")
        self.backend.destroy(sprite)
        self._note("destroy", sprite)
        self._print(f"{sprite} is gone")
        return 0

    def _refuse_while_held(self, sprite: str, *, force: bool) -> None:
        """What a run made there, and nobody has collected, would be lost; one that is away is not asked."""
        held = None
        if not force:
            with contextlib.suppress(BackendError):
                held = Visit(self.backend, sprite).ask("probe", programs=[])["reservation"]
        if held and held["seconds_left"] > 0:
            raise ConfigError(
                f"{sprite} has run {held['run'] or '?'}, whose work is there: `sprint stop` it or let it be "
                "settled first, or say --force"
            )

    def _print(self, line: str) -> None:
        """What others wrote in it is one line of text, its columns kept."""
        print(readable(" ".join(line.splitlines())), file=self.out)

    def _note(self, what: str, sprite: str, detail: str = "") -> None:
        audit.note(self.results, self.backend.name, what, sprite, detail)
