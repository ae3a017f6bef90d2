"""Whether a set-up only fetches what manifests name: then it holds for every commit with the same ones.

`pip install .` and `make` put a copy of the sources into the environment. Taken from another commit, it would
have the checks prove code that is not there any more. Only commands that are known not to do so are believed.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence

from sprint.environment.proposal import COMPILE_GO, COMPILE_RUST, YARN_BY_REGISTRY, YARN_LOCK_AS_IT_WAS

_SAFE = (
    COMPILE_GO,
    COMPILE_RUST,
    YARN_BY_REGISTRY,
    YARN_LOCK_AS_IT_WAS,
    'ln -sfn "$PWD/.venv" ~/.venv',
    'ln -sfn "$(poetry env info --path)" ~/.venv',
    *(
        f"mkdir -p ~/.local/bin && ln -sf ~/.{name}/bin/{name} ~/.local/bin/{name}"
        for name in ("uv", "poetry", "pdm")
    ),
)
_BETWEEN_STEPS = frozenset({"&&", ";"})
_OPERATOR = re.compile(r"[();<>|&]+")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*")
_PYTHON = re.compile(r"python(?:3(?:\.\d+)?)?")
# How a step may begin. Neither what follows, nor a script of a package that is fetched, is the project's own.
_FETCHES = (
    *("npm ci", "npm install", "npm i", "pnpm install", "pnpm i", "yarn install", "bun install"),
    *("corepack enable", "deno install", "deno cache", "go mod download", "cargo fetch"),
    *("bundle install", "bundle config", "composer install", "mix deps.get", "dotnet restore"),
    *("poetry install", "poetry env use", "poetry config", "pdm sync", "pdm install", "pdm venv create"),
    *("pipenv install", "pipenv sync", "uv sync", "uv venv", "uv export", "venv", "ensurepip", "true", "cd"),
)
_WRAPPERS = ("poetry run", "pdm run", "uv run", "bundle exec")
_INSTALLERS = ("pip install", "pip3 install", "uv pip install")
_TAKE_A_VALUE = frozenset(
    {
        *("-r", "--requirement", "-c", "--constraint", "-e", "--editable", "--group", "--extra"),
        *("--python", "-p", "-i", "--index-url", "--extra-index-url", "-f", "--find-links"),
    }
)
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[A-Za-z0-9._,-]*\])?(?:[=<>!~]=?[^/\\]*)?")


def are_dependencies_only(commands: Iterable[str]) -> bool:
    """Whether each of the commands is known to install nothing that is made of the project's own sources."""
    return all(command in _SAFE or all(map(_is_safe, _steps(command))) for command in commands)


def _steps(command: str) -> list[list[str]]:
    """The words of each step of a command line; a step that nothing allows where it is more than that."""
    steps: list[list[str]] = [[]]
    lexer = shlex.shlex(command.replace("\n", " ; "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        for word in lexer:
            if word in _BETWEEN_STEPS:
                steps.append([])
            else:
                steps[-1].append(word)
    except ValueError:
        return [["unclosed quotes"]]
    return steps


def _is_safe(words: Sequence[str]) -> bool:
    if any(_OPERATOR.fullmatch(word) or "`" in word or "$" in word for word in words):
        return False
    while words and _ASSIGNMENT.fullmatch(words[0]):
        words = words[1:]
    if not words or words == ["yarn"]:
        return True
    if words[0] in (".", "source"):
        return len(words) == 2 and words[1].endswith("/bin/activate")
    words = [words[0].rpartition("/")[2], *words[1:]]  # ~/.venv/bin/pip is pip
    for wrapper in _WRAPPERS:
        if rest := _after(wrapper, words):
            words = rest
    if _PYTHON.fullmatch(words[0]) and words[1:2] == ["-m"]:
        words = words[2:]
    for installer in _INSTALLERS:
        if (arguments := _after(installer, words)) is not None:
            return _names_no_folder(arguments)
    return "--no-editable" not in words and any(_after(fetch, words) is not None for fetch in _FETCHES)


def _after(beginning: str, words: Sequence[str]) -> Sequence[str] | None:
    """What follows; None where the words do not begin so."""
    parts = beginning.split(" ")
    return words[len(parts) :] if list(words[: len(parts)]) == parts else None


def _names_no_folder(arguments: Sequence[str]) -> bool:
    """Whether all that pip is given is packages of an index, files of requirements, and editable folders."""
    rest = iter(arguments)
    for argument in rest:
        if argument in _TAKE_A_VALUE:
            next(rest, None)
        elif not argument.startswith("-") and not _REQUIREMENT.fullmatch(argument):
            return False
    return True
