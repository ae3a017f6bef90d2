"""The operator's mistakes and the outside world's failures, one sentence and one exit code each."""

import sys
from enum import StrEnum


class SprintError(Exception):
    """An expected error: the message names the thing, the reason and the remedy, in one line."""

    exit_code = 2


class ConfigError(SprintError):
    """Wrong usage or configuration."""


def how_to_install(extra: str) -> str:
    """The command that adds an extra where this very sprint is installed, in a pipx of one's own as well."""
    return f"{sys.executable} -m pip install 'sprint-backlog-burner[{extra}]'"


class ForgeError(SprintError):
    """The forge, its git server or the credentials for them failed.

    `status` is the HTTP status where there was an answer, else None.
    """

    exit_code = 3

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class SandboxError(SprintError):
    """No usable sandbox: nothing may run."""

    exit_code = 4


class ModelTrouble(StrEnum):
    """What keeps a model from being used. All of it is the operator's or the provider's to mend."""

    UNSET = "unset"  # none is configured, and none is found
    AWAY = "away"  # no connection, an answer of 5xx, a cut stream, garbage
    BUSY = "busy"  # it asks to be left alone for a while
    SLOW = "slow"  # no first token in time
    REFUSED = "refused"  # the key or the account
    QUOTA = "quota"
    UNKNOWN = "unknown"  # no such model, or nothing like it at the address
    REQUEST = "request"  # what is asked of it, such as a parameter that it does not take
    NO_TOOLS = "no_tools"
    WINDOW = "window"  # too small, or cut without a word

    @property
    def words(self) -> str:
        """Words of ours, fit for a forge: without address, name and what the server said."""
        return _WORDS[self]


_WORDS = {
    ModelTrouble.UNSET: "no model is set up",
    ModelTrouble.AWAY: "the model's server is away",
    ModelTrouble.BUSY: "the model's server is busy",
    ModelTrouble.SLOW: "the model does not begin to answer in time",
    ModelTrouble.REFUSED: "the model's server refuses the key",
    ModelTrouble.QUOTA: "the model's quota is used up",
    ModelTrouble.UNKNOWN: "the model's server knows no such model",
    ModelTrouble.REQUEST: "the model's server does not take the request",
    ModelTrouble.NO_TOOLS: "the model calls no tools",
    ModelTrouble.WINDOW: "the model's context is too small",
}


class ModelError(SprintError):
    """No usable model. `kind` says why; `public` says it in words of ours, fit for a forge.

    The message is for the operator alone: it names the server and quotes it. `retry_after` in seconds, where
    a busy server told it.
    """

    exit_code = 5

    def __init__(
        self, message: str, kind: ModelTrouble = ModelTrouble.UNSET, *, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.retry_after = retry_after

    @property
    def public(self) -> str:
        return self.kind.words


class Stopped(SprintError):
    """The runner itself was told to stop; what is under way rests until a later tick."""

    exit_code = 130


class EndedEarly(SprintError):
    """Something was ended by whoever watches it; the message is their reason."""


class Busy(SprintError):
    """Another tick holds the lock; not a fault."""

    exit_code = 0
