"""Argument parsing, one error handler, exit codes; no logic."""

from __future__ import annotations

import argparse
import contextlib
import errno
import logging
import os
import signal
import sys
import termios
from collections.abc import Sequence
from pathlib import Path
from textwrap import indent
from types import FrameType
from typing import NoReturn, TextIO, cast

from sprint import __version__, defects, logs, surroundings
from sprint.cli import work_commands
from sprint.cli.options import Handler, Parser, add_global_options
from sprint.errors import SprintError
from sprint.files import refusal
from sprint.terminal_text import Screen

_log = logging.getLogger(__name__)

_FIRST_STEPS = """\
first steps:
  sprint demo                  the main job on loopback, with nothing of yours
  sprint init acme/widgets     write sprint.yaml, and keep tokens in files
  sprint doctor                is all there that a tick needs?
  sprint run --dry-run         what would be picked
  sprint run acme/widgets#12   this issue, seen as it happens
  sprint schedule --install    from now on by cron
  sprint monitor               what passes and what fails
"""

_EXIT_CODES = """\
exit codes:
  0    the tick did its job, whatever became of the issue
  1    a run of one issue that you named failed, doctor found a fault, or the
       monitor raised an alarm
  2    wrong usage or configuration
  3    forge or credentials
  4    no usable sandbox
  5    no usable model
  6    no usable backend of sprites
  70   a defect of sprint's own: its traceback is in the file that is named
  130  told to stop; what was under way rests, and the next tick goes on
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; expected errors become one line on stderr."""
    out, err = cast("TextIO", Screen(sys.stdout)), cast("TextIO", Screen(sys.stderr))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    args = _parser(is_for_tick=argv[:1] == ["run"]).parse_args(argv)
    logs.to_stderr(args.verbose, args.log_format, quiet=getattr(args, "quiet", False))
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        handler: Handler = args.handler
        return handler(args, surroundings.of_this_process())
    except SprintError as error:
        _log.error("%s", error)
        _log.debug("where it came from", exc_info=True)
        return error.exit_code
    except KeyboardInterrupt:
        _log.error("interrupted; the next tick goes on from here")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.filename is None:
            return 0 if _terminal_is_gone(error) else defects.tell(error)
        _log.error("%s", refusal("use", Path(os.fsdecode(error.filename)), error))
        _log.debug("where it came from", exc_info=True)
        return SprintError.exit_code
    except Exception as error:  # noqa: BLE001 - the outermost: cron must not mail tracebacks every few minutes
        return defects.tell(error)


def _terminal_is_gone(error: OSError) -> bool:
    """Whether what could not be written was for a terminal that was closed: nobody is left to be told."""
    if error.errno != errno.EIO:
        return False
    for fd in (1, 2):
        try:
            termios.tcgetattr(fd)
        except termios.error as refusal:
            if refusal.args[0] == errno.EIO:
                os.dup2(os.open(os.devnull, os.O_WRONLY), fd)
                return True
    return False


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _parser(*, is_for_tick: bool = False) -> argparse.ArgumentParser:
    """What understands every command; `is_for_tick`: those about issues only, cron's among them."""
    everywhere = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    add_global_options(everywhere)
    parser = Parser(
        prog="sprint",
        description="Burns an issue backlog unattended: from a cron tick to a pull request.",
        epilog=f"{_FIRST_STEPS}\n{_EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_global_options(parser)
    parser.add_argument("--version", action="version", version=f"sprint {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, handler: Handler, examples: str = "") -> argparse.ArgumentParser:
        added = commands.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            parents=[everywhere],
            epilog=f"examples:\n{indent(examples, '  ')}" if examples else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        added.set_defaults(handler=handler)
        return added

    work_commands.add(command)
    if not is_for_tick:
        from sprint.cli import completion, fleet_commands, operator_commands, sprite_commands

        for group in (operator_commands, sprite_commands, fleet_commands, completion):
            group.add(command)
    parser.set_defaults(whole_parser=parser)
    return parser
