"""What programs draw on a terminal becomes text."""

from __future__ import annotations

import time

import pytest

from sprint.terminal_text import readable


@pytest.mark.parametrize(
    ("drawn", "left"),
    [
        ("10%\r50%\r100%\ndone\n", "100%\ndone\n"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("half\r", "half"),
        ("a\r\rb\r\r\nc", "b\nc"),
        ("\x1b[31mred\x1b[0m\x07", "red"),
    ],
)
def test_the_last_drawing_of_a_line_is_left(drawn: str, left: str) -> None:
    assert readable(drawn) == left


@pytest.mark.parametrize("piece", ["a", "\r", "a\r", "\x1b", "\x1b]", "\x1b[0", "\x9b0", "\x1b "])
def test_nothing_takes_long(piece: str) -> None:
    text = "x\ry" + piece * (2_000_000 // len(piece))
    started = time.process_time()
    readable(text)
    assert time.process_time() - started < 2.0
