"""What calls to the outside are made of: secrets, models, finished commands, what a check of them says."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct, field


class Secret:
    """A token or key that cannot be printed by accident: `reveal()` is the only way to its value."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Endpoint(Struct, frozen=True):
    """A model that can be called: prices in dollars per million tokens, None where unknown.

    `context` in tokens where configured; `source` tells the operator where it was found. `temperature`,
    `max_tokens` (of one answer) and `extra` go with each request; None: the server's own.
    """

    name: str
    base_url: str
    key: Secret
    input_price: float | None = None
    cached_price: float | None = None
    output_price: float | None = None
    context: int | None = None
    source: str = ""
    temperature: float | None = None
    max_tokens: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __hash__(self) -> int:  # without `extra`, which has none
        return hash((self.name, self.base_url, self.key))


class Completed(Struct, frozen=True):
    """A finished command. `killed_by` names the limit that ended it ("timeout", "output", "disk", ...)."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    seconds: float = 0.0
    killed_by: str = ""
    truncated: bool = False

    @property
    def ok(self) -> bool:
        return self.exit_code == 0 and not self.killed_by

    @property
    def out(self) -> str:
        return self.stdout.decode("utf-8", "replace")

    @property
    def err(self) -> str:
        return self.stderr.decode("utf-8", "replace")


class Grade(StrEnum):
    """How a check of the installation came out; only a fault would stop a tick."""

    OK = "ok"
    WARNING = "warn"
    FAULT = "FAIL"


class Finding(Struct, frozen=True):
    """One line of the doctor's: what was looked at, and what it says, with the remedy."""

    grade: Grade
    what: str
    says: str
