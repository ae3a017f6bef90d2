"""The commands that work on issues and show what came of it: run, show, clean, demo."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sprint.cli.options import AddCommand, configuration, positive
from sprint.errors import ConfigError
from sprint.surroundings import Surroundings

_A_RUN = "a run's id or the beginning of it, OWNER/REPO#N of its issue or pull request, or their address"


_RUNS = """\
sprint run                          one tick for each configured repository
sprint run acme/widgets --dry-run   what it would pick, and why none older
sprint run acme/widgets#12          this issue, seen as it happens; or its URL
sprint run acme/widgets --pr 40     follow this pull request of ours now
"""
_CHECKS = """\
sprint check acme/widgets              can a change be proven there?
sprint check acme/widgets --ref v1.2   the same at a tag
"""
_SHOWS = """\
sprint show acme/widgets#12            the newest run of that issue
sprint show 20261121T1333 --follow     one under way, by how its id begins
sprint show 20261121T1333 --json       for programs
"""
_STOPS = """\
sprint stop acme/widgets#12             what it made is kept as patch.diff
sprint stop acme/widgets#12 --hand-in   what it made becomes a draft
"""
_CLEANS = """\
sprint clean                remove what is old, and say what is kept
"""
_DEMOS = """\
sprint demo                 what a tick does, in seconds
sprint demo --keep /tmp/d   the same, with everything left to look at
sprint demo --sprite        the work is done on a sprite, over several ticks
"""


def add(command: AddCommand) -> None:
    _add_run(command)

    check = command(
        "check", "set-up and checks of a repository as it is: no model, no claim", _check, _CHECKS
    )
    check.set_defaults(quiet=True)  # all that is logged is in what it prints
    check.add_argument("repo", metavar="OWNER/REPO")
    check.add_argument("--ref", default="", metavar="REF", help="branch, tag or commit (default: its base)")

    show = command("show", "what a run did, from its transcript, for a person", _show, _SHOWS)
    show.add_argument("run", metavar="RUN", help=_A_RUN)
    show.add_argument(
        "-f", "--follow", action="store_true", help="go on with it as it happens, until it is over"
    )
    form = show.add_mutually_exclusive_group()
    form.add_argument("--html", type=Path, metavar="FILE", help="write it as a page for a browser instead")
    form.add_argument("--json", action="store_true", help="for programs: its facts, without the transcript")

    stop = command("stop", "end a run that is under way: its work is kept as a patch", _stop, _STOPS)
    stop.add_argument("run", metavar="RUN", help=_A_RUN)
    stop.add_argument("--hand-in", action="store_true", help="what is sound becomes a draft pull request")

    command(
        "clean",
        "remove old workspaces, run folders, environments, mirrors; ticks do it hourly",
        _clean,
        _CLEANS,
    )

    demo = command(
        "demo", "the main job on loopback: no account, no key, no network, a scripted model", _demo, _DEMOS
    )
    demo.add_argument(
        "--sprite", action="store_true", help="have the work done on a sprite that is a folder here"
    )
    demo.add_argument("--keep", type=Path, metavar="DIR", help="leave everything in DIR to look at")


def _add_run(command: AddCommand) -> None:
    run = command("run", "one tick: pick the oldest fit issue and bring it to a pull request", _run, _RUNS)
    run.add_argument(
        "repos",
        nargs="*",
        metavar="OWNER/REPO",
        help="default: all that are configured; OWNER/REPO#N or an issue's address: as with --issue",
    )
    run.add_argument("--all", action="store_true", help="all configured repositories, in so many words")
    run.add_argument("--issue", type=positive, metavar="N", help="take this issue, whatever its age")
    run.add_argument("--pr", type=positive, metavar="N", help="follow this pull request of ours, and only it")
    run.add_argument(
        "--force",
        action="store_true",
        help="with --issue: despite its labels, claim or back-off, but not beside a pull request of ours",
    )
    run.add_argument("--worker", default="", metavar="NAME", help="who works, whatever is configured")
    run.add_argument("--dry-run", action="store_true", help="say what would be done; write nothing anywhere")
    run.add_argument(
        "--prompt", action="store_true", help="with --dry-run: also what the worker would be told"
    )
    run.add_argument("--jobs", type=positive, default=1, metavar="N", help="repositories at once (default 1)")
    run.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="at a terminal: what came of it, not what happens meanwhile",
    )
    run.add_argument("--json", action="store_true", help="one JSON object a line in place of text")


def _run(args: argparse.Namespace, around: Surroundings) -> int:
    from sprint.run_command import Options, run_command

    if args.all and args.repos:
        raise ConfigError("--all goes without repository names")
    if args.prompt and not args.dry_run:
        raise ConfigError("--prompt goes with --dry-run")
    options = Options(
        repos=tuple(args.repos),
        issue=args.issue,
        pull=args.pr,
        force=args.force,
        dry_run=args.dry_run,
        prompt=args.prompt,
        jobs=args.jobs,
        worker=args.worker,
        as_json=args.json,
        by_hand=sys.stderr.isatty(),
        quiet=args.quiet,
    )
    return run_command(configuration(args, around), options, around)


def _check(args: argparse.Namespace, around: Surroundings) -> int:
    from sprint.check_command import check_command

    return check_command(configuration(args, around), args.repo, args.ref, around)


def _show(args: argparse.Namespace, around: Surroundings) -> int:
    from sprint.show import show

    if args.json and args.follow:
        raise ConfigError("--json goes without --follow")
    config = configuration(args, around)
    return show(config, args.run, around.out, args.html, follows=args.follow, as_json=args.json)


def _stop(args: argparse.Namespace, around: Surroundings) -> int:
    from sprint.stop_command import stop

    return stop(configuration(args, around), args.run, args.hand_in, around)


def _clean(args: argparse.Namespace, around: Surroundings) -> int:
    from sprint.retention import sweep, usage

    config = configuration(args, around)
    for removed in sweep(config):
        print(f"removed {removed}", file=around.out)
    print(f"kept: {', '.join(map(str, usage(config)))}", file=around.out)
    return 0


def _demo(args: argparse.Namespace, around: Surroundings) -> int:
    from sprint.demo.demo_command import run_demo

    return run_demo(args.keep, around.out, on_sprite=args.sprite)
