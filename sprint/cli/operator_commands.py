"""The commands of whoever operates it: monitor, serve, doctor, init, schedule, pause, resume."""

from __future__ import annotations

import argparse
from pathlib import Path

from sprint.cli.options import AddCommand, configuration, percent, port, positive, seconds
from sprint.domain import is_repo_name
from sprint.errors import ConfigError
from sprint.surroundings import Surroundings

_DOCTORS = """\
sprint doctor                       all that is configured
sprint doctor acme/widgets --deep   also what costs: a turn, a push taken back
sprint doctor --json | grep FAIL    for programs
"""
_INITS = """\
sprint init acme/widgets         asks what it may keep where
sprint init acme/widgets --yes   the same without questions
sprint init octo/gears --token-file ~/gears.token --worker claude
"""
_SCHEDULES = """\
sprint schedule                     show the lines
sprint schedule --install           try one as cron would, and keep them
sprint schedule --remove            take them away again, and no other line
"""
_MONITORS = """\
sprint monitor --since 7d           the last week
sprint monitor --watch              again every ten seconds
sprint monitor --html report.html   a page, and beside it one of every run
sprint monitor --share /srv/www/s   with the runs' files, for a web server
"""
_SERVES = """\
sprint serve                        http://127.0.0.1:8765, for you alone
sprint serve --host 10.0.0.5 --token-file page.token
sprint serve --systemd              write it as a unit of yours instead
"""
_PAUSES = """\
sprint pause acme/widgets --why "release week"
sprint pause --all                  every configured repository
"""
_RESUMES = """\
sprint resume acme/widgets          its next tick picks again
"""
_GATEWAYS = """\
sprint gateway 20261121T1333        for the run whose id begins so
"""


def add(command: AddCommand) -> None:
    doctor = command(
        "doctor",
        "check git, sandbox, forges, tokens and model one by one, with the remedy",
        _doctor,
        _DOCTORS,
    )
    doctor.add_argument("--json", action="store_true", help="an object a line: grade, what, says")
    doctor.add_argument("repos", nargs="*", metavar="OWNER/REPO", help="default: all that are configured")
    doctor.add_argument(
        "--deep",
        action="store_true",
        help="also what costs: how much a model reads, a turn of each agent, and a branch and a claim "
        "pushed and removed, which may start CI",
    )

    _add_init(command)
    _add_schedule(command)
    _add_monitor(command)
    _add_serve(command)
    _add_pause(command)

    gateway = command(
        "gateway", "serve one run's way to its model, until the run is over", _gateway, _GATEWAYS
    )
    gateway.add_argument("run", metavar="RUN", help="a run's id or the beginning of it")
    gateway.add_argument(
        "--speaks", choices=("messages", "responses", "chat"), help="default: what the run's agent speaks"
    )


def _add_init(command: AddCommand) -> None:
    init = command(
        "init", "write a commented sprint.yaml from what is found here; never over another", _init, _INITS
    )
    init.set_defaults(quiet=True)  # all that is logged is in its report
    init.add_argument(
        "where",
        nargs="*",
        metavar="OWNER/REPO",
        help="whose backlog, in place of what git remotes tell; or a folder: where to write (default: here)",
    )
    init.add_argument(
        "-y",
        "--yes",
        action="store_true",
        help="to all that it would ask: tokens of the environment go into files (0600), and sprint.yaml and "
        "results/ stay out of a checkout's git",
    )
    init.add_argument(
        "--repo",
        action="append",
        default=[],
        metavar="OWNER/REPO",
        help="in place of what git remotes tell; repeatable",
    )
    init.add_argument("--token-file", type=Path, metavar="FILE", help="where the forge's token is kept")
    init.add_argument("--worker", default="", metavar="KIND", help="who works on them, such as hermes")


def _add_pause(command: AddCommand) -> None:
    pause = command(
        "pause", "have no host begin a run in a repository; runs under way go on", _pause, _PAUSES
    )
    resume = command("resume", "have hosts begin runs in a repository again", _resume, _RESUMES)
    for one in (pause, resume):
        one.add_argument("repos", nargs="*", metavar="OWNER/REPO", help="as in the configuration; repeatable")
        one.add_argument("--all", action="store_true", help="all configured repositories")
    pause.add_argument("--why", default="", metavar="TEXT", help="for whoever can fetch from the repository")


def _add_schedule(command: AddCommand) -> None:
    schedule = command(
        "schedule",
        "the crontab lines that start a tick for each configured repository",
        _schedule,
        _SCHEDULES,
    )
    schedule.add_argument(
        "--every", type=positive, metavar="MINUTES", help="for repositories without `every:` (default 10)"
    )
    schedule.add_argument("--systemd", action="store_true", help="write systemd's user timers instead")
    schedule.add_argument(
        "--actions", action="store_true", help="write a workflow for the forge's own Actions instead"
    )
    what = schedule.add_mutually_exclusive_group()
    what.add_argument("--install", action="store_true", help="keep them, marked, in your crontab")
    what.add_argument("--remove", action="store_true", help="take them away again")


def _add_monitor(command: AddCommand) -> None:
    monitor = command(
        "monitor", "what passes and what fails; exit 1 where something needs a person", _monitor, _MONITORS
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
        "--share",
        type=Path,
        metavar="DIR",
        help="also write the page with every run and its files, for a web server or to be copied",
    )
    monitor.add_argument(
        "--prometheus", type=Path, metavar="FILE", help="also write node_exporter's text file"
    )
    monitor.add_argument(
        "--failures", type=positive, metavar="N", help="alarm at N failures in a row (default 5)"
    )
    monitor.add_argument("--fail-below", type=percent, metavar="PERCENT", help="alarm below this pass rate")


def _add_serve(command: AddCommand) -> None:
    serve = command(
        "serve", "the report as a live page, and each run as it happens, in a browser", _serve, _SERVES
    )
    serve.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="where to listen (default 127.0.0.1); beyond this machine only with a token",
    )
    serve.add_argument(
        "--port", type=port, default=8765, metavar="N", help="default 8765; 0: any that is free"
    )
    serve.add_argument(
        "--token-file", type=Path, metavar="FILE", help="whoever looks has to know the token in this file"
    )
    serve.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="HOST",
        help="a name by which browsers reach it, of a reverse proxy say; repeatable",
    )
    serve.add_argument(
        "--public",
        nargs="?",
        const="127.0.0.1:8766",
        default="",
        metavar="ADDRESS:PORT",
        help="also listen for what others call: sprites' call-backs, forges' webhooks, sprites that ask "
        "their model (127.0.0.1:8766); beyond this machine only with TLS, by `public:` in sprint.yaml",
    )
    serve.add_argument("--systemd", action="store_true", help="write a systemd user unit instead")


def _doctor(args: argparse.Namespace, around: Surroundings) -> int:
    from sprint.doctor import doctor

    return doctor(configuration(args, around), args.repos, around, deep=args.deep, as_json=args.json)


def _pause(args: argparse.Namespace, around: Surroundings) -> int:
    from sprint.pause_command import pause

    config = configuration(args, around)
    return pause(config, args.repos, args.all, args.why, around)


def _resume(args: argparse.Namespace, around: Surroundings) -> int:
    from sprint.pause_command import resume

    return resume(configuration(args, around), args.repos, args.all, around)


def _init(args: argparse.Namespace, around: Surroundings) -> int:
    from sprint.init import Named, init

    folders = [Path(text) for text in args.where if (around.cwd / text).is_dir() or not is_repo_name(text)]
    if len(folders) > 1:
        raise ConfigError(f"one folder at a time: {', '.join(map(str, folders))}")
    repos = (*args.repo, *(text for text in args.where if Path(text) not in folders))
    named = Named(repos, args.worker, args.token_file, args.yes)
    return init(folders[0] if folders else None, args.config, around, named)


def _schedule(args: argparse.Namespace, around: Surroundings) -> int:
    from sprint.schedule import Options, schedule

    options = Options(
        install=args.install, remove=args.remove, systemd=args.systemd, every=args.every, actions=args.actions
    )
    return schedule(args.config, options, around)


def _monitor(args: argparse.Namespace, around: Surroundings) -> int:
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
        share=args.share,
        fail_below=args.fail_below,
        failures_in_a_row=args.failures,
    )
    return run(configuration(args, around), options, around)


def _serve(args: argparse.Namespace, around: Surroundings) -> int:
    from sprint.serve.serve_command import Options, serve

    options = Options(args.host, args.port, args.token_file, tuple(args.name), args.systemd, args.public)
    return serve(configuration(args, around), options, around)


def _gateway(args: argparse.Namespace, around: Surroundings) -> int:
    from sprint.gateway_command import gateway

    return gateway(configuration(args, around), args.run, args.speaks, around)
