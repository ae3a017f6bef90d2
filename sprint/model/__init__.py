"""The one door to a model: a conversation goes in, a whole reply or a named failure comes out."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from sprint.domain import Endpoint
from sprint.errors import ModelError
from sprint.model.connection import Connection, Wait
from sprint.model.faults import Fault, Remedy
from sprint.model.reply import DOCTOR_TELLS_MORE, Reply, ToolCall, named

__all__ = ["ContextOverflow", "ModelError", "Models", "OutOfTime", "Reply", "ToolCall"]

TRIES = 6  # with one endpoint: about half a minute of an outage
TRIES_BEFORE_FALLBACK = 3
LONGEST_BACKOFF = 60.0
PATIENCE_BEFORE_FALLBACK = 20.0  # a server that asks for longer is left for the next one

_log = logging.getLogger(__name__)


class ContextOverflow(ModelError):
    """The conversation is longer than the model's window; `window` in tokens where the server said it."""

    def __init__(self, message: str, window: int | None) -> None:
        super().__init__(message)
        self.window = window


class OutOfTime(ModelError):
    """The deadline came before the answer."""


class Models:
    """Endpoints in order of preference. The one that answered last is asked first.

    `silence_seconds` is the longest wait for the next piece of an answer, the first included; what a server
    sends to keep a connection open is no answer. `deadline` is a time of `time.monotonic()`.
    `backoff_seconds` is the first pause after a failure that may pass; each further one is twice as long.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        silence_seconds: float,
        deadline: float,
        backoff_seconds: float = 1.0,
    ) -> None:
        if not endpoints:
            raise ModelError("no model is configured; set model: in sprint.yaml, or OPENAI_API_KEY")
        self._connections = [Connection(endpoint) for endpoint in endpoints]
        self._silence = silence_seconds
        self._deadline = deadline
        self._backoff = backoff_seconds

    @property
    def endpoint(self) -> Endpoint:
        """The one that would be asked next."""
        return self._connections[0].endpoint

    def complete(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> Reply:
        """Ask for the next assistant message; `tools` in the shape of the API, possibly none.

        Raises ContextOverflow where the messages are too long, OutOfTime at the deadline, and ModelError,
        naming each endpoint and why, where none is usable. A refused endpoint is not asked again.
        """
        for connection in list(self._connections):
            if connection.refusal:
                continue
            try:
                reply = self._ask(connection, messages, tools)
            except Fault as fault:
                is_refused = fault.remedy is Remedy.OTHER
                connection.refusal = fault.reason if is_refused else ""
                connection.trouble = fault.reason
                is_news = is_refused and any(
                    not other.refusal for other in self._connections
                )  # else the error tells
                _log.log(
                    logging.WARNING if is_news else logging.INFO,
                    "%s: %s",
                    named(connection.endpoint),
                    fault.reason,
                )
                continue
            self._prefer(connection)
            return reply
        troubles = "; ".join(
            f"{named(connection.endpoint)}: {connection.refusal or connection.trouble}"
            for connection in self._connections
        )
        raise ModelError(f"no usable model: {troubles}{DOCTOR_TELLS_MORE}")

    def close(self) -> None:
        """Hang up on every server."""
        for connection in self._connections:
            connection.close()

    def __enter__(self) -> Models:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prefer(self, connection: Connection) -> None:
        at = self._connections.index(connection)
        self._connections = self._connections[at:] + self._connections[:at]

    def _ask(
        self,
        connection: Connection,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
    ) -> Reply:
        """Ask one endpoint until it answers or its failure is no passing one. Raises Fault."""
        has_other = any(not other.refusal for other in self._connections if other is not connection)
        tries = TRIES_BEFORE_FALLBACK if has_other else TRIES
        for attempt in range(1, tries + 1):
            self._check_time()
            try:
                return connection.ask(messages, tools, Wait(self._silence, self._deadline))
            except Fault as fault:
                if fault.remedy is Remedy.SHORTEN:
                    raise ContextOverflow(
                        f"{named(connection.endpoint)}: {fault.reason}", fault.window
                    ) from fault
                self._check_time()
                if fault.remedy is Remedy.OTHER or attempt == tries:
                    raise
                if fault.remedy is Remedy.AT_ONCE:
                    continue
                self._pause(fault, attempt, has_other)
                _log.info("%s: %s; trying again", named(connection.endpoint), fault.reason)
        raise AssertionError("unreachable: the last try returns or raises")

    def _pause(self, fault: Fault, attempt: int, has_other: bool) -> None:
        wait = fault.retry_after
        if wait is None:
            wait = min(self._backoff * 2 ** (attempt - 1), LONGEST_BACKOFF) * random.uniform(0.75, 1.25)  # noqa: S311
        if wait > self._deadline - time.monotonic() or (has_other and wait > PATIENCE_BEFORE_FALLBACK):
            raise fault
        time.sleep(wait)

    def _check_time(self) -> None:
        if time.monotonic() >= self._deadline:
            _out_of_time()


def _out_of_time() -> NoReturn:
    raise OutOfTime("the run's time was over before the model had answered; raise limits.minutes")
