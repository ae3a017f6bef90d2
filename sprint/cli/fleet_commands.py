"""The commands of a fleet: `sprint fleet`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from sprint.cli.options import AddCommand, configuration, positive
from sprint.config import Config
from sprint.surroundings import Surroundings

_FLEETS = """\
sprint fleet worker --jobs 4        on each host, in place of its crontab
sprint fleet run acme/widgets       a tick there as soon as there is room
sprint fleet status                 who does what, what waits, what is late
"""

_Do = Callable[[argparse.Namespace, Config, Surroundings], int]


def add(command: AddCommand) -> None:
    fleet = command("fleet", "many hosts, with one ledger and one ceiling, by a PostgreSQL", _fleet, _FLEETS)
    actions = fleet.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str, do: _Do) -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.set_defaults(do=do)
        return added

    action("init", "make the tables in the database, or bring them up to date", _init)
    worker = action("worker", "take ticks as they are due, until told to stop", _worker)
    worker.add_argument("--jobs", type=positive, default=2, metavar="N", help="so many at once (2)")
    worker.add_argument(
        "--only", nargs="+", default=[], metavar="OWNER/REPO", help="default: all that are configured"
    )
    run = action("run", "have some host tick for a repository as soon as there is room", _run)
    run.add_argument("repos", nargs="+", metavar="OWNER/REPO", help="as in the configuration")
    action("status", "the hosts, what they do, what waits, and what is late", _status)
    for name, text, do in (
        ("drain", "have a host take no more ticks; those under way there go on", _drain),
        ("resume", "have a host take ticks again", _resume),
    ):
        action(name, text, do).add_argument("host", metavar="HOST", help="its name, or its id")
    taken = action("import", "add rows that were written before there was a fleet; each run once", _import)
    taken.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a results.csv, or its folder")


def _fleet(args: argparse.Namespace, around: Surroundings) -> int:
    from sprint import sharing

    config = configuration(args, around)
    do: _Do = args.do
    with sharing.packages():
        return do(args, config, around)


def _init(args: argparse.Namespace, config: Config, around: Surroundings) -> int:
    from sprint.fleet.fleet_command import init

    return init(config, around)


def _worker(args: argparse.Namespace, config: Config, around: Surroundings) -> int:
    from sprint.fleet.tick_worker import Options, work

    return work(config, Options(args.jobs, tuple(args.only)), around)


def _status(args: argparse.Namespace, config: Config, around: Surroundings) -> int:
    from sprint.fleet.fleet_status import status

    return status(config, around)


def _drain(args: argparse.Namespace, config: Config, around: Surroundings) -> int:
    from sprint.fleet.fleet_command import drain

    return drain(config, args.host, around)


def _resume(args: argparse.Namespace, config: Config, around: Surroundings) -> int:
    from sprint.fleet.fleet_command import resume

    return resume(config, args.host, around)


def _import(args: argparse.Namespace, config: Config, around: Surroundings) -> int:
    from sprint.fleet.fleet_command import import_rows

    return import_rows(config, args.files, around)


def _run(args: argparse.Namespace, config: Config, around: Surroundings) -> int:
    from sprint.fleet.fleet_command import run

    return run(config, args.repos, around)
