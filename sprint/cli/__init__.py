"""Argument parsing, one error handler, exit codes; no logic."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from sprint import __version__, defects, logs
from sprint.cli import operate, work
from sprint.cli.options import Handler, Parser, add_global_options
from sprint.errors import SprintError
from sprint.files import refusal

_log = logging.getLogger(__name__)

_EXIT_CODES = """\
exit codes:
  0    the tick did its job, whatever became of the issue
  1    a run asked for with --issue failed, doctor found a fault, or the monitor raised an alarm
  2    wrong usage or configuration
  3    forge or credentials
  4    no usable sandbox
  5    no usable model
  70   a defect of sprint's own: its traceback is in the file that is named
  130  told to stop; what was under way rests, and the next tick goes on with it
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; expected errors become one line on stderr."""
    args = _parser().parse_args(argv)
    logs.to_stderr(args.verbose, args.log_format)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        handler: Handler = args.handler
        return handler(args)
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
            return defects.tell(error)
        _log.error("%s", refusal("use", Path(os.fsdecode(error.filename)), error))
        _log.debug("where it came from", exc_info=True)
        return SprintError.exit_code
    except Exception as error:  # noqa: BLE001 - the outermost: cron must not mail tracebacks every few minutes
        return defects.tell(error)


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


_GROUPS = (work, operate)


def _parser() -> argparse.ArgumentParser:
    everywhere = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    add_global_options(everywhere)
    parser = Parser(
        prog="sprint",
        description="Burns an issue backlog unattended: from a cron tick to a pull request.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_global_options(parser)
    parser.add_argument("--version", action="version", version=f"sprint {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, handler: Handler) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}.", parents=[everywhere]
        )
        added.set_defaults(handler=handler)
        return added

    for group in _GROUPS:
        group.add(command)
    return parser
