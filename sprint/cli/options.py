"""What every command's options are made of: the parser, its types, the configuration they lead to."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, Protocol

from sprint import defects
from sprint.clean_text import safe_line
from sprint.config import Config, load
from sprint.errors import ConfigError
from sprint.surroundings import Surroundings

Handler = Callable[[argparse.Namespace, Surroundings], int]


class AddCommand(Protocol):
    """Adds a command: its name, one sentence of help without a capital or a full stop, what does it, and
    examples of it, a line each."""

    def __call__(
        self, name: str, text: str, handler: Handler, examples: str = ""
    ) -> argparse.ArgumentParser: ...


class Parser(argparse.ArgumentParser):
    """Says wrong usage in one line, and where the right one is told."""

    def parse_known_args(self, *given: Any, **more: Any) -> Any:
        """A command's own parser speaks of what it does not know, not that of the whole program."""
        parsed, unknown = super().parse_known_args(*given, **more)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        self.exit(ConfigError.exit_code, f"sprint: {safe_line(message, 400)}; see `{self.prog} --help`\n")


def configuration(args: argparse.Namespace, around: Surroundings) -> Config:
    config = load(args.config, around)
    defects.keep_in(config.paths.results)
    return config


def positive(text: str) -> int:
    if not (text.isdecimal() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, 1 or more")
    return int(text)


def port(text: str) -> int:
    if not (text.isdecimal() and int(text) < 65_536):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")
    return int(text)


def seconds(text: str) -> float:
    return _between(text, 0.1, 86_400.0)


def percent(text: str) -> float:
    return _between(text, 0.0, 100.0)


def _between(text: str, least: float, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between {least:g} and {most:g}")
    return number


def add_global_options(parser: argparse.ArgumentParser) -> None:
    """On the program and on each command; there after the command's own, and without defaults, which would
    hide what was said before."""
    has_defaults = parser.argument_default is not argparse.SUPPRESS
    place = parser if has_defaults else parser.add_argument_group("options of every command")
    place.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        default=None if has_defaults else argparse.SUPPRESS,
        help="default: $SPRINT_CONFIG, ./sprint.yaml, then the user's configuration directory",
    )
    place.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        default=False if has_defaults else argparse.SUPPRESS,
        help="say everything, and where errors come from",
    )
    place.add_argument(
        "--log-format",
        choices=["text", "json"],
        default="text" if has_defaults else argparse.SUPPRESS,
        help="of what is logged to stderr and to the runs' logs; json tells progress too (default text)",
    )
