"""Keeps a conversation within the model's window: old tool results are shortened, oldest first, in one step.

One step to well below the limit, and nothing in between: a server that caches the beginning of a conversation
then finds it the same for many turns.
"""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Any
from urllib.parse import urlsplit

from sprint.domain import Endpoint
from sprint.worker.local.conversation import Conversation

FULL = 0.85  # of the window: the answer needs room too
AFTER_SHORTENING = 0.60
LOCAL_WINDOW = 32_768  # where nobody tells: what people run at home
HOSTED_WINDOW = 128_000
RECENT_TURNS = 3
_KEPT = 300  # characters of a shortened text
_MESSAGE_OVERHEAD = 16
_OUTPUT_FILE = re.compile(r"\S*/tmp/outputs/\d+\.txt")


def default_window(endpoint: Endpoint) -> int:
    """The window of a model of which only the address is known. Too large shows in an error; a local server
    that cuts without a word does not, hence the smaller one."""
    host = urlsplit(endpoint.base_url).hostname or ""
    try:
        is_local = ipaddress.ip_address(host).is_private
    except ValueError:
        is_local = host == "localhost" or "." not in host or host.endswith((".local", ".lan", ".internal"))
    return LOCAL_WINDOW if is_local else HOSTED_WINDOW


def first_guess(endpoint: Endpoint) -> int:
    """The window in tokens as far as it is known before the model has answered."""
    return endpoint.context or default_window(endpoint)


def size(messages: list[dict[str, Any]]) -> int:
    """Characters that a model has to take in."""
    return sum(_size(message) for message in messages)


def _size(message: dict[str, Any]) -> int:
    calls = message.get("tool_calls") or ()
    return (
        _MESSAGE_OVERHEAD
        + len(message.get("content") or "")
        + sum(len(call["function"]["name"]) + len(call["function"]["arguments"]) for call in calls)
    )


def budget_for_results(conversation: Conversation) -> int:
    """Characters that the results of one turn may take together."""
    return int(conversation.window * conversation.characters_per_token) // 4


def learn(conversation: Conversation, sent_characters: int, counted_tokens: int) -> None:
    """Take over how many characters the server counts as a token."""
    if counted_tokens > 100:
        conversation.characters_per_token = min(max(sent_characters / counted_tokens, 1.0), 8.0)


def is_full(conversation: Conversation, characters: int) -> bool:
    """True where it should be shortened first. `characters`: its own and those of the tools' definitions."""
    return characters / conversation.characters_per_token > conversation.window * FULL


def overflowed(conversation: Conversation, fixed: int, window: int | None) -> None:
    """Learn from a refusal: the conversation as it is does not fit, whatever was thought of the window."""
    characters = size(conversation.messages) + fixed
    if window and window >= 512:
        conversation.window = window
        conversation.characters_per_token = min(conversation.characters_per_token, characters / window)
    else:
        tokens = characters / conversation.characters_per_token
        conversation.window = int(min(conversation.window, tokens) * 0.9)


def shorten(conversation: Conversation, fixed: int) -> int:
    """Cut old tool results, and if need be old calls, until it is small enough; returns characters saved.

    What the user said and the last turns stay whole.
    """
    target = conversation.window * AFTER_SHORTENING * conversation.characters_per_token
    before = now = size(conversation.messages) + fixed
    old = conversation.messages[: _first_recent(conversation.messages)]
    for cut in (_cut_result, _cut_call):
        for message in old:
            if now <= target:
                return before - now
            was = _size(message)
            cut(message)
            now += _size(message) - was
            conversation.changed()
    return before - now


def _first_recent(messages: list[dict[str, Any]]) -> int:
    """Where the turns begin that stay as they are."""
    turns = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
    return turns[-RECENT_TURNS] if len(turns) >= RECENT_TURNS else (turns[0] if turns else len(messages))


def _cut_result(message: dict[str, Any]) -> None:
    content = message.get("content") or ""
    if message["role"] != "tool" or len(content) <= 2 * _KEPT:
        return
    left_out = len(content) - _KEPT
    where = _OUTPUT_FILE.search(content[_KEPT:])
    hint = f"the whole is in {where[0]}" if where else "call again if it is needed"
    message["content"] = f"{content[:_KEPT]}\n[... {left_out} characters of this old result left out; {hint}]"


def _cut_call(message: dict[str, Any]) -> None:
    message.pop("reasoning_content", None)
    for call in message.get("tool_calls") or ():
        function = call["function"]
        if len(function["arguments"]) > 2 * _KEPT:
            arguments = json.loads(function["arguments"])
            function["arguments"] = json.dumps(
                {key: _cut_value(value) for key, value in arguments.items()}, ensure_ascii=False
            )


def _cut_value(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _KEPT:
        return f"{value[:_KEPT]}[... {len(value) - _KEPT} characters left out]"
    return value
