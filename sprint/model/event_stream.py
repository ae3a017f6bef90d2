"""Takes a stream of server-sent events apart as it passes, without holding back what is whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from sprint import json_file

LONGEST_EVENT = 16_000_000  # bytes
_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LINE_END = re.compile(rb"\r\n|\n|\r")


class TooLong(Exception):
    """An event that does not end."""


class Event(Struct, frozen=True):
    """`raw` are its bytes as they came, `text` what its data lines hold, `data` that as a JSON object, None
    where it is none."""

    raw: bytes
    text: bytes
    data: Mapping[str, Any] | None
    is_done: bool = False  # the mark that ends a stream of chat completions

    @property
    def is_whole(self) -> bool:
        """False for what is left of a stream that broke off."""
        return self.raw.endswith((b"\n\n", b"\r\r", b"\r\n\r\n"))


def events(pieces: Iterable[bytes]) -> Iterator[Event]:
    """Each event as soon as it is whole; what is left at the end is one, too. Raises TooLong."""
    buffer, looked = bytearray(), 0
    for piece in pieces:
        buffer += piece
        begin = 0
        while found := _END.search(buffer, max(begin, looked)):
            yield _event(bytes(buffer[begin : found.end()]))
            begin = looked = found.end()
        del buffer[:begin]
        looked = max(len(buffer) - 3, 0)  # an end may be cut in two
        if len(buffer) > LONGEST_EVENT:
            raise TooLong
    if buffer:
        yield _event(bytes(buffer))


def _event(raw: bytes) -> Event:
    lines = [line[5:] for line in _LINE_END.split(raw) if line.startswith(b"data:")]
    text = b"\n".join(lines).strip()
    if text == b"[DONE]":
        return Event(raw, text, None, is_done=True)
    return Event(raw, text, json_file.parsed(text) if text else None)
