"""What went wrong with a model's server, and what helps: told from statuses and providers' own wordings."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Any

from sprint.errors import ModelTrouble
from sprint.retries import NO_DNS, NO_HOST, is_no_host


class Remedy(Enum):
    """What the caller may do about a fault."""

    WAIT = auto()  # and ask the same server again
    AT_ONCE = auto()  # ask the same server again, now otherwise
    LATER = auto()  # ask another server now, and this one perhaps later
    OTHER = auto()  # ask another server; this one will not do
    SHORTEN = auto()  # the conversation


class Fault(Exception):
    """An endpoint's failure. `reason` is one line without secrets; `retry_after` in seconds as told."""

    def __init__(
        self,
        remedy: Remedy,
        reason: str,
        kind: ModelTrouble = ModelTrouble.AWAY,
        *,
        retry_after: float | None = None,
        window: int | None = None,
    ) -> None:
        super().__init__(reason)
        self.remedy = remedy
        self.reason = reason
        self.kind = kind
        self.retry_after = retry_after
        self.window = window


# Compiled when they are first looked for: most ticks meet no fault.
_OVERFLOW = (
    r"context[ _-]*length|context[ _-]*window|context[ _-]*size|context_overflow|maximum context"
    r"|(prompt|input|request|message)s? (is|are|was) too (long|large)|too many (input )?tokens"
    r"|exceeds? the (available|maximum) (context|number of tokens|input|prompt|token)|reduce the length"
    r"|input token count|maximum (prompt|input) length|prompt contains .{0,40}tokens|token limit exceeded"
    r"|input length .{0,60}exceeds"
)
_OUT_OF_QUOTA = (
    r"insufficient[_ ](quota|balance|credits?|funds)|exceeded your current quota|billing (hard|limit|not)"
    r"|out of credits"
    r"|credit balance|payment required|quota[_ ]exhausted|spending limit"
)
_NO_TOOLS = (
    r"(not|n't|no) (currently )?support(ed|ing|s)?[^.]{0,40}(tool|function)"
    r"|(tool|function)s?( use| call(s|ing)?| choice)?[^.]{0,40}(not|n't) (be )?"
    r"(support|enabled|available|allowed)"
    r"|no endpoints found that support|requires --enable-auto-tool-choice|tool-call-parser"
)
_NO_USAGE_IN_STREAM = r"stream_options|include_usage"
_OTHER_MAX_TOKENS = r"max_completion_tokens"
_NO_MODEL = (
    r"\bmodel\b.{0,120}(not found|not exist|not a valid model|unknown model|not available)"
    r"|(not a valid|no such|unknown|invalid) model"
)
_WANTS_REASONING = r"reasoning_content"
_WINDOWS = (
    r"tokens? > (\d{3,9})",
    r"(?:maximum|max|available)[^.\d]{0,60}?(?:is|of|:|=|\()\s*(\d{3,9})",
    r"context (?:size|length|window)[^.\d]{0,30}(\d{3,9})",
    r"(?:limit|maximum)[^.\d]{0,40}(\d{3,9})",
    r'"?n_ctx"?\D{1,4}(\d{3,9})',
)
_TOO_LARGE_EVER = r"request too large"
_TOLD_WAIT = r"(?:try again|retry) in (\d+(?:\.\d+)?) ?(ms|s\b|sec|m\b|min)"
_SHORTEST_KEY = 8  # local servers take any word as a key, and "ollama" is no secret
_TRANSIENT = frozenset({408, 409, 425, 429})
_BUSY = frozenset({429, 503, 529})


def _found(pattern: str, text: str) -> re.Match[str] | None:
    return re.search(pattern, text, re.IGNORECASE)


def judge(status: int | None, text: str, headers: Mapping[str, str]) -> Fault:
    """The fault behind an error answer. `status` None: the error came inside a stream without a number."""
    shown = f"HTTP {status}: {text}" if status else text
    if _found(_OVERFLOW, text) and status not in (401, 403, 404, 429):
        return Fault(Remedy.SHORTEN, shown, ModelTrouble.WINDOW, window=told_window(text))
    if status == 413 or (status == 429 and _found(_TOO_LARGE_EVER, text)):
        return Fault(Remedy.SHORTEN, shown, ModelTrouble.WINDOW, window=told_window(text))
    wait = retry_after(headers)
    if wait is None:
        wait = _told_wait(text)
    if status == 402 or (_found(_OUT_OF_QUOTA, text) and wait is None):
        return Fault(Remedy.OTHER, f"out of quota ({shown})", ModelTrouble.QUOTA)
    if status is not None and status < 500 and _found(_NO_TOOLS, text):
        return Fault(Remedy.OTHER, f"cannot call tools ({shown})", ModelTrouble.NO_TOOLS)
    if status is None or status in _TRANSIENT or status >= 500:
        kind = ModelTrouble.BUSY if status in _BUSY else ModelTrouble.AWAY
        return Fault(Remedy.WAIT, shown, kind, retry_after=wait)
    return _refusal(status, text, shown)


def _refusal(status: int, text: str, shown: str) -> Fault:
    """The fault behind an answer that will be the same the next time."""
    if status in (401, 403):
        return Fault(Remedy.OTHER, f"the key is refused ({shown})", ModelTrouble.REFUSED)
    if status == 404 or (status in (400, 422) and _found(_NO_MODEL, text)):
        return Fault(Remedy.OTHER, f"no such model or address ({shown})", ModelTrouble.UNKNOWN)
    if 300 <= status < 400:
        reason = f"redirects elsewhere ({shown}); set base_url to where it leads"
        return Fault(Remedy.OTHER, reason, ModelTrouble.UNKNOWN)
    return Fault(Remedy.OTHER, shown, ModelTrouble.REQUEST)


def refuses_usage(status: int | None, text: str) -> bool:
    """True where a server cannot count tokens in a stream and will answer without being asked to."""
    return status in (400, 422) and _found(_NO_USAGE_IN_STREAM, text) is not None


def refuses_max_tokens(status: int | None, text: str) -> bool:
    """True where a server wants max_completion_tokens in place of max_tokens."""
    return status in (400, 422) and _found(_OTHER_MAX_TOKENS, text) is not None


def wants_reasoning(status: int | None, text: str) -> bool:
    """True where a server insists on getting back the reasoning that it sent."""
    return status in (400, 422) and _found(_WANTS_REASONING, text) is not None


def told_window(text: str) -> int | None:
    """The window in tokens that an overflow message names, or None."""
    for pattern in _WINDOWS:
        if match := _found(pattern, text.replace(",", "")):
            return int(match[1])
    return None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """How many seconds a server asks to wait, or None; the header holds seconds or a date."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(float(milliseconds) / 1000, 0.0)
        value = headers.get("retry-after")
        if not value:
            return None
        if re.fullmatch(r"\s*\d+(\.\d+)?\s*", value):
            return float(value)
        return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError):
        return None


def _told_wait(text: str) -> float | None:
    """The pause that a message names in words, in seconds."""
    match = _found(_TOLD_WAIT, text)
    if match is None:
        return None
    return float(match[1]) * {"ms": 0.001, "m": 60.0}.get(match[2][:2].rstrip("i"), 1.0)


def text_of(body: Any) -> str:
    """An error body's message where it has one, whatever shape the provider gave it."""
    if isinstance(body, dict):
        inner = body.get("error") or body.get("message") or body.get("detail") or body
        if inner is not body:
            code = body.get("code") or body.get("type")
            return f"{text_of(inner)}{f' ({code})' if isinstance(code, str) else ''}"
    text = body if isinstance(body, str) else repr(body)
    if re.match(r"\s*<(!doctype|html|head|body)\b", text, re.I):
        title = re.search(r"<title>(.*?)</title>", text, re.I | re.S)
        return f"a web page{f' titled {title[1].strip()}' if title else ''}"
    return text


def why_lost(error: BaseException, key: str) -> str:
    """What an error means that left a question without its whole answer."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: nothing listens there; start the server or set model.base_url"
    if isinstance(error, socket.gaierror):
        return f"{NO_HOST}; check model.base_url and the network" if is_no_host(error) else NO_DNS
    return scrubbed(str(error) or type(error).__name__, key)


def scrubbed(text: str, key: str) -> str:
    """One line fit for a log: without the key, of which also the cut must leave nothing."""
    return one_line(text.replace(key, "***") if len(key) >= _SHORTEST_KEY else text)


def one_line(text: str, limit: int = 300) -> str:
    flat = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text).split())
    return flat if len(flat) <= limit else flat[: limit - 3] + "..."


def status_in(body: Any) -> int | None:
    """The HTTP status that an error inside a stream stands for, where it gives one."""
    if isinstance(body, dict):
        for key in ("code", "status", "status_code"):
            value = body.get(key)
            if isinstance(value, int | str) and re.fullmatch(r"[45]\d\d", str(value)):
                return int(value)
    return None
