"""`sprint completion SHELL`: what a shell needs to complete sprint's command line, made from its parser."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import PurePath

from sprint.cli.options import AddCommand, configuration
from sprint.config import Config
from sprint.errors import ConfigError
from sprint.surroundings import Surroundings

_SHELLS = ("bash", "zsh", "fish")
_RUNS = 50  # the newest
# bash expands what it completes with: nothing else that a forge or a file named gets there.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:-]*")
_ASKED = "sprint completion --words {} 2>/dev/null"
_COMPLETIONS = """\
source <(sprint completion bash)    in this shell; in ~/.bashrc: in each
sprint completion fish > ~/.config/fish/completions/sprint.fish
"""
_KINDS = {"OWNER/REPO": "repos", "RUN": "runs", "NAME": "workers"}  # by metavar


def add(command: AddCommand) -> None:
    completion = command(
        "completion", "print what has your shell complete sprint's commands", _completion, _COMPLETIONS
    )
    completion.add_argument("shell", nargs="?", choices=_SHELLS, help="default: yours")
    completion.add_argument("--words", choices=sorted(_KINDS.values()), help=argparse.SUPPRESS)


def _completion(args: argparse.Namespace, around: Surroundings) -> int:
    if args.words:
        for word in filter(_PLAIN.fullmatch, _words(configuration(args, around), args.words)):
            print(word, file=around.out)
        return 0
    shell = args.shell or PurePath(around.environ.get("SHELL", "")).name
    if shell not in _SHELLS:
        raise ConfigError(f"which shell? `sprint completion {'|'.join(_SHELLS)}`")
    print(script(args.whole_parser, shell), file=around.out)
    return 0


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The completion script of one shell."""
    import shtab

    for action in _actions(parser):
        if isinstance(action.metavar, str) and action.metavar in _KINDS:
            action.complete = shtab.cmd(_ASKED.format(_KINDS[action.metavar]))  # type: ignore[attr-defined]
        elif action.metavar in ("FILE", "DIR"):
            kind = shtab.FILE if action.metavar == "FILE" else shtab.DIRECTORY
            action.complete = kind  # type: ignore[attr-defined]
    return str(shtab.complete(parser, shell=shell))


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _actions(below)


def _words(config: Config, kind: str) -> Iterator[str]:
    if kind == "repos":
        yield from (repo.name for repo in config.repos)
    elif kind == "workers":
        yield from config.workers
    else:
        from sprint.runs import RunStore

        yield from RunStore(config.paths.results).names()[:_RUNS]
