"""What a place where sprites live can do, and the three ways in which it fails."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeVar

from sprint.errors import ConfigError, SprintError

T = TypeVar("T")

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
FILE_CAP = 256 << 20  # bytes of one file, either way
_TRIES = 3
_NO_USE = re.compile("no space|denied|read-only|not permitted", re.IGNORECASE)


class BackendError(SprintError):
    """A backend did not do what it was asked for. The message names backend, sprite and remedy."""

    exit_code = 6


class Unreachable(BackendError):
    """No answer, or one cut off: what was asked for may have been done all the same."""


class Refused(BackendError):
    """It answers, and does not want to: no right, no such sprite or file, no room, a name that is taken."""


class Missing(Refused):
    """There is no such sprite, file or checkpoint."""


class Failed(BackendError):
    """It began, and it went wrong."""


class SpriteState(StrEnum):
    UP = "up"
    ASLEEP = "asleep"  # woken by the next command
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Sprite:
    """`created` as the backend's clock had it, None where it does not say."""

    name: str
    state: SpriteState
    labels: Mapping[str, str] = field(default_factory=dict)
    created: datetime | None = None


@dataclass(frozen=True)
class Done:
    """A command that ended there. Output beyond 10 MB is cut."""

    exit_code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True)
class Checkpoint:
    """`id` belongs to its sprite alone."""

    id: str
    comment: str = ""
    created: datetime | None = None


class Backend(Protocol):
    """One place where sprites live. Paths are relative to the sprite's home folder, or absolute there.

    Each call raises Unreachable, Refused or Failed. `list`, `state`, `get`, `put`, `label` and `checkpoints`
    may be repeated, and are; after the others a look tells what came of one that was Unreachable.
    """

    kind: str
    name: str
    at_once: int  # how many calls it bears at the same time

    def create(self, sprite: str, labels: Mapping[str, str]) -> None:
        """A new one, whose home is empty. Refused where there is one of that name."""

    def label(self, sprite: str, labels: Mapping[str, str]) -> None:
        """In place of all that it had."""

    def list(self) -> Sequence[Sprite]: ...

    def state(self, sprite: str) -> SpriteState:
        """UNKNOWN, never GONE, where nobody can tell. Wakes nothing."""

    def exec(
        self,
        sprite: str,
        argv: Sequence[str],
        *,
        timeout: float,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
    ) -> Done:
        """Run a command in the home folder, with PATH, HOME and `env`. Failed where it has not ended after
        `timeout` seconds; it is ended there, if it can be.

        Others on that machine may read arguments and environment: secrets go by `put` or `stdin`.
        """

    def put(self, sprite: str, path: str, data: bytes, *, mode: int = 0o600) -> None:
        """Whole or not at all; folders above it are made. Refused beyond FILE_CAP."""

    def get(self, sprite: str, path: str, *, cap: int = FILE_CAP) -> bytes:
        """Missing where there is no such file, Refused where it has more than `cap` bytes."""

    def checkpoint(self, sprite: str, comment: str = "") -> Checkpoint:
        """What home holds now."""

    def checkpoints(self, sprite: str) -> Sequence[Checkpoint]:
        """The oldest first."""

    def restore(self, sprite: str, checkpoint: str) -> None:
        """Home as it was; what was written since is lost. Missing where the sprite has no such checkpoint."""

    def destroy(self, sprite: str) -> None:
        """With all that is on it. No fault where there is none."""


def shown(argv: Sequence[str]) -> str:
    """A command as errors name it: one line, and of a script of ours no more than what runs it."""
    words = argv[:1] if argv[1:2] in (["-c"], ("-c",)) else argv
    return " ".join(shlex.join(words).split())[:80]


def checked(sprite: str) -> str:
    """Raises ConfigError for a name that no backend takes."""
    if not NAME.fullmatch(sprite):
        raise ConfigError(
            f"{sprite!r} is no name for a sprite: lower-case letters, digits and hyphens, at most 63"
        )
    return sprite


def check_size(path: str, data: bytes) -> None:
    """Raises Refused for more than a file may have."""
    if len(data) > FILE_CAP:
        raise Refused(f"{path}: more than the {FILE_CAP >> 20} MB that one file may have")


def kind_of_failure(said: str) -> type[BackendError]:
    """By the last words of a command: Refused where no other try helps."""
    return Refused if _NO_USE.search(said) else Failed


def repeated(ask: Callable[[], T], *, pause: float = 0.0) -> T:
    """What `ask` returns, asked again where it was Unreachable, after `pause` seconds: for what may be done
    twice. Raises what the last try raised."""
    for _ in range(_TRIES - 1):
        try:
            return ask()
        except Unreachable:
            time.sleep(pause)
    return ask()
