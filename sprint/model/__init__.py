"""The one door to a model: a conversation goes in, a whole reply or a named failure comes out."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from sprint import health
from sprint.domain import Endpoint
from sprint.errors import EndedEarly, ModelError, ModelTrouble, Stopped
from sprint.model.connection import Connection
from sprint.model.cutting import CutDetector
from sprint.model.faults import Fault, Remedy
from sprint.model.reply import DOCTOR_TELLS_MORE, Reply, ToolCall, named
from sprint.model.watchdog import Wait

__all__ = [
    "ContextCut",
    "ContextOverflow",
    "ModelError",
    "ModelTrouble",
    "Models",
    "OutOfTime",
    "Reply",
    "ToolCall",
]

TRIES = 6  # with one endpoint: about half a minute of an outage
TRIES_BEFORE_FALLBACK = 3
LONGEST_BACKOFF = 60.0
_LOOK_SECONDS = 0.5
PATIENCE_BEFORE_FALLBACK = 20.0  # a server that asks for longer is left for the next one
_SECONDS_BETWEEN_NOTES = 60.0

_log = logging.getLogger(__name__)


class ContextOverflow(ModelError):
    """The conversation is longer than the model's window; `window` in tokens where the server said it."""

    def __init__(self, message: str, window: int | None) -> None:
        super().__init__(message, ModelTrouble.WINDOW)
        self.window = window


class ContextCut(ModelError):
    """The server cuts, without a word, what is longer than about `window` tokens."""

    def __init__(self, message: str, window: int) -> None:
        super().__init__(message, ModelTrouble.WINDOW)
        self.window = window


class OutOfTime(ModelError):
    """The deadline came before the answer. No server is at fault."""


class Models:
    """Endpoints in order of preference. The one that answered last is asked first.

    `first_token_seconds` is the longest wait for an answer to begin without a sign of life, and
    `silence_seconds` that between two pieces of it; what a server sends to keep a connection open is a sign
    of life, but no piece. `deadline` is a time of `time.monotonic()`. `backoff_seconds` is the first pause
    after a failure that may pass; each further one is twice as long. `tries` bounds how often one request is
    made of an endpoint. `watch` returns why no answer is wanted any more, or "": it is asked twice a second.
    With `results`, what comes of asking is remembered in results/health/, and those that are known to refuse
    are asked last. `heard` is told, at each piece of an answer, how many characters there are.
    """

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        *,
        first_token_seconds: float,
        silence_seconds: float,
        deadline: float,
        backoff_seconds: float = 1.0,
        tries: int = TRIES,
        results: Path | None = None,
        watch: Callable[[], str] = lambda: "",
        heard: Callable[[int], None] = lambda characters: None,
    ) -> None:
        if not endpoints:
            raise ModelError("no model is configured; set model: in sprint.yaml, or OPENAI_API_KEY")
        if results is not None:
            endpoints = health.refusing_last(results, endpoints)
        self._connections = [Connection(endpoint, heard) for endpoint in endpoints]
        self._watch = watch
        self._wait = Wait(first_token_seconds, silence_seconds, deadline, self._is_unwanted)
        self._backoff = backoff_seconds
        self._tries = tries
        self._results = results
        self._noted_at = float("-inf")
        self._detectors: dict[Endpoint, CutDetector] = {}

    @property
    def endpoint(self) -> Endpoint:
        """The one that would be asked next."""
        return self._connections[0].endpoint

    def complete(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        *,
        max_tokens: int | None = None,
    ) -> Reply:
        """Ask for the next assistant message; `tools` in the shape of the API, possibly none.

        `max_tokens` bounds the answer further than the endpoint's own does. Raises ContextOverflow where the
        messages are too long, ContextCut where the server cuts them, OutOfTime at the deadline, EndedEarly
        where nobody waits any more, and ModelError, naming each endpoint and why, where none is usable. A
        refused one is not asked again.
        """
        for connection in list(self._connections):
            if connection.is_refused:
                continue
            try:
                reply = self._ask(connection, messages, tools, max_tokens)
            except Fault as fault:
                self._put_aside(connection, fault)
                continue
            self._check_uncut(reply)
            self._note_fit(connection.endpoint)
            self._prefer(connection)
            return reply
        raise self._none_usable()

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

    def _put_aside(self, connection: Connection, fault: Fault) -> None:
        connection.fault = fault
        connection.is_refused = fault.remedy is Remedy.OTHER
        has_other = any(not other.is_refused for other in self._connections)  # else the error tells
        level = logging.WARNING if connection.is_refused and has_other else logging.INFO
        _log.log(level, "%s: %s", named(connection.endpoint), fault.reason)
        self._noted_at = float("-inf")  # whatever comes next is news
        if self._results is not None:
            health.note_model(
                self._results, connection.endpoint, fault.kind, fault.reason, retry_after=fault.retry_after
            )

    def _none_usable(self) -> ModelError:
        """Its kind is that of the first endpoint, which is the one that is wanted."""
        faults = [(other.endpoint, other.fault) for other in self._connections if other.fault]
        said = "; ".join(f"{named(endpoint)}: {fault.reason}" for endpoint, fault in faults)
        first = faults[0][1]
        return ModelError(
            f"no usable model: {said}{DOCTOR_TELLS_MORE}", first.kind, retry_after=first.retry_after
        )

    def _note_fit(self, endpoint: Endpoint) -> None:
        if self._results is not None and time.monotonic() - self._noted_at >= _SECONDS_BETWEEN_NOTES:
            self._noted_at = time.monotonic()
            health.note_model(self._results, endpoint)

    def _check_uncut(self, reply: Reply) -> None:
        if reply.estimated:
            return
        detector = self._detectors.setdefault(reply.endpoint, CutDetector())
        tokens = reply.usage.prompt_tokens
        if not detector.is_cut(reply.sent, tokens):
            return
        reason = (
            f"its server has begun to cut the conversation (it counts {tokens} tokens, and no more as it "
            "grows); give it a larger context (Ollama: OLLAMA_CONTEXT_LENGTH), or set model.context"
        )
        if self._results is not None:
            health.note_model(self._results, reply.endpoint, ModelTrouble.WINDOW, reason)
        raise ContextCut(f"{named(reply.endpoint)}: {reason}", tokens)

    def _ask(
        self,
        connection: Connection,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        max_tokens: int | None,
    ) -> Reply:
        """Ask one endpoint until it answers or its failure is no passing one. Raises Fault."""
        has_other = any(not other.is_refused for other in self._connections if other is not connection)
        tries = min(TRIES_BEFORE_FALLBACK, self._tries) if has_other else self._tries
        attempt = 1
        while True:
            self._check_wanted()
            try:
                return connection.ask(messages, tools, self._wait, max_tokens)
            except Fault as fault:
                if fault.remedy is Remedy.SHORTEN:
                    raise ContextOverflow(
                        f"{named(connection.endpoint)}: {fault.reason}", fault.window
                    ) from fault
                self._check_wanted()
                if fault.remedy is Remedy.AT_ONCE:  # each of them once
                    continue
                if fault.remedy in (Remedy.OTHER, Remedy.LATER) or attempt == tries:
                    raise
                self._pause(fault, attempt, has_other)
                attempt += 1
                _log.info("%s: %s; trying again", named(connection.endpoint), fault.reason)

    def _pause(self, fault: Fault, attempt: int, has_other: bool) -> None:
        wait = fault.retry_after
        if wait is None:
            wait = min(self._backoff * 2 ** (attempt - 1), LONGEST_BACKOFF) * random.uniform(0.75, 1.25)  # noqa: S311
        if wait > self._wait.deadline - time.monotonic() or (has_other and wait > PATIENCE_BEFORE_FALLBACK):
            raise fault
        until = time.monotonic() + wait
        while (left := until - time.monotonic()) > 0 and not self._is_unwanted():
            time.sleep(min(left, _LOOK_SECONDS))

    def _is_unwanted(self) -> bool:
        try:
            return bool(self._watch())
        except Stopped:  # which `_check_wanted` raises again
            return True

    def _check_wanted(self) -> None:
        if reason := self._watch():
            raise EndedEarly(reason)
        if time.monotonic() >= self._wait.deadline:
            _out_of_time()


def _out_of_time() -> NoReturn:
    raise OutOfTime("the time was over before the model had answered", ModelTrouble.SLOW)
