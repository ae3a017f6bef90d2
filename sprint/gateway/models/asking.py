"""One request, asked of one server, its answer passed on as it comes."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sprint import json_file
from sprint.errors import ModelTrouble, SprintError
from sprint.gateway.exchange import Exchange
from sprint.gateway.models.dialect import Heard
from sprint.gateway.models.provider import Provider
from sprint.gateway.models.request import Request
from sprint.model import event_stream
from sprint.model.event_stream import Event
from sprint.model.faults import Fault, Remedy, judge, refuses_usage, scrubbed, status_in, text_of, why_lost
from sprint.model.transport import Line, pieces
from sprint.model.watchdog import Wait, Watchdog

_ERROR_BYTES = 65_536
_ANSWER_BYTES = 32_000_000
_PASSED_BACK = ("retry-after", "retry-after-ms", "x-should-retry")
_SHORTEST_KEY = 8  # local servers take any word as a key


@dataclass(frozen=True)
class Refusal:
    """A server's own answer that is no answer, as far as whoever asked may see it."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Failed(Exception):
    """The fault behind it, and the server's own words, None where they are not for passing on. `is_cut`: we
    hung up, not the server."""

    def __init__(self, fault: Fault, refusal: Refusal | None = None, *, is_cut: bool = False) -> None:
        super().__init__(fault.reason)
        self.fault = fault
        self.refusal = refusal
        self.is_cut = is_cut


class Asking:
    """Asks one server once. What was heard of its answer is in `heard`, whatever comes of it.

    `ended` is called once the answer is whole, and before its end is passed on: who asked may act on that at
    once, and all that counts must have been counted by then.
    """

    def __init__(
        self, provider: Provider, request: Request, path: str, ended: Callable[[Heard], None]
    ) -> None:
        self.heard = Heard()
        self._ended = ended
        self.has_told_end = False
        self._provider = provider
        self._request = request
        self._rules = request.rules
        self._path = path
        self._key = provider.endpoint.key.reveal().strip()

    def pass_on(self, exchange: Exchange, wait: Wait) -> None:
        """Raises Failed, before or after the answer was begun, and ClientGone."""
        line = Line()
        body = self._request.for_endpoint(self._provider.endpoint, asks_usage=self._provider.asks_usage)
        headers = {"content-type": "application/json", **self._request.headers}
        with Watchdog(line.cut, wait) as watchdog:
            try:
                with self._provider.asked(line, self._path, headers, body) as response:
                    watchdog.alive()
                    if response.status != 200:
                        raise self._refused(response)
                    self.heard.has_begun = True
                    self._answered(exchange, response, watchdog)
            except (OSError, http.client.HTTPException, event_stream.TooLong) as error:
                if not self.heard.has_ended:  # else the answer is there, and is paid for
                    raise Failed(self._lost(error, watchdog), is_cut=watchdog.fired) from None
                self._finish(exchange)

    def _answered(self, exchange: Exchange, response: http.client.HTTPResponse, watchdog: Watchdog) -> None:
        kind = (response.headers.get("content-type") or "").partition(";")[0].strip().lower()
        if kind == "text/html":
            text = text_of(response.read(_ERROR_BYTES).decode("utf-8", "replace"))
            raise Failed(Fault(Remedy.WAIT, f"answers with {text}"))
        if not self._request.is_stream or kind == "application/json":
            self._whole(exchange, response)
            return
        for event in event_stream.events(pieces(response)):
            self._take(event, exchange, watchdog)
        self._check_whole(watchdog)
        self._finish(exchange)

    def _take(self, event: Event, exchange: Exchange, watchdog: Watchdog) -> None:
        heard, before = self.heard, self.heard.pieces
        if event.data is not None:
            self._rules.take(event.data, heard)
        heard.has_ended = heard.has_ended or (event.is_done and heard.pieces > 0)
        if heard.pieces > before:
            watchdog.heard()
        watchdog.alive()
        if heard.has_ended:
            watchdog.expect_the_end()
        if heard.failure is not None:
            raise self._failed()
        if heard.has_ended and (event.is_done or not self._rules.HAS_MARK):
            self._tell_end()
        if event.data is not None and self._request.hides_usage and self._rules.is_only_usage(event.data):
            return
        if not exchange.started:
            if event.data is None and not event.raw.startswith(b":"):
                return  # no event of any API
            exchange.start(200, {"content-type": "text/event-stream", "cache-control": "no-cache"})
        exchange.write(self._without_key(event.raw))

    def _whole(self, exchange: Exchange, response: http.client.HTTPResponse) -> None:
        data = response.read(_ANSWER_BYTES + 1)
        answer = json_file.parsed(data) if len(data) <= _ANSWER_BYTES else None
        if answer is None:
            said = scrubbed(text_of(data[:500].decode("utf-8", "replace")), self._key)
            raise Failed(Fault(Remedy.WAIT, f"an answer that is no JSON: {said}"))
        self._rules.take_whole(answer, self.heard)
        if self.heard.failure:
            raise self._failed()
        self._tell_end()
        exchange.answer(200, self._without_key(data), {"content-type": "application/json"})

    def _finish(self, exchange: Exchange) -> None:
        self._tell_end()
        exchange.finish()

    def _tell_end(self) -> None:
        if not self.has_told_end:
            self.has_told_end = True
            self._ended(self.heard)

    def _check_whole(self, watchdog: Watchdog) -> None:
        heard = self.heard
        if heard.has_ended:
            return
        if watchdog.fired:
            raise Failed(watchdog.fault, is_cut=True)
        if not heard.pieces:
            raise Failed(Fault(Remedy.WAIT, "the answer ended with no content"))
        raise Failed(Fault(Remedy.WAIT, "the answer was cut off half-way"))

    # --- what went wrong

    def _failed(self) -> Failed:
        failure = self.heard.failure
        text = scrubbed(text_of({"error": failure}), self._key)
        return Failed(judge(status_in(failure), f"an error in place of an answer: {text}", {}))

    def _refused(self, response: http.client.HTTPResponse) -> Failed:
        status = response.status
        data = response.read(_ERROR_BYTES)
        told = json_file.parsed(data)
        text = text_of(told if told is not None else data.decode("utf-8", "replace"))
        if self._provider.asks_usage and refuses_usage(status, text):
            self._provider.asks_usage = False
            return Failed(Fault(Remedy.AT_ONCE, "does not count tokens in a stream"))
        headers = {name.lower(): value for name, value in response.headers.items()}
        fault = judge(status, scrubbed(text, self._key), headers)
        if told is None or status < 400 or fault.kind in (ModelTrouble.REFUSED, ModelTrouble.QUOTA):
            return Failed(fault)
        passed = {name: headers[name] for name in _PASSED_BACK if name in headers}
        return Failed(fault, Refusal(status, self._without_key(data), passed))

    def _lost(self, error: Exception, watchdog: Watchdog) -> Fault:
        if watchdog.fired:
            return watchdog.fault
        return Fault(Remedy.WAIT, why_lost(error, self._key))

    def _without_key(self, data: bytes) -> bytes:
        """Some servers show what they were sent."""
        return data.replace(self._key.encode(), b"***") if len(self._key) >= _SHORTEST_KEY else data


def unwanted(exchange: Exchange, is_over: Callable[[], bool]) -> Callable[[], bool]:
    """Whether nobody waits for the answer any more, or it may not go on."""

    def look() -> bool:
        try:
            return exchange.is_gone() or is_over()
        except SprintError:  # it cannot be told: then it must not cost any more
            return True

    return look
