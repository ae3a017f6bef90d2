"""What the APIs of models have in common, as far as a request is passed on and its answer counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Dialect = Literal["messages", "responses", "chat"]
"""The model API that is spoken: Anthropic's Messages, OpenAI's Responses, or chat completions."""


@dataclass
class Heard:
    """What has been heard of one answer so far. Tokens None: not told. `prompt` has the cached ones in it."""

    prompt: int | None = None
    cached: int = 0
    completion: int | None = None
    characters: int = 0  # of the answer itself
    pieces: int = 0  # of the answer; what keeps a connection open is none
    calls: int = 0  # of tools
    has_begun: bool = False  # the server took the request
    has_ended: bool = False  # the answer came to its own end
    failure: Any = None  # the error in place of its end, as the server gave it

    @property
    def is_told(self) -> bool:
        return bool(self.prompt or self.completion)

    def count(self, *, prompt: Any = None, cached: Any = None, completion: Any = None) -> None:
        """Take in what a record says; counts grow, and what is not said stays."""
        if (number := tokens(prompt)) is not None:
            self.prompt = max(self.prompt or 0, number)
        if (number := tokens(cached)) is not None:
            self.cached = max(self.cached, number)
        if (number := tokens(completion)) is not None:
            self.completion = max(self.completion or 0, number)

    def piece(self, *texts: Any) -> None:
        self.pieces += 1
        self.characters += sum(len(text) for text in texts if isinstance(text, str))


class Rules(Protocol):
    """One dialect; the modules in `dialects` have this shape."""

    PATH: str  # below the server's address, which ends in /v1 or the like
    NAMED: str  # as people call it
    TAKES_EXTRA: bool  # whether what `model.extra` holds is meant for it
    HAS_MARK: bool  # whether a mark comes after a stream's last event
    OWN_TOOLS: tuple[str, ...]  # types of tools that the client runs itself, or their beginnings with a *

    def prepare(self, body: dict[str, Any]) -> bool:
        """Ask for what has to be counted. True where the client did not want to hear of it."""
        ...

    def take(self, event: Mapping[str, Any], heard: Heard) -> None:
        """Take in one event of a stream."""
        ...

    def take_whole(self, answer: Mapping[str, Any], heard: Heard) -> None:
        """Take in an answer that is no stream."""
        ...

    def is_only_usage(self, event: Mapping[str, Any]) -> bool:
        """Whether an event holds nothing but the count that the client did not want to hear of."""
        ...

    def error(self, status: int, message: str) -> dict[str, Any]:
        """The body of an error answer, as the API has it."""
        ...

    def error_event(self, status: int, message: str) -> bytes:
        """The event by which a stream of this API ends in an error."""
        ...

    def outside(self, part: Mapping[str, Any]) -> bool:
        """Whether a part of a message has the provider fetch something by its address."""
        ...

    def question(self, model: str, words: str, tool: Mapping[str, Any], longest: int) -> dict[str, Any]:
        """A request that asks for a call of a tool (name, description, parameters)."""
        ...


def tokens(value: Any) -> int | None:
    """A number of tokens from a server that may have sent anything."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        return None
    return int(value)


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def is_remote(address: Any) -> bool:
    """Whether an address leads anywhere but into the request itself."""
    return isinstance(address, str) and address.lstrip()[:5].lower() != "data:"
