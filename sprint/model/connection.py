"""The line to one endpoint: a client of its own, and a watchdog that hangs up on silence."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sprint.domain import Endpoint
from sprint.model.faults import (
    Fault,
    Remedy,
    judge,
    one_line,
    refuses_usage,
    scrubbed,
    status_in,
    text_of,
    wants_reasoning,
)
from sprint.model.reply import Reply, estimated_usage, usage_of
from sprint.model.stream import Assembly

if TYPE_CHECKING:
    import httpx2
    from openai import OpenAI

_CONNECT_SECONDS = 15.0
_SECONDS_FOR_USAGE = 10.0
_SENT_HEADERS = frozenset(
    {
        "host",
        "accept",
        "accept-encoding",
        "connection",
        "content-type",
        "content-length",
        "transfer-encoding",
        "user-agent",
    }
)


@dataclass(frozen=True)
class Wait:
    """How long an answer may take: `silence` seconds without a piece of it, and until `deadline`."""

    silence: float
    deadline: float


class Connection:
    """One endpoint with what was learnt of it. Not for several threads at once."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.refusal = ""  # why it is not asked again
        self.trouble = ""  # why it last failed
        self._key = endpoint.key.reveal().strip()
        self._client: OpenAI | None = None
        self._socket: socket.socket | None = None
        self._asks_usage = True
        self._sends_reasoning = False
        self._ends_without_reason = False

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def ask(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], wait: Wait
    ) -> Reply:
        """One request and its whole answer. Raises Fault, whatever went wrong."""
        started = time.monotonic()
        body = self._body(messages, tools)
        with _Watchdog(self._hang_up, wait) as watchdog, self._faults(watchdog):
            assembly = self._assembled(body, watchdog)
        usage = usage_of(self.endpoint, assembly.counted)
        return Reply(
            content=assembly.content,
            tool_calls=assembly.tool_calls(),
            finish_reason=assembly.finish_reason,
            usage=usage or estimated_usage(self.endpoint, _characters(body), assembly.size),
            endpoint=self.endpoint,
            reasoning=assembly.reasoning,
            estimated=usage is None,
            seconds=time.monotonic() - started,
        )

    def _body(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        if not self._sends_reasoning:
            messages = [
                {key: value for key, value in message.items() if key != "reasoning_content"}
                for message in messages
            ]
        body: dict[str, Any] = {"model": self.endpoint.name, "messages": messages, "stream": True}
        if tools:
            body["tools"] = tools
        if self._asks_usage:
            body["stream_options"] = {"include_usage": True}
        return body

    def _assembled(self, body: dict[str, Any], watchdog: _Watchdog) -> Assembly:
        from openai import Stream

        assembly = Assembly()
        stream = self._connected().post(
            "/chat/completions", cast_to=object, body=body, stream=True, stream_cls=Stream[object]
        )
        with contextlib.closing(stream):
            for event in _events(stream):
                if assembly.feed(event):
                    watchdog.heard()
                if isinstance(event, dict) and event.get("error"):
                    raise judge(status_in(event["error"]), self._scrubbed(text_of(event)), {})
                if assembly.is_endless:
                    break
                if assembly.finish_reason:
                    watchdog.expect_the_end()
        if watchdog.fired and not assembly.finish_reason:
            raise Fault(Remedy.WAIT, watchdog.complaint)
        self._check_whole(assembly)
        return assembly

    def _check_whole(self, assembly: Assembly) -> None:
        if assembly.finish_reason == "error":
            raise Fault(
                Remedy.WAIT, f"the server's model failed: {one_line(assembly.content) or 'no reason given'}"
            )
        if assembly.finish_reason:
            return
        if assembly.is_empty:
            raise Fault(Remedy.WAIT, "the answer ended with no content and no finish reason")
        if assembly.counted is not None or (self._ends_without_reason and not assembly.has_broken_call):
            return
        # Either cut off half-way, or a server that never gives a reason: the second time tells.
        self._ends_without_reason = True
        raise Fault(Remedy.WAIT, "the answer was cut off half-way")

    @contextlib.contextmanager
    def _faults(self, watchdog: _Watchdog) -> Iterator[None]:
        """Turn whatever the client raises into a Fault."""
        import httpx2
        import openai

        try:
            yield
        except openai.APIStatusError as error:
            raise self._refused(error) from None
        except openai.APIConnectionError as error:
            reason = watchdog.complaint if watchdog.fired else self._scrubbed(_root(error))
            raise Fault(Remedy.WAIT, reason) from None
        except openai.APIError as error:
            text = self._scrubbed(text_of(error.body or error.message))
            raise judge(status_in(error.body), f"an error in place of an answer: {text}", {}) from None
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, OSError) as error:
            reason = watchdog.complaint if watchdog.fired else self._scrubbed(_root(error))
            raise Fault(Remedy.WAIT, reason) from None
        except (openai.OpenAIError, ValueError) as error:
            raise Fault(Remedy.WAIT, f"an answer that is no JSON: {self._scrubbed(str(error))}") from None

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
        return judge(status, text, error.response.headers)

    def _scrubbed(self, text: str) -> str:
        return scrubbed(text, self._key)

    def _connected(self) -> OpenAI:
        if self._client is None:
            self._client = self._client_of_our_own()
        return self._client

    def _client_of_our_own(self) -> OpenAI:
        """A client that takes nothing from the environment: no proxy, no key, no organisation, no headers."""
        import httpx2
        from openai import OpenAI

        if not (self._key.isascii() and self._key.isprintable()):
            raise Fault(Remedy.OTHER, "its key holds characters that no HTTP header can; write it anew")
        http = httpx2.Client(
            trust_env=False,
            follow_redirects=False,
            timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS, pool=_CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=1, max_keepalive_connections=1),
            event_hooks={"request": [self._prepare]},
        )
        return OpenAI(
            api_key=self._key or "none", base_url=self.endpoint.base_url, max_retries=0, http_client=http
        )

    def _prepare(self, request: httpx2.Request) -> None:
        """Send only our own headers, and remember the socket so that it can be cut from another thread."""
        for name in [name for name in request.headers if name.lower() not in _SENT_HEADERS]:
            del request.headers[name]
        if self._key:
            request.headers["authorization"] = f"Bearer {self._key}"
        request.extensions["trace"] = self._note

    def _note(self, event: str, info: Mapping[str, Any]) -> None:
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._socket = info["return_value"].get_extra_info("socket")

    def _hang_up(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # Closing would not wake a thread that reads; SSLSocket's own shutdown is not for two threads.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _Watchdog:
    """Hangs up, from a thread of its own, once nothing was heard for too long or the time is over."""

    def __init__(self, hang_up: Callable[[], None], wait: Wait) -> None:
        self.fired = False
        self._hang_up = hang_up
        self._wait = wait
        self._silence = wait.silence
        self._last_heard = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="model-watchdog", daemon=True)

    @property
    def complaint(self) -> str:
        if time.monotonic() >= self._wait.deadline:
            return "the time was over before it had answered"
        return f"no answer for {self._wait.silence:g} s"

    def heard(self) -> None:
        self._last_heard = time.monotonic()

    def expect_the_end(self) -> None:
        """The answer is there; only its token count may still come, and is not worth a long wait."""
        self._silence = min(self._silence, _SECONDS_FOR_USAGE)

    def __enter__(self) -> _Watchdog:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(max(self._due() - time.monotonic(), 0)):
            if time.monotonic() >= self._due():
                self.fired = True
                break
        # The connection may not be there yet when the time is over.
        while not self._done.wait(0.05):
            self._hang_up()

    def _due(self) -> float:
        return min(self._last_heard + self._silence, self._wait.deadline)


def _events(stream: Any) -> Iterator[Any]:
    """The events of a stream, or the one answer of a server that does not stream."""
    kind = stream.response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        yield json.loads(stream.response.read())
    elif kind == "text/html":
        raise Fault(Remedy.WAIT, f"answers with {text_of(stream.response.read().decode('utf-8', 'replace'))}")
    else:
        yield from stream


def _root(error: BaseException) -> str:
    """What is at the bottom of a chain of wrapped errors."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__


def _characters(body: Mapping[str, Any]) -> int:
    return len(json.dumps(body, ensure_ascii=False))
