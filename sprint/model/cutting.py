"""Tells from a server's own token counts that it has begun to cut what it is sent.

Such a server answers as if nothing were wrong. It drops the oldest messages, the task first, or the middle
of a long one; only its count of the prompt's tokens does not grow as the conversation does.
"""

from __future__ import annotations

from msgspec import Struct

_LEAST_ADDED = 64  # tokens: less shows nothing
_GROWN = 0.25  # of what was added: less is no growth
_FELL = 0.75  # of what was expected: less is a fall that no tokenizer explains
_STILL = 2  # steps without growth, in a row


class _Step(Struct, frozen=True):
    characters: int
    tokens: int


class CutDetector:
    """Watches one endpoint over one conversation."""

    def __init__(self) -> None:
        self._last: _Step | None = None
        self._still = 0

    def is_cut(self, characters: int, tokens: int) -> bool:
        """Whether a prompt of so many characters, of which the server counted so many tokens, was cut.

        A conversation that became shorter, because we shortened it, begins anew. One step without growth may
        be another tokenizer behind the same address; so it takes two, or a count that fell far below.
        """
        last, self._last = self._last, _Step(characters, tokens)
        if last is None or characters <= last.characters or not last.tokens:
            self._still = 0
            return False
        per_token = last.characters / last.tokens
        added = (characters - last.characters) / per_token
        if added < _LEAST_ADDED:
            return False
        counts_only_new = tokens < 2 * added  # some servers leave out what they had kept from the turn before
        if tokens - last.tokens >= _GROWN * added or counts_only_new:
            self._still = 0
            return False
        self._still += 1
        return self._still >= _STILL or tokens < _FELL * (characters / per_token)
