"""The commands of whoever operates it: monitor, doctor, init, schedule, pause, resume."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from sprint.cli.options import AddCommand, configuration, percent, positive, seconds


def add(command: AddCommand) -> None:
    doctor = command(
        "doctor", "check git, sandbox, forges, tokens and model one by one, with the remedy", _doctor
    )
    doctor.add_argument("repos", nargs="*", metavar="OWNER/REPO", help="default: all that are configured")
    doctor.add_argument(
        "--deep",
        action="store_true",
        help="also what costs: how much a model reads, and a branch and a claim pushed and removed, "
        "which may start CI",
    )

    init = command("init", "write a commented sprint.yaml from what is found here; never over another", _init)
    init.add_argument("dir", nargs="?", type=Path, metavar="DIR", help="where to (default: here)")

    _add_schedule(command)
    _add_monitor(command)
    _add_pause(command)


def _add_pause(command: AddCommand) -> None:
    pause = command("pause", "have no host begin a run in a repository; runs under way go on", _pause)
    resume = command("resume", "have hosts begin runs in a repository again", _resume)
    for one in (pause, resume):
        one.add_argument("repos", nargs="*", metavar="OWNER/REPO", help="as in the configuration; repeatable")
        one.add_argument("--all", action="store_true", help="all configured repositories")
    pause.add_argument("--why", default="", metavar="TEXT", help="for whoever can fetch from the repository")


def _add_schedule(command: AddCommand) -> None:
    schedule = command(
        "schedule", "the crontab lines that start a tick for each configured repository", _schedule
    )
    schedule.add_argument(
        "--every", type=positive, metavar="MINUTES", help="for repositories without `every:` (default 10)"
    )
    schedule.add_argument("--systemd", action="store_true", help="write systemd's user timers instead")
    what = schedule.add_mutually_exclusive_group()
    what.add_argument("--install", action="store_true", help="keep them, marked, in your crontab")
    what.add_argument("--remove", action="store_true", help="take them away again")


def _add_monitor(command: AddCommand) -> None:
    monitor = command(
        "monitor", "what passes and what fails; exit 1 where something needs a person", _monitor
    )
    monitor.add_argument(
        "--repo", action="append", default=[], metavar="OWNER/REPO", help="only this one; repeatable"
    )
    monitor.add_argument(
        "--since", default="", metavar="WHEN", help="7d, 24h or a date: only runs after that"
    )
    monitor.add_argument("--refresh", action="store_true", help="ask what became of each pull request first")
    monitor.add_argument("--quiet", action="store_true", help="only alarms, a line each")
    monitor.add_argument(
        "--watch", type=seconds, nargs="?", const=10.0, metavar="SECONDS", help="again and again (10)"
    )
    monitor.add_argument("--json", action="store_true", help="for programs; the schema has a version")
    monitor.add_argument("--html", type=Path, metavar="FILE", help="also write a page for a browser")
    monitor.add_argument(
        "--prometheus", type=Path, metavar="FILE", help="also write node_exporter's text file"
    )
    monitor.add_argument(
        "--failures", type=positive, metavar="N", help="alarm at N failures in a row (default 5)"
    )
    monitor.add_argument("--fail-below", type=percent, metavar="PERCENT", help="alarm below this pass rate")


def _doctor(args: argparse.Namespace) -> int:
    from sprint.doctor import doctor

    return doctor(configuration(args), args.repos, os.environ, Path.home(), sys.stdout, deep=args.deep)


def _pause(args: argparse.Namespace) -> int:
    from sprint.pause_command import pause

    config = configuration(args)
    return pause(config, args.repos, args.all, args.why, os.environ, Path.home(), sys.stdout)


def _resume(args: argparse.Namespace) -> int:
    from sprint.pause_command import resume

    return resume(configuration(args), args.repos, args.all, os.environ, Path.home(), sys.stdout)


def _init(args: argparse.Namespace) -> int:
    from sprint.init import init

    return init(args.dir, args.config, os.environ, Path.cwd(), Path.home(), sys.stdout)


def _schedule(args: argparse.Namespace) -> int:
    from sprint.schedule import Options, schedule

    options = Options(install=args.install, remove=args.remove, systemd=args.systemd, every=args.every)
    return schedule(args.config, options, os.environ, Path.cwd(), Path.home(), sys.stdout)


def _monitor(args: argparse.Namespace) -> int:
    from sprint.monitor.monitor_command import Options, run

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
    return run(configuration(args), options, sys.stdout, os.environ, Path.home())
