"""One endpoint: its client, what was learnt of its server, and a watchdog that hangs up on silence."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from sprint import deferred
from sprint.credentials import NO_KEY
from sprint.domain import Endpoint
from sprint.errors import ModelTrouble
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
)
from sprint.model.reply import Reply, estimated_usage, usage_of
from sprint.model.stream import Assembly
from sprint.model.watchdog import Wait, Watchdog

if TYPE_CHECKING:
    from openai import OpenAI

    from sprint.model.transport import Transport

deferred.defer("openai.types")

_WITHOUT_KEY = "it wants a key, and none is set; set model.api_key_file, model.api_key_env or OPENAI_API_KEY"
_NOBODY_LISTENS = "connection refused: nothing listens there; start the server or set model.base_url"


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
        self._client: tuple[OpenAI, Transport] | None = None
        self._asks_usage = True
        self._sends_reasoning = False
        self._limit = "max_tokens"  # what the server calls the longest answer

    def close(self) -> None:
        if self._client is not None:
            self._client[0].close()
            self._client = None

    def ask(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        wait: Wait,
        max_tokens: int | None = None,
    ) -> Reply:
        """One request and its whole answer. Raises Fault, whatever went wrong."""
        started = time.monotonic()
        body = self._body(messages, tools, max_tokens)
        client, transport = self._connected()
        with Watchdog(transport.hang_up, wait) as watchdog, self._faults(watchdog):
            transport.heard, transport.at_end = watchdog.alive, watchdog.expect_nothing_more
            assembly = self._assembled(client, transport, body, watchdog)
        usage, sent = usage_of(self.endpoint, assembly.counted), _characters(body)
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

    def _assembled(
        self, client: OpenAI, transport: Transport, body: dict[str, Any], watchdog: Watchdog
    ) -> Assembly:
        import httpx2
        from openai import APIConnectionError, Stream

        assembly = Assembly()
        stream = client.post(
            "/chat/completions", cast_to=object, body=body, stream=True, stream_cls=Stream[object]
        )
        kind = stream.response.headers.get("content-type", "").partition(";")[0].strip().lower()
        with contextlib.closing(stream):
            try:
                self._take_in(_events(stream, kind), assembly, watchdog)
            except (APIConnectionError, httpx2.HTTPError, httpx2.StreamError, OSError):
                if not assembly.finish_reason:  # else the answer is there, and is paid for
                    raise
        if watchdog.fired and not (assembly.finish_reason or transport.has_ended):
            raise watchdog.fault
        _check_whole(assembly, has_ended=transport.has_ended or kind == "application/json")
        return assembly

    def _take_in(self, events: Iterator[Any], assembly: Assembly, watchdog: Watchdog) -> None:
        for event in events:
            if assembly.feed(event):
                watchdog.heard()
                self._heard(assembly.size)
            if isinstance(event, dict) and event.get("error"):
                raise judge(status_in(event["error"]), self._scrubbed(text_of(event)), {})
            if assembly.is_endless:
                break
            if assembly.finish_reason:
                watchdog.expect_the_end()

    @contextlib.contextmanager
    def _faults(self, watchdog: Watchdog) -> Iterator[None]:
        """Turn whatever the client raises into a Fault."""
        import httpx2
        import openai

        try:
            yield
        except openai.APIStatusError as error:
            raise self._refused(error) from None
        except openai.APIConnectionError as error:
            raise self._lost(error, watchdog) from None
        except openai.APIError as error:
            text = self._scrubbed(text_of(error.body or error.message))
            raise judge(status_in(error.body), f"an error in place of an answer: {text}", {}) from None
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, OSError) as error:
            raise self._lost(error, watchdog) from None
        except (openai.OpenAIError, ValueError) as error:
            raise Fault(Remedy.WAIT, f"an answer that is no JSON: {self._scrubbed(str(error))}") from None

    def _lost(self, error: Exception, watchdog: Watchdog) -> Fault:
        if watchdog.fired:
            return watchdog.fault
        bottom = _bottom(error)
        if isinstance(bottom, ConnectionRefusedError):
            return Fault(Remedy.WAIT, _NOBODY_LISTENS)
        return Fault(Remedy.WAIT, self._scrubbed(str(bottom) or type(bottom).__name__))

    def _refused(self, error: Any) -> Fault:
        status = error.status_code
        text = self._scrubbed(text_of(error.body if error.body is not None else error.message))
        if location := error.response.headers.get("location"):
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
        return judge(status, text, error.response.headers)

    def _scrubbed(self, text: str) -> str:
        return scrubbed(text, self._key)

    def _connected(self) -> tuple[OpenAI, Transport]:
        """The client, made when it is first needed. Raises Fault where none can be."""
        if self._client is not None:
            return self._client
        import httpx2
        from openai import OpenAI

        from sprint.model.transport import Transport

        if not (self._key.isascii() and self._key.isprintable()):
            reason = "its key holds characters that no HTTP header can; write it anew"
            raise Fault(Remedy.OTHER, reason, ModelTrouble.REFUSED)
        transport = Transport(self._key)
        url, key = self.endpoint.base_url, self._key or "none"
        try:
            client = OpenAI(api_key=key, base_url=url, max_retries=0, http_client=transport.http)
        except (httpx2.InvalidURL, ValueError) as error:
            raise Fault(Remedy.OTHER, f"no usable address: {error}", ModelTrouble.UNKNOWN) from None
        self._client = (client, transport)
        return self._client


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
        raise Fault(Remedy.WAIT, "the answer was cut off half-way")


def _events(stream: Any, kind: str) -> Iterator[Any]:
    """The events of a stream, or the one answer of a server that does not stream."""
    if kind == "application/json":
        yield json.loads(stream.response.read())
    elif kind == "text/html":
        raise Fault(Remedy.WAIT, f"answers with {text_of(stream.response.read().decode('utf-8', 'replace'))}")
    else:
        yield from stream


def _bottom(error: BaseException) -> BaseException:
    """What is at the bottom of a chain of wrapped errors."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def _characters(body: Mapping[str, Any]) -> int:
    return len(msgspec.json.encode(body).decode())
