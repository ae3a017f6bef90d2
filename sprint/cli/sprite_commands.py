"""The commands of whoever operates sprites: `sprint sprite`, `sprint agent`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from sprint.cli.options import AddCommand, Parser, configuration, positive
from sprint.config import Config
from sprint.errors import SprintError
from sprint.surroundings import Surroundings

if TYPE_CHECKING:
    from sprint.sprite.backend import Backend
    from sprint.sprite.onlooking import Onlooker
    from sprint.sprite.sprite_command import Operator


@dataclass(frozen=True)
class _Desk:
    """What a command works with; its imports come with its first use."""

    config: Config
    around: Surroundings
    backend: Backend

    @property
    def by_hand(self) -> Operator:
        from sprint.sprite.sprite_command import Operator

        return Operator(self.backend, self.config.paths.results, self.around.out)

    @property
    def onlooker(self) -> Onlooker:
        from sprint.sprite.onlooking import Onlooker

        return Onlooker(self.backend, self.around.out)


_SPRITES = """\
sprint sprite list                  all of them, their state and labels
sprint sprite logs bramble -f       what the agent there prints, as it comes
sprint sprite exec bramble -- ls work/acme--widgets/repo
sprint sprite dispatch bramble --help
a console, the public address and the API by hand: the `sprite` CLI has them
"""
_AGENTS = """\
sprint agent start --help
sprint agent status                 of the agent here
sprint agent status --sprite bramble
"""

_Do = Callable[[argparse.Namespace, _Desk], int]
_Action = Callable[..., argparse.ArgumentParser]


def add(command: AddCommand) -> None:
    sprite = command(
        "sprite", "look after machines that keep what is on them, and the agents there", _sprite, _SPRITES
    )
    sprite.add_argument("--backend", default="", metavar="NAME", help="default: the first of `backends:`")
    actions = sprite.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str, do: _Do, *, named: bool = True) -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        added.set_defaults(do=do)
        if named:
            added.add_argument("name", metavar="NAME", help="the sprite's")
        return added

    action(
        "list", "all sprites, their state and labels", lambda args, desk: desk.by_hand.listing(), named=False
    )
    _add_watching(action)
    _add_life(action)
    _add_files(action)
    _add_many(action)
    _add_work(action)

    agent = command("agent", "supervise a coding agent: start, status, logs, stop, kill", _agent, _AGENTS)
    agent.add_argument(
        "action", choices=("start", "status", "logs", "stop", "kill", "pack"), help="each has a --help"
    )
    agent.add_argument(
        "arguments",
        nargs=argparse.REMAINDER,
        metavar="...",
        help="its own; --sprite NAME is for the agent there (not with start), else it is the one here",
    )


def _add_watching(action: _Action) -> None:
    status = action(
        "status",
        "what each does and since when, all at once",
        lambda args, desk: desk.onlooker.status(args.names),
        named=False,
    )
    status.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    logs = action("logs", "what the agent printed", _logs)
    events = action(
        "events",
        "what the supervisor noted, a line of JSON each",
        lambda args, desk: desk.onlooker.logs(args.name, args.lines, follow=args.follow, file="events.jsonl"),
    )
    for one in (logs, events):
        _add_tail(one)
    end = action(
        "stop",
        "end the agent there, and all that it started",
        lambda args, desk: desk.onlooker.stop(args.name, args.timeout),
    )
    _add_timeout(end)
    action(
        "kill",
        "the same by SIGKILL at once, for what stop does not end",
        lambda args, desk: desk.onlooker.kill(args.name),
    )


def _add_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout", default="", metavar="X", help="from SIGTERM to SIGKILL, as in 30s (default 10s)"
    )


def _add_tail(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--lines", type=positive, default=100, metavar="N", help="the last N (100)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as they come")
    if parser.prog.endswith("logs"):
        parser.add_argument("--raw", action="store_true", help="as the agent wrote it, not in words")


def _add_life(action: _Action) -> None:
    new = action(
        "provision", "make a new one", lambda args, desk: desk.by_hand.provision(args.name, dict(args.label))
    )
    new.add_argument(
        "--label", action="append", type=_label, default=[], metavar="KEY=VALUE", help="repeatable"
    )
    kept = action(
        "checkpoint",
        "keep what its home holds",
        lambda args, desk: desk.by_hand.checkpoint(args.name, args.comment),
    )
    kept.add_argument("--comment", default="", metavar="TEXT", help="for whoever lists them")
    action("checkpoints", "what was kept", lambda args, desk: desk.by_hand.checkpoints(args.name))
    back = action(
        "restore",
        "its home as it was; what was written since is lost",
        lambda args, desk: desk.by_hand.restore(args.name, args.id, force=args.force),
    )
    back.add_argument("id", metavar="CHECKPOINT", help="as listed by `checkpoints`")
    gone = action(
        "destroy",
        "remove it with all that is on it; asks",
        lambda args, desk: desk.by_hand.destroy(args.name, yes=args.yes, force=args.force),
    )
    gone.add_argument("--yes", action="store_true", help="ask nothing")
    for one in (back, gone):
        one.add_argument(
            "--force", action="store_true", help="also where a run has it: its work there is lost"
        )


def _add_files(action: _Action) -> None:
    run = action(
        "exec",
        "run a command there; its exit code is this one's",
        lambda args, desk: desk.by_hand.exec(args.name, args.argv),
    )
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND", help="and its arguments")
    put = action(
        "put", "copy a file to it", lambda args, desk: desk.by_hand.put(args.name, args.file, args.path)
    )
    put.add_argument("file", type=Path, metavar="FILE", help="here")
    put.add_argument("path", metavar="PATH", help="there, from its home")
    get = action(
        "get", "copy a file from it", lambda args, desk: desk.by_hand.get(args.name, args.path, args.file)
    )
    get.add_argument("path", metavar="PATH", help="there, from its home")
    get.add_argument("file", type=Path, metavar="FILE", help="here")


def _add_many(action: _Action) -> None:
    compose = action(
        "compose", "sprites as a composition says: diff tells what is otherwise", _compose, named=False
    )
    compose.add_argument("what", choices=("diff", "apply"), help="apply makes and mends; it destroys nothing")
    compose.add_argument(
        "file", type=Path, metavar="FILE", help="or the name of an example: fae-court, one-sprite"
    )
    clean = action(
        "clean", "destroy ephemeral sprites over an hour old that no run needs", _clean, named=False
    )
    for one in (compose, clean):
        one.add_argument("--execute", action="store_true", help="do it; else it is only shown")


def _add_work(action: _Action) -> None:
    ready = action("setup", "make it ready for a repository's tasks, and keep its clean state", _setup)
    ready.add_argument("--repo", required=True, metavar="OWNER/REPO")
    ready.add_argument(
        "--agent", default="", metavar="KIND", help="claude, codex, kimi-code, ... (default: as configured)"
    )
    ready.add_argument(
        "--composition", type=Path, metavar="FILE", help="its base files and this persona, too"
    )

    work = action("dispatch", "send it a task; only shown without --execute", _dispatch)
    work.add_argument("prompt", nargs="?", default="", metavar="PROMPT", help="or - for one on stdin")
    work.add_argument("--repo", required=True, metavar="OWNER/REPO")
    work.add_argument(
        "--issue", type=positive, metavar="N", help="in place of a prompt: a run like any other"
    )
    work.add_argument("--ralph", action="store_true", help="again and again, until it says that all is done")
    work.add_argument(
        "--agent", default="", metavar="KIND", help="claude, codex, kimi-code, ... (default: as configured)"
    )
    work.add_argument("--model", default="", metavar="M", help="default: as configured")
    work.add_argument("--branch", default="", metavar="B", help="default: feat/task-ID")
    work.add_argument("--timeout", default="", metavar="X", help="for all of it, as in 30m (limits.minutes)")
    work.add_argument("--max-iterations", type=positive, metavar="N", help="with --ralph (50)")
    work.add_argument("--env-file", type=Path, metavar="F", help="KEY=VALUE lines for the agent, mode 0600")
    work.add_argument("--env", type=_seen_by_all, help=argparse.SUPPRESS)  # as bb had it
    work.add_argument(
        "--wait", action="store_true", help="until it has ended, then collect (with --issue: later ticks do)"
    )
    work.add_argument("--json", action="store_true")
    work.add_argument("--execute", action="store_true", help="do it; else it is only shown")

    back = action("collect", "settle the newest task there: its work becomes a pull request", _collect)
    back.add_argument("--wait", action="store_true", help="until it has ended")
    back.add_argument("--json", action="store_true")


def _setup(args: argparse.Namespace, desk: _Desk) -> int:
    from sprint.dispatch.order import Order
    from sprint.dispatch.setting_up import Setup, set_up

    order = Order(args.name, args.repo, agent=args.agent)
    return set_up(desk.config, Setup(order, desk.backend, args.composition), desk.around)


def _dispatch(args: argparse.Namespace, desk: _Desk) -> int:
    import sys

    from sprint.dispatch.dispatching import dispatch
    from sprint.dispatch.order import Order, minutes_of

    order = Order(
        sprite=args.name,
        repo=args.repo,
        prompt=sys.stdin.read() if args.prompt == "-" else args.prompt,
        issue=args.issue,
        agent=args.agent,
        model=args.model,
        branch=args.branch,
        minutes=minutes_of(args.timeout) if args.timeout else None,
        ralph=args.ralph,
        iterations=args.max_iterations,
        env_file=args.env_file,
    )
    return dispatch(
        desk.config,
        order,
        desk.backend,
        desk.around,
        execute=args.execute,
        wait=args.wait,
        as_json=args.json,
    )


def _collect(args: argparse.Namespace, desk: _Desk) -> int:
    from sprint.dispatch.task_run import collect

    return collect(desk.config, args.name, desk.around, wait=args.wait, as_json=args.json)


def _seen_by_all(_values: str) -> NoReturn:
    """Says nothing of them: what is wrong is mailed and logged."""
    raise argparse.ArgumentTypeError(
        "all users of this machine see what stands here: put KEY=VALUE lines into a file of mode 0600, and "
        "name it with --env-file"
    )


def _label(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not (sign and key and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def _logs(args: argparse.Namespace, desk: _Desk) -> int:
    from sprint.view.agent_log import pretty

    shown = str if args.raw else pretty
    return desk.onlooker.logs(args.name, args.lines, follow=args.follow, shown=shown)


def _compose(args: argparse.Namespace, desk: _Desk) -> int:
    from sprint.sprite import compose
    from sprint.sprite.composition import load

    composition = load(args.file)
    if args.what == "diff":
        return compose.show_difference(desk.backend, composition, desk.around.out)
    results = desk.config.paths.results
    return compose.apply(desk.backend, composition, results, desk.around.out, execute=args.execute)


def _clean(args: argparse.Namespace, desk: _Desk) -> int:
    from sprint.sprite.cleaning import clean

    return clean(desk.backend, desk.config.paths.results, desk.around.out, execute=args.execute)


def _sprite(args: argparse.Namespace, around: Surroundings) -> int:
    if getattr(args, "argv", None) and args.argv[0] == "--":
        del args.argv[0]
    do: _Do = args.do
    return do(args, _desk(args, around))


def _desk(args: argparse.Namespace, around: Surroundings) -> _Desk:
    from sprint.sprite.backends import opened

    config = configuration(args, around)
    return _Desk(config, around, opened(config, args.backend, around))


def _agent(args: argparse.Namespace, around: Surroundings) -> int:
    if args.action == "pack":
        return _pack(args.arguments)
    named = any(word == "--sprite" or word.startswith("--sprite=") for word in args.arguments)
    if args.action == "start" or not named:
        from sprint.sprite.on_machine import become_supervisor

        become_supervisor([args.action, *args.arguments])
    parser = Parser(prog=f"sprint agent {args.action}")
    parser.add_argument("--sprite", dest="name", required=True, metavar="NAME", help="the one there")
    parser.add_argument("--backend", default="", metavar="NAME", help="default: the first of `backends:`")
    match args.action:
        case "logs":
            _add_tail(parser)
        case "status":
            parser.add_argument("--json", action="store_true")
        case "stop":
            _add_timeout(parser)
    asked = parser.parse_args(args.arguments)
    asked.config = args.config
    desk = _desk(asked, around)
    actions: dict[str, Callable[[], int]] = {
        "status": lambda: desk.onlooker.agent_status(asked.name, as_json=asked.json),
        "logs": lambda: _logs(asked, desk),
        "stop": lambda: desk.onlooker.stop(asked.name, asked.timeout),
        "kill": lambda: desk.onlooker.kill(asked.name),
    }
    return actions[args.action]()


def _pack(arguments: Sequence[str]) -> int:
    from sprint.sprite import on_machine

    parser = Parser(
        prog="sprint agent pack",
        description="Write the supervisor as one file, which any Linux machine with Python 3.10 runs.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help=f"{on_machine.PROGRAM}, say")
    file: Path = parser.parse_args(arguments).file
    try:
        file.write_bytes(on_machine.content(on_machine.PROGRAM))
    except OSError as error:
        raise SprintError(f"cannot write {file}: {error.strerror}") from None
    print(f"{file}: copy it to the machine, and there: python3 {file.name} start --help")
    return 0
