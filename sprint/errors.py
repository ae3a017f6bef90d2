"""The operator's mistakes and the outside world's failures, one sentence and one exit code each."""


class SprintError(Exception):
    """An expected error: the message names the thing, the reason and the remedy, in one line."""

    exit_code = 2


class ConfigError(SprintError):
    """Wrong usage or configuration."""


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


class ModelError(SprintError):
    """No usable model."""

    exit_code = 5


class Stopped(SprintError):
    """The runner itself was told to stop; what is under way rests until a later tick."""

    exit_code = 130


class Busy(SprintError):
    """Another tick holds the lock; not a fault."""

    exit_code = 0
