"""One endpoint: its connection, what was learnt of its server, and a watchdog that hangs up on silence."""

from __future__ import annotations

import contextlib
import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from sprint import __version__
from sprint.credentials.secret_places import NO_KEY
from sprint.domain import Endpoint
from sprint.errors import ModelTrouble
from sprint.model.event_stream import Event, TooLong, events
from sprint.model.faults import (
    Fault,
    Remedy,
    judge,
    one_line,
    refuses_max_tokens,
    refuses_usage,
    scrubbed,
    status_in,
    text_of,
    wants_reasoning,
    why_lost,
)
from sprint.model.reply import Reply, estimated_usage, usage_of
from sprint.model.stream import Assembly
from sprint.model.transport import Line, Transport, pieces
from sprint.model.watchdog import Wait, Watchdog

_WITHOUT_KEY = "it wants a key, and none is set; set model.api_key_file, model.api_key_env or OPENAI_API_KEY"
_CUT_OFF = "the answer was cut off half-way"
_ANSWER_BYTES = 32_000_000  # of one that is no stream
_ERROR_BYTES = 65_536


class Connection:
    """One endpoint with what was learnt of it. Not for several threads at once.

    `heard` is told, at each piece of an answer, how many characters there are.
    """

    def __init__(self, endpoint: Endpoint, heard: Callable[[int], None]) -> None:
        self.endpoint = endpoint
        self._heard = heard
        self.fault: Fault | None = None  # why it failed last
        self.is_refused = False  # it is not asked again
        self._key = endpoint.key.reveal().strip()
        self._transport: Transport | None = None
        self._ends_well = True  # as far as is known: an answer goes no further than its end mark
        self._asks_usage = True
        self._sends_reasoning = False
        self._limit = "max_tokens"  # what the server calls the longest answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def ask(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        wait: Wait,
        max_tokens: int | None = None,
    ) -> Reply:
        """One request and its whole answer. Raises Fault, whatever went wrong."""
        started = time.monotonic()
        body = msgspec.json.encode(self._body(messages, tools, max_tokens))
        transport, line = self._connected(), Line()
        with Watchdog(line.cut, wait) as watchdog, self._faults(watchdog):
            assembly = self._assembled(transport, line, body, watchdog)
        usage, sent = usage_of(self.endpoint, assembly.counted), len(body.decode())
        return Reply(
            content=assembly.content,
            tool_calls=assembly.tool_calls(),
            finish_reason=assembly.finish_reason,
            usage=usage or estimated_usage(self.endpoint, sent, assembly.size),
            endpoint=self.endpoint,
            reasoning=assembly.reasoning,
            estimated=usage is None,
            seconds=time.monotonic() - started,
            sent=sent,
        )

    def _body(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        max_tokens: int | None,
    ) -> dict[str, Any]:
        if not self._sends_reasoning:
            messages = [
                {key: value for key, value in message.items() if key != "reasoning_content"}
                for message in messages
            ]
        endpoint = self.endpoint
        body = {**endpoint.extra, "model": endpoint.name, "messages": messages, "stream": True}
        if tools:
            body["tools"] = tools
        if endpoint.temperature is not None:
            body["temperature"] = endpoint.temperature
        if limits := [limit for limit in (endpoint.max_tokens, max_tokens) if limit is not None]:
            body[self._limit] = min(limits)
        if self._asks_usage:
            body["stream_options"] = {"include_usage": True}
        return body

    def _assembled(self, transport: Transport, line: Line, body: bytes, watchdog: Watchdog) -> Assembly:
        assembly, has_ended = Assembly(), False
        headers = {
            "accept": "application/json",
            "content-type": "application/json",
            "user-agent": f"sprint/{__version__}",
        }
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        with transport.asked(line, "/chat/completions", headers, body) as response:
            watchdog.alive()
            if not 200 <= response.status < 300:
                raise self._refused(response)
            kind = (response.headers.get("content-type") or "").partition(";")[0].strip().lower()
            body_pieces = pieces(response, watchdog.alive)
            try:
                if kind == "application/json":
                    self._take(_whole(response), assembly, watchdog)
                    has_ended = True
                elif kind == "text/html":
                    page = response.read(_ERROR_BYTES).decode("utf-8", "replace")
                    raise Fault(Remedy.WAIT, f"answers with {text_of(page)}")
                else:
                    has_ended = self._take_in(events(body_pieces), assembly, watchdog)
            except (OSError, http.client.HTTPException, TooLong):
                if not assembly.finish_reason:  # else the answer is there, and is paid for
                    raise
            if has_ended:
                self._read_on(body_pieces, watchdog)
        if watchdog.fired and not (assembly.finish_reason or has_ended):
            raise watchdog.fault
        _check_whole(assembly, has_ended=has_ended)
        return assembly

    def _take_in(self, stream: Iterator[Event], assembly: Assembly, watchdog: Watchdog) -> bool:
        """Whether the answer's own end mark, data: [DONE], came."""
        for event in stream:
            if event.is_done:
                return True
            if event.data is not None:
                self._take(event.data, assembly, watchdog)
            elif event.text and event.is_whole:
                self._take(json.loads(event.text), assembly, watchdog)
            if assembly.is_endless:
                break
        return False

    def _take(self, data: Any, assembly: Assembly, watchdog: Watchdog) -> None:
        if assembly.feed(data):
            watchdog.heard()
            self._heard(assembly.size)
        if isinstance(data, dict) and (failure := data.get("error")):
            text = self._scrubbed(text_of(failure))
            raise judge(status_in(failure), f"an error in place of an answer: {text}", {})
        if assembly.finish_reason:
            watchdog.expect_the_end()

    def _read_on(self, body_pieces: Iterator[bytes], watchdog: Watchdog) -> None:
        """To where the next answer begins, for a new connection costs a handshake each turn."""
        if self._ends_well:
            watchdog.expect_nothing_more()
            self._ends_well = False
            with contextlib.suppress(OSError, http.client.HTTPException):
                self._ends_well = next(body_pieces, None) is None

    @contextlib.contextmanager
    def _faults(self, watchdog: Watchdog) -> Iterator[None]:
        """Turn whatever goes wrong into a Fault."""
        try:
            yield
        except http.client.InvalidURL as error:
            raise _no_address(error) from None
        except (OSError, http.client.HTTPException, TooLong) as error:
            raise self._lost(error, watchdog) from None
        except (ValueError, RecursionError) as error:
            raise Fault(Remedy.WAIT, f"an answer that is no JSON: {self._scrubbed(str(error))}") from None

    def _lost(self, error: Exception, watchdog: Watchdog) -> Fault:
        if watchdog.fired:
            return watchdog.fault
        if isinstance(error, http.client.IncompleteRead):
            return Fault(Remedy.WAIT, _CUT_OFF)
        return Fault(Remedy.WAIT, why_lost(error, self._key))

    def _refused(self, response: http.client.HTTPResponse) -> Fault:
        status, headers = response.status, response.headers
        text = self._scrubbed(text_of(_told(response)))
        if location := headers.get("location"):
            text += f" (to {self._scrubbed(location)})"
        if self._asks_usage and refuses_usage(status, text):
            self._asks_usage = False
            return Fault(Remedy.AT_ONCE, "does not count tokens in a stream")
        if not self._sends_reasoning and wants_reasoning(status, text):
            self._sends_reasoning = True
            return Fault(Remedy.AT_ONCE, "wants its reasoning back")
        if self._limit == "max_tokens" and refuses_max_tokens(status, text):
            self._limit = "max_completion_tokens"
            return Fault(Remedy.AT_ONCE, "has another name for max_tokens")
        if status == 401 and self.endpoint.key == NO_KEY:
            return Fault(Remedy.OTHER, _WITHOUT_KEY, ModelTrouble.REFUSED)
        return judge(status, text, {name.lower(): value for name, value in headers.items()})

    def _scrubbed(self, text: str) -> str:
        return scrubbed(text, self._key)

    def _connected(self) -> Transport:
        """Made when it is first needed. Raises Fault where none can be."""
        if not (self._key.isascii() and self._key.isprintable()):
            reason = "its key holds characters that no HTTP header can; write it anew"
            raise Fault(Remedy.OTHER, reason, ModelTrouble.REFUSED)
        if self._transport is None:
            try:
                self._transport = Transport(self.endpoint.base_url)
            except ValueError as error:
                raise _no_address(error) from None
        return self._transport


def _no_address(error: Exception) -> Fault:
    return Fault(Remedy.OTHER, f"no usable address: {error}", ModelTrouble.UNKNOWN)


def _check_whole(assembly: Assembly, *, has_ended: bool) -> None:
    """Raises Fault for an answer that failed or was cut off; `has_ended`: the server said that it was all."""
    if assembly.finish_reason == "error":
        said = one_line(assembly.content) or "no reason given"
        raise Fault(Remedy.WAIT, f"the server's model failed: {said}")
    if assembly.finish_reason:
        return
    if assembly.is_empty:
        raise Fault(Remedy.WAIT, "the answer ended with no content and no finish reason")
    if not has_ended:
        raise Fault(Remedy.WAIT, _CUT_OFF)


def _whole(response: http.client.HTTPResponse) -> Any:
    """The one answer of a server that does not stream."""
    data = response.read(_ANSWER_BYTES + 1)
    if len(data) > _ANSWER_BYTES:
        raise Fault(Remedy.WAIT, f"an answer of more than {_ANSWER_BYTES // 1_000_000} MB")
    return json.loads(data)


def _told(response: http.client.HTTPResponse) -> Any:
    """What a server says of an error, as JSON where it is that."""
    text = response.read(_ERROR_BYTES).decode("utf-8", "replace").strip()
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return body.get("error", body) if isinstance(body, dict) else body
