"""What programs and strangers write, as text that can be read, sent and printed again."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterable
from typing import Any, TextIO

_ESCAPE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]"
    r"|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]+[0-~]|[0-~])|\x9b[0-?]*[ -/]*[@-~]"
)
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

# What turns text around or hides it.
_HIDING = re.compile(
    "[\u00ad\u061c\u180e\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_COLOUR = re.compile(r"(\x1b\[[0-9;]{0,20}m)")
_CLEAR = "\x1b[H\x1b[2J\x1b[3J"


def readable(text: str) -> str:
    """`text` as a terminal would have left it: of a line that was drawn again and again, the last drawing."""
    text = _ESCAPE.sub("", text).replace("\r\n", "\n")
    if "\r" in text:
        text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return _CONTROL.sub("", text)


def decoded(data: bytes) -> str:
    """Bytes as readable text, with U+FFFD for what is no UTF-8."""
    return readable(data.decode("utf-8", "replace"))


def shown(text: str) -> str:
    """Text of many lines as it was written, with a sign for each character that misleads or is not seen."""
    return _HIDING.sub(_code, _CONTROL.sub(_code, text.replace("\r\n", "\n")))


def _code(match: re.Match[str]) -> str:
    number = ord(match[0])
    return chr(0x2400 + number) if number < 0x20 else f"[U+{number:04X}]"


def fitted(line: str, out: TextIO, *, indent: int) -> str:
    """One line, which a terminal that is narrower gets broken between words, and indented from the second."""
    if not out.isatty():
        return line
    width = max(shutil.get_terminal_size().columns, 40)
    return textwrap.fill(
        line, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


class Screen:
    """Standard output or error on which nobody's text does anything but be read.

    Whatever a view forgets to clean is `shown` here. On a terminal colours are ours to set; nothing else is.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if self._stream.isatty():
            parts = _COLOUR.split(text)
            self._stream.write("".join(p if n % 2 else shown(p) for n, p in enumerate(parts)))
        else:
            self._stream.write(shown(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    @property
    def beneath(self) -> TextIO:
        return self._stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def clear(out: TextIO) -> None:
    """Empty the terminal."""
    to_draw_on(out).write(_CLEAR)


def to_draw_on(out: TextIO) -> TextIO:
    """What is beneath a screen, for whoever moves its cursor and has all that others wrote `shown`."""
    return out.beneath if isinstance(out, Screen) else out
