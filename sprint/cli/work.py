"""The commands that work on issues and show what came of it: run, show, clean, demo."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from sprint.cli.options import AddCommand, configuration, positive
from sprint.errors import ConfigError


def add(command: AddCommand) -> None:
    run = command("run", "one tick: pick the oldest fit issue and bring it to a pull request", _run)
    run.add_argument("repos", nargs="*", metavar="OWNER/REPO", help="default: all that are configured")
    run.add_argument("--all", action="store_true", help="all configured repositories, in so many words")
    run.add_argument("--issue", type=positive, metavar="N", help="take this issue, whatever its age")
    run.add_argument(
        "--force", action="store_true", help="with --issue: despite its labels, claim or back-off"
    )
    run.add_argument("--worker", default="", metavar="NAME", help="who works, whatever is configured")
    run.add_argument("--dry-run", action="store_true", help="say what would be done; write nothing anywhere")
    run.add_argument("--jobs", type=positive, default=1, metavar="N", help="repositories at once (default 1)")
    run.add_argument("--json", action="store_true", help="one JSON object a line in place of text")

    check = command("check", "set-up and checks of a repository as it is: no model, no claim", _check)
    check.add_argument("repo", metavar="OWNER/REPO")
    check.add_argument("--ref", default="", metavar="REF", help="branch, tag or commit (default: its base)")

    show = command("show", "what a run did, from its transcript, for a person", _show)
    show.add_argument("run", metavar="RUN", help="a run's id or the beginning of it, or OWNER/REPO#N")
    show.add_argument("--html", type=Path, metavar="FILE", help="write it as a page for a browser instead")

    stop = command("stop", "end a run that is under way: its work is kept as a patch", _stop)
    stop.add_argument("run", metavar="RUN", help="a run's id or the beginning of it, or OWNER/REPO#N")
    stop.add_argument("--hand-in", action="store_true", help="what is sound becomes a draft pull request")

    command(
        "clean", "remove old workspaces, run folders, environments and mirrors; each tick does it too", _clean
    )

    demo = command(
        "demo", "the main job on loopback: no account, no key, no network, a scripted model", _demo
    )
    demo.add_argument("--keep", type=Path, metavar="DIR", help="leave everything in DIR to look at")


def _run(args: argparse.Namespace) -> int:
    from sprint.run_command import Options, run_command

    if args.all and args.repos:
        raise ConfigError("--all goes without repository names")
    options = Options(
        repos=tuple(args.repos),
        issue=args.issue,
        force=args.force,
        dry_run=args.dry_run,
        jobs=args.jobs,
        worker=args.worker,
        as_json=args.json,
        by_hand=sys.stderr.isatty(),
    )
    return run_command(configuration(args), options, os.environ, Path.home())


def _check(args: argparse.Namespace) -> int:
    from sprint.check_command import check_command

    return check_command(configuration(args), args.repo, args.ref, os.environ, Path.home(), sys.stdout)


def _show(args: argparse.Namespace) -> int:
    from sprint.show import show

    return show(configuration(args), args.run, sys.stdout, args.html)


def _stop(args: argparse.Namespace) -> int:
    from sprint.stop_command import stop

    return stop(configuration(args), args.run, args.hand_in, os.environ, Path.home(), sys.stdout)


def _clean(args: argparse.Namespace) -> int:
    from sprint.retention import sweep

    for removed in sweep(configuration(args)):
        print(f"removed {removed}")
    return 0


def _demo(args: argparse.Namespace) -> int:
    from sprint.demo.demo_command import run_demo

    return run_demo(args.keep, sys.stdout)
