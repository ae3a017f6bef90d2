"""Where the agents' programs are on this machine, and what of it the sandbox has to be shown."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sprint import proc
from sprint.errors import ConfigError

INSIDE = "/opt/sprint-agent"
_LARGEST_SCRIPT = 5_000_000  # bytes
_VERSION = re.compile(r"\d+(\.\d+)+[\w.+-]*")


@dataclass(frozen=True)
class Program:
    """`argv` as inside, without arguments; `read_only` maps host paths to where they are shown."""

    argv: tuple[str, ...]
    read_only: Mapping[Path, str]
    version: str = ""


def located(name: str, configured: str, remedy: str) -> Path:
    """The program's own file, links followed. Raises ConfigError."""
    found = configured or proc.find(name)
    if not found or not Path(found).is_file():
        where = f"there is no {configured}" if configured else f"{name} is not on the PATH"
        raise ConfigError(f"worker {name}: {where}; {remedy}, or set `program:` of that worker")
    return Path(found).resolve()


def npm_package(program: Path, name: str) -> tuple[Path, str]:
    """The folder of the npm package that a program is in, and its version. Raises ConfigError."""
    for folder in program.parents:
        if (told := _manifest(folder)).get("name") == name:
            return folder, str(told.get("version") or "")
    raise ConfigError(f"{program}: not part of the npm package {name}; install that package with npm")


def version_near(program: Path, *packages: str) -> str:
    """The version of the npm package that a program came with, "" where it came otherwise.

    npm puts a binary into a package of its own, beside the one that is asked for.
    """
    for folder in program.parents:
        told = _manifest(folder)
        if str(told.get("name") or "").startswith(packages):
            return _plain_version(str(told.get("version") or ""))
    return ""


def _plain_version(version: str) -> str:
    found = _VERSION.match(version)
    return found[0].split("-")[0] if found else ""


def _manifest(folder: Path) -> Mapping[str, object]:
    try:
        told = json.loads((folder / "package.json").read_text())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def native(program: Path, package: str, version: str = "") -> Program:
    """One binary without anything beside it, shown alone."""
    inside = f"{INSIDE}/{package}"
    return Program((inside,), {program: inside}, version)


def node(least: tuple[int, int]) -> Path:
    """Node.js of at least that version. Raises ConfigError."""
    found = proc.find("node")
    wanted = ".".join(map(str, least))
    if found is None:
        raise ConfigError(f"node is not on the PATH; install Node.js {wanted} or newer")
    told = proc.run([found, "--version"], timeout=20).out.strip().lstrip("v")
    if _numbers(told)[:2] < least:
        raise ConfigError(f"node is {told}; this agent needs {wanted} or newer")
    return Path(found).resolve()


def shown(path: Path, inside: str) -> tuple[str, dict[Path, str]]:
    """Where a file or folder is inside, and what has to be shown for that: nothing below /usr."""
    if path.parts[1:2] == ("usr",):
        return str(path), {}
    return inside, {path: inside}


def version_in_name(names: list[str], pattern: str) -> str:
    """The version in the first of these names that matches, as in `hermes_agent-0.19.0.dist-info`."""
    for name in names:
        if found := re.fullmatch(pattern, name):
            return found[1]
    return ""


def _numbers(version: str) -> tuple[int, ...]:
    found = _VERSION.match(version)
    return tuple(int(part) for part in re.findall(r"\d+", found[0])) if found else (0,)


def binary_of_npm(program: Path, package: str, name: str) -> Path:
    """The binary itself: npm may put a script before it that needs Node, or leave a placeholder where it may
    run no install scripts. Raises ConfigError where there is none."""
    if program.stat().st_size > _LARGEST_SCRIPT:
        return program
    folder, _ = npm_package(program, package)
    beside = [
        *folder.parent.glob(f"{folder.name}-linux-*"),
        *folder.glob("node_modules/**/*-linux-*"),
        folder,
    ]
    for place in beside:
        for found in sorted(place.rglob(name)):
            if found.is_file() and found.stat().st_size > _LARGEST_SCRIPT:
                return found.resolve()
    raise ConfigError(f"{program}: npm installed {package} without its binary; install it again")


def interpreter(python: Path) -> dict[Path, str]:
    """What has to be shown of the Python of a virtual environment: all that it came with, where it is.

    Raises ConfigError where that is a place that the sandbox has of its own.
    """
    prefix = python.parent.parent
    if prefix == Path("/usr"):
        return {}
    if prefix.parts[1:2] in ((), ("work",), ("tmp",), ("proc",), ("dev",)):
        raise ConfigError(f"{python}: cannot be shown in the sandbox; install Python below /opt or /usr")
    return {prefix: str(prefix)}
