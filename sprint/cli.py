"""Argument parsing, one error handler, exit codes; no logic."""

from __future__ import annotations

import argparse
import logging
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from sprint import __version__, logs
from sprint.clean_text import safe_line
from sprint.config import Config, load
from sprint.errors import ConfigError, SprintError
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
  70   a defect of sprint's own
  130  interrupted
"""
_DEFECT = 70


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; expected errors become one line on stderr."""
    args = _parser().parse_args(argv)
    logs.to_stderr(args.verbose, args.log_format)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _COMMANDS[args.command](args)
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
            return _defect(error)
        _log.error("%s", refusal("use", Path(os.fsdecode(error.filename)), error))
        _log.debug("where it came from", exc_info=True)
        return SprintError.exit_code
    except Exception as error:  # noqa: BLE001 - the outermost: cron must not mail tracebacks every few minutes
        return _defect(error)


def _defect(error: Exception) -> int:
    words = safe_line(f"{type(error).__name__}: {error}")
    _log.error("a defect of sprint's own, please report it with what -v says: %s", words)
    _log.debug("where it came from", exc_info=True)
    return _DEFECT


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _config(args: argparse.Namespace) -> Config:
    return load(args.config, environ=os.environ, cwd=Path.cwd(), home=Path.home())


def _run(args: argparse.Namespace) -> int:
    from sprint.burn import Options, burn

    if args.all and args.repos:
        raise ConfigError("--all goes without repository names")
    options = Options(
        repos=tuple(args.repos),
        issue=args.issue,
        force=args.force,
        dry_run=args.dry_run,
        jobs=args.jobs,
        as_json=args.json,
    )
    return burn(_config(args), options, os.environ, Path.home())


def _demo(args: argparse.Namespace) -> int:
    from sprint.demo.command import run_demo

    return run_demo(args.keep, args.kind, sys.stdout)


def _show(args: argparse.Namespace) -> int:
    from sprint.show import show

    return show(_config(args), args.run, sys.stdout, args.html)


def _clean(args: argparse.Namespace) -> int:
    from sprint.retention import sweep

    for removed in sweep(_config(args)):
        print(f"removed {removed}")
    return 0


def _monitor(args: argparse.Namespace) -> int:
    from sprint.monitor.command import Options, run

    options = Options(
        repos=tuple(args.repo),
        since=args.since,
        as_json=args.json,
        quiet=args.quiet,
        refresh=args.refresh,
        watch=args.watch,
        prometheus=args.prometheus,
        html=args.html,
        fail_below=args.fail_below,
        failures_in_a_row=args.failures,
    )
    return run(_config(args), options, sys.stdout, os.environ, Path.home())


def _doctor(args: argparse.Namespace) -> int:
    from sprint.doctor import doctor

    return doctor(_config(args), args.repos, os.environ, Path.home(), sys.stdout)


def _init(args: argparse.Namespace) -> int:
    from sprint.init import init

    return init(args.dir, args.config, os.environ, Path.cwd(), Path.home(), sys.stdout)


def _schedule(args: argparse.Namespace) -> int:
    from sprint.schedule import Options, schedule

    options = Options(install=args.install, remove=args.remove, systemd=args.systemd, every=args.every)
    return schedule(args.config, options, os.environ, Path.cwd(), Path.home(), sys.stdout)


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "demo": _demo,
    "show": _show,
    "clean": _clean,
    "doctor": _doctor,
    "init": _init,
    "schedule": _schedule,
    "monitor": _monitor,
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(ConfigError.exit_code, f"sprint: {safe_line(message)}; see `{self.prog} --help`\n")


def _positive(text: str) -> int:
    if not (text.isdecimal() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, 1 or more")
    return int(text)


def _seconds(text: str) -> float:
    return _between(text, 0.1, 86_400.0)


def _percent(text: str) -> float:
    return _between(text, 0.0, 100.0)


def _between(text: str, least: float, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between {least:g} and {most:g}")
    return number


def _parser() -> argparse.ArgumentParser:
    everywhere = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    _global_options(everywhere)
    parser = _Parser(
        prog="sprint",
        description="Burns an issue backlog unattended: from a cron tick to a pull request.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _global_options(parser)
    parser.add_argument("--version", action="version", version=f"sprint {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}.", parents=[everywhere]
        )

    run = command("run", "one tick: pick the oldest fit issue and bring it to a pull request")
    run.add_argument("repos", nargs="*", metavar="OWNER/REPO", help="default: all that are configured")
    run.add_argument("--all", action="store_true", help="all configured repositories, in so many words")
    run.add_argument("--issue", type=_positive, metavar="N", help="take this issue, whatever its age")
    run.add_argument(
        "--force", action="store_true", help="with --issue: despite its labels, claim or back-off"
    )
    run.add_argument("--dry-run", action="store_true", help="say what would be done; write nothing anywhere")
    run.add_argument(
        "--jobs", type=_positive, default=1, metavar="N", help="repositories at once (default 1)"
    )
    run.add_argument("--json", action="store_true", help="one JSON object a line in place of text")

    demo = command("demo", "the main job on loopback: no account, no key, no network, a scripted model")
    demo.add_argument("--keep", type=Path, metavar="DIR", help="leave everything in DIR to look at")
    demo.add_argument("--kind", choices=["gitea", "github"], default="gitea", help="default: gitea")

    show = command("show", "what a run did, from its transcript, for a person")
    show.add_argument("run", metavar="RUN", help="a run's id or the beginning of it, or OWNER/REPO#N")
    show.add_argument("--html", type=Path, metavar="FILE", help="write it as a page for a browser instead")

    command("clean", "remove old workspaces, run folders and mirrors; each tick does it too")

    doctor = command("doctor", "check git, sandbox, forges, tokens and model one by one, with the remedy")
    doctor.add_argument("repos", nargs="*", metavar="OWNER/REPO", help="default: all that are configured")

    monitor = command("monitor", "what passes and what fails; exit 1 where something needs a person")
    monitor.add_argument(
        "--repo", action="append", default=[], metavar="OWNER/REPO", help="only this one; repeatable"
    )
    monitor.add_argument(
        "--since", default="", metavar="WHEN", help="7d, 24h or a date: only runs after that"
    )
    monitor.add_argument("--refresh", action="store_true", help="ask what became of each pull request first")
    monitor.add_argument("--quiet", action="store_true", help="only alarms, a line each")
    monitor.add_argument(
        "--watch", type=_seconds, nargs="?", const=10.0, metavar="SECONDS", help="again and again (10)"
    )
    monitor.add_argument("--json", action="store_true", help="for programs; the schema has a version")
    monitor.add_argument("--html", type=Path, metavar="FILE", help="also write a page for a browser")
    monitor.add_argument(
        "--prometheus", type=Path, metavar="FILE", help="also write node_exporter's text file"
    )
    monitor.add_argument(
        "--failures", type=_positive, metavar="N", help="alarm at N failures in a row (default 5)"
    )
    monitor.add_argument("--fail-below", type=_percent, metavar="PERCENT", help="alarm below this pass rate")

    init = command("init", "write a commented sprint.yaml from what is found here; never over another")
    init.add_argument("dir", nargs="?", type=Path, metavar="DIR", help="where to (default: here)")

    schedule = command("schedule", "the crontab lines that start a tick for each configured repository")
    schedule.add_argument(
        "--every", type=_positive, metavar="MINUTES", help="for repositories without `every:` (default 10)"
    )
    schedule.add_argument("--systemd", action="store_true", help="write systemd's user timers instead")
    what = schedule.add_mutually_exclusive_group()
    what.add_argument("--install", action="store_true", help="keep them, marked, in your crontab")
    what.add_argument("--remove", action="store_true", help="take them away again")
    return parser


def _global_options(parser: argparse.ArgumentParser) -> None:
    """On the program and on each command; there without defaults, which would hide what was said before."""
    has_defaults = parser.argument_default is not argparse.SUPPRESS
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        default=None if has_defaults else argparse.SUPPRESS,
        help="default: $SPRINT_CONFIG, ./sprint.yaml, then the user's configuration directory",
    )
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        default=False if has_defaults else argparse.SUPPRESS,
        help="say everything, and where errors come from",
    )
    parser.add_argument(
        "--log-format",
        choices=["text", "json"],
        default="text" if has_defaults else argparse.SUPPRESS,
        help="of what is logged to stderr and to the runs' logs; json tells progress too (default text)",
    )
