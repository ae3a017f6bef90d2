"""What programs draw on a terminal becomes text."""

from __future__ import annotations

import io
import time
from typing import TextIO, cast

import pytest

from sprint.terminal_text import Screen, clear, fitted, readable, shown
from sprint.view.paint import painter_for


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


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


HOSTILE = "a\x1b[2J\x1b]0;owned\x07b\x9b31m \u202egnp.exe\u2066\rc\u200b\x1b[31"
SHOWN = "a␛[2J␛]0;owned␇b[U+009B]31m [U+202E]gnp.exe[U+2066]␍c[U+200B]␛[31"


def test_on_a_screen_nobodys_text_does_anything() -> None:
    for stream in (io.StringIO(), Terminal()):
        screen = Screen(stream)
        print(HOSTILE, file=cast("TextIO", screen))
        screen.writelines([HOSTILE, "\ttab\r\nend"])
        assert stream.getvalue() == f"{SHOWN}\n{SHOWN}\ttab\nend"


def test_colours_and_clearing_are_ours_and_for_terminals() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        Screen(stream).write("\x1b[31mred\x1b[0m")
    assert terminal.getvalue() == "\x1b[31mred\x1b[0m"
    assert pipe.getvalue() == "␛[31mred␛[0m"
    clear(cast("TextIO", Screen(terminal)))
    assert terminal.getvalue().endswith("\x1b[H\x1b[2J\x1b[3J")


def test_what_is_shown_is_all_that_was_written() -> None:
    assert shown("plain ümläut 日本 👩\u200d💻\n\tx") == "plain ümläut 日本 👩\u200d💻\n\tx"


def test_a_region_is_drawn_past_the_screen_and_nobodys_text_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    with painter_for(cast("TextIO", Screen(terminal))) as painter:
        painter.show([("text", 2, HOSTILE)], [])
    drawn = terminal.getvalue()
    assert "\x1b[?25l" in drawn, "the control: the painter moves the cursor"
    assert SHOWN in drawn
    assert "owned\x07" not in drawn


def test_a_terminal_gets_a_long_line_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "60")
    line = "warn  model: see https://docs.example/" + "x" * 60 + " " + "word " * 30 + "end"
    assert fitted(line, io.StringIO(), indent=8) == line
    told = fitted(line, Terminal(), indent=8).splitlines()
    assert [one for one in told if len(one) > 60 and "https" not in one] == []
    assert [one[:8] for one in told[1:]] == [" " * 8] * (len(told) - 1)
    assert " ".join(told).split() == line.split()
