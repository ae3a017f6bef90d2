"""What the scripted model answers: well, badly, or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sprint.demo import model
from sprint.demo.model import ToolCall


@dataclass(frozen=True)
class Reply(model.Reply):
    """One answer of the model.

    Token counts left None are estimated from the conversation. With `status`, the answer is `body` with that
    status and nothing else counts but `hang`. `hang` is waited for before the headers, `pause` between two
    pieces of a stream, in seconds. `keep` sends only so many pieces and then does `then`: "end" closes the
    stream cleanly without finish reason or [DONE], "drop" cuts the connection, "silence" sends a comment
    every `heartbeat` seconds for ever, "error" sends `body` as an event and ends.
    """

    reasoning: str = ""
    finish_reason: str = ""  # "": as the content asks for
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    has_usage: bool = True
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    hang: float = 0.0
    pause: float = 0.0
    keep: int | None = None
    then: Literal["end", "drop", "silence", "error"] = "end"
    heartbeat: float = 0.05

    @property
    def ending(self) -> str:
        return self.finish_reason or super().ending


FOR_EVER = 3600.0


# --- answers that are all right ---


def say(text: str, **more: Any) -> Reply:
    return Reply(text=text, **more)


def call(name: str, arguments: Mapping[str, Any] | str | None = None, text: str = "", **more: Any) -> Reply:
    """One tool call; `arguments` as a string are sent as they are."""
    return calls((name, arguments or {}), text=text, **more)


def calls(*named: tuple[str, Mapping[str, Any] | str], text: str = "", **more: Any) -> Reply:
    """Several tool calls in one answer."""
    made = (ToolCall(name, a if isinstance(a, str) else json.dumps(dict(a))) for name, a in named)
    return Reply(text=text, tool_calls=tuple(made), **more)


def finish(status: str = "implemented", summary: str = "Done.", **more: str) -> Reply:
    """The call that ends a run: implemented, already_fixed (with commit=) or question (with question=)."""
    return call("finish", {"status": status, "summary": summary, **more})


# --- answers that are wrong in themselves ---


_AS_TEXT = {
    "json-fence": "I will call the tool.\n```json\n{call}\n```",
    "bare-json": "{call}",
    "hermes": "<tool_call>\n{call}\n</tool_call>",
    "function": "<function={name}>{arguments}</function>",
    "xml-parameters": "<tool_call>\n<function={name}>\n{parameters}\n</function>\n</tool_call>",
    "mistral": "[TOOL_CALLS][{call}]",
}


def call_as_text(dialect: str, name: str, arguments: Mapping[str, Any]) -> Reply:
    """A call written into the content: json-fence, bare-json, hermes, function, xml-parameters or mistral."""
    parameters = "\n".join(f"<parameter={key}>\n{value}\n</parameter>" for key, value in arguments.items())
    pieces = {
        "{call}": json.dumps({"name": name, "arguments": dict(arguments)}),
        "{name}": name,
        "{arguments}": json.dumps(dict(arguments)),
        "{parameters}": parameters,
    }
    text = _AS_TEXT[dialect]
    for mark, piece in pieces.items():
        text = text.replace(mark, piece)
    return say(text)


def broken_arguments(name: str = "run_command", raw: str = '{"command": "ls') -> Reply:
    return call(name, raw)


def empty() -> Reply:
    return Reply()


def cut(text: str = "I will now", **more: Any) -> Reply:
    """Cut off by the limit on completion tokens."""
    return Reply(text=text, finish_reason="length", **more)


# --- streams that end badly (the text has several pieces) ---

_LONG = "Let me look at the code before I change anything in it. " * 4


def closed_halfway(text: str = _LONG, tool_calls: tuple[ToolCall, ...] = ()) -> Reply:
    return Reply(text=text, tool_calls=tool_calls, keep=2, then="end")


def dropped_halfway(text: str = _LONG) -> Reply:
    return Reply(text=text, keep=2, then="drop")


def falls_silent(text: str = _LONG, heartbeat: float = 0.05) -> Reply:
    """Two pieces, then only comments: bytes keep coming, content does not."""
    return Reply(text=text, keep=2, then="silence", heartbeat=heartbeat)


def error_event(text: str = _LONG, message: str = "upstream model failed") -> Reply:
    return Reply(text=text, keep=2, then="error", body=_error(message, "server_error", 502))


def slow(text: str, pause: float) -> Reply:
    return Reply(text=text, pause=pause)


def without_usage(reply: Reply) -> Reply:
    return Reply(text=reply.text, tool_calls=reply.tool_calls, has_usage=False)


def never_answers() -> Reply:
    """Takes the request and never sends a header."""
    return Reply(hang=FOR_EVER)


# --- answers that are no completion ---


def _error(message: str, code: str | None, kind: str | int = "invalid_request_error") -> str:
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def failed(status: int, message: str, code: str | None = None, **headers: str) -> Reply:
    """An error status with an OpenAI-shaped body."""
    return Reply(
        status=status,
        body=_error(message, code),
        headers={k.replace("_", "-"): v for k, v in headers.items()},
    )


def rate_limited(retry_after: str | None = "0") -> Reply:
    headers = {} if retry_after is None else {"retry_after": retry_after}
    return failed(429, "Rate limit reached for requests", "rate_limit_exceeded", **headers)


def overloaded(retry_after: str | None = "0") -> Reply:
    headers = {} if retry_after is None else {"retry_after": retry_after}
    return failed(529, "Overloaded", "overloaded_error", **headers)


def server_error(status: int = 500) -> Reply:
    return failed(status, "The server had an error while processing your request", "server_error")


def bad_key() -> Reply:
    return failed(401, "Incorrect API key provided.", "invalid_api_key")


def no_quota(status: int = 429) -> Reply:
    """Out of money: 429 insufficient_quota as OpenAI has it, 402 as others do."""
    text = "You exceeded your current quota, please check your plan and billing details."
    return failed(status, text if status == 429 else "Insufficient credits", "insufficient_quota")


def no_such_model(name: str = "absent") -> Reply:
    return failed(
        404, f"The model `{name}` does not exist or you do not have access to it.", "model_not_found"
    )


def no_tools(name: str = "tiny") -> Reply:
    return failed(400, f"registry.ollama.ai/library/{name} does not support tools")


OVERFLOWS = {
    "openai": (
        400,
        "context_length_exceeded",
        "This model's maximum context length is 8192 tokens. However, "
        "your messages resulted in 9001 tokens. Please reduce the length of the messages.",
    ),
    "vllm": (
        400,
        "400",
        "This model's maximum context length is 8192 tokens. However, you requested 9001 tokens "
        "(8001 in the messages, 1000 in the completion).",
    ),
    "anthropic": (400, None, "prompt is too long: 201234 tokens > 200000 maximum"),
    "openrouter": (
        400,
        "400",
        "This endpoint's maximum context length is 32768 tokens. However, you requested "
        "about 40000 tokens. Please reduce the length of either one, or use the middle-out transform.",
    ),
    "llama.cpp": (
        400,
        "exceed_context_size_error",
        "the request exceeds the available context size. try "
        "increasing the context size or enable context shift",
    ),
    "gemini": (
        400,
        "INVALID_ARGUMENT",
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    ),
    "groq": (413, "request_too_large", "Request Entity Too Large: please reduce your message size"),
    "ollama": (400, None, "input length exceeds the context length"),
}


def overflow(provider: str = "openai") -> Reply:
    """The context is full, in the words of one of OVERFLOWS."""
    status, code, message = OVERFLOWS[provider]
    return failed(status, message, code)


def html_page(status: int = 200) -> Reply:
    page = "<!doctype html><html><head><title>Sign in</title></head><body>Please sign in</body></html>"
    return Reply(status=status, body=page, headers={"Content-Type": "text/html; charset=utf-8"})


def error_with_200(message: str = "Provider returned error") -> Reply:
    return Reply(status=200, body=_error(message, None, 502))


def not_json() -> Reply:
    return Reply(status=200, body='{"id": "chatcmpl-1", "choices": [{"mess')
