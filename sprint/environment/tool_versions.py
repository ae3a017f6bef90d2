"""Which interpreters and tools a sandbox has: asked of it once, and kept until one of them changes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from sprint import files
from sprint.config import SandboxConfig
from sprint.errors import SprintError
from sprint.sandbox import Sandbox
from sprint.sandbox.probing import in_throwaway
from sprint.sandbox.variables import environment

_FORMAT = 1
_SECONDS = 60.0
_KEPT = 8  # answers, of differently configured sandboxes
_NEWEST_PYTHON = 20
# Programs, and how each tells its version where that is not --version.
_PROGRAMS = {
    "python3": "",
    **{f"python3.{minor}": "" for minor in range(8, _NEWEST_PYTHON)},
    **dict.fromkeys(("pip", "uv", "poetry", "pdm", "tox", "pytest"), ""),
    **dict.fromkeys(("node", "npm", "pnpm", "yarn", "bun", "deno"), ""),
    "go": "version",
    **dict.fromkeys(("rustc", "cargo"), ""),
    "java": "-version",
    **dict.fromkeys(("mvn", "gradle", "ruby", "bundle", "php", "composer", "elixir", "dotnet", "swift"), ""),
    **dict.fromkeys(("gcc", "g++", "clang", "make", "cmake", "just", "git", "rg", "jq"), ""),
    "sqlite3": "",
}
# All at once, each answer in one piece.
_SCRIPT = r"""
for asked; do
    name=${asked%%:*} option=${asked#*:}
    command -v "$name" >/dev/null && printf '%s\t%s\n' "$name" \
        "$("$name" "$option" 2>&1 </dev/null | head -c 2000 | tr '\t\n' '  ')" &
done
wait
"""
_VERSION = re.compile(r"(?<![\d.])(\d{1,4}(?:\.\d{1,6}){1,3})")


def tools(sandbox: Sandbox, config: SandboxConfig, cache: Path | None = None) -> tuple[str, ...]:
    """For a person or a model: each program with its version, as in "node 20.11.1"."""
    found = dict(versions(sandbox, config, cache))
    pythons = {name: version for name, version in found.items() if name.startswith("python3")}
    rest = [f"{name} {version}".strip() for name, version in found.items() if name not in pythons]
    usual = pythons.pop("python3", None)
    others = [f"{name} {version}" for name, version in pythons.items() if version != usual]
    return (*((f"python and python3 {usual}".strip(),) if usual is not None else ()), *others, *rest)


def versions(sandbox: Sandbox, config: SandboxConfig, cache: Path | None = None) -> Mapping[str, str]:
    """Programs to versions ("" where one does not tell), in an order of ours.

    With `cache` the answer is kept there for as long as the programs are the same files. Raises SandboxError
    where nothing can be run.
    """
    key = _fingerprint(config)
    kept = _load(cache)
    if (known := kept.get(key)) is not None:
        return known
    found = _asked(sandbox)
    if cache is not None:
        newest = dict([*kept.items(), (key, found)][-_KEPT:])
        with contextlib.suppress(SprintError):  # it only costs the next one the question
            files.make_folder(cache)
            files.replace(cache / "tools.json", json.dumps(newest).encode(), durable=False)
    return found


def _asked(sandbox: Sandbox) -> dict[str, str]:
    asked = [f"{name}:{option or '--version'}" for name, option in _PROGRAMS.items()]
    done = in_throwaway(sandbox, ["/bin/sh", "-c", _SCRIPT, "tools", *asked], timeout=_SECONDS)
    told = dict(line.split("\t", 1) for line in done.out.splitlines() if "\t" in line)
    return {name: _version(told[name]) for name in _PROGRAMS if name in told}


def _version(text: str) -> str:
    match = _VERSION.search(text)
    return match[1] if match else ""


def _fingerprint(config: SandboxConfig) -> str:
    """Of the files that the programs are. The PATH without a home: nothing that a workspace holds counts."""
    path = environment(config, home="/nonexistent", tmp="/nonexistent")["PATH"]
    seen: list[object] = [_FORMAT, config.kind, path, list(_PROGRAMS.items())]
    for place in _places(tuple(_PROGRAMS), path, _stamps(path)):
        real = os.path.realpath(place)
        with contextlib.suppress(OSError):
            found = Path(real).stat()
            seen.append([place, real, found.st_size, found.st_mtime_ns])
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:16]


@lru_cache(maxsize=_KEPT)
def _places(names: tuple[str, ...], path: str, _as_of: tuple[int, ...]) -> tuple[str, ...]:
    """Where programs are; looked for anew once a folder of the path has changed."""
    found = (shutil.which(name, path=path) for name in names)
    return tuple(filter(None, found))


def _stamps(path: str) -> tuple[int, ...]:
    stamps = []
    for folder in path.split(os.pathsep):
        with contextlib.suppress(OSError):
            stamps.append(Path(folder).stat().st_mtime_ns)
    return tuple(stamps)


def _load(cache: Path | None) -> dict[str, dict[str, str]]:
    with contextlib.suppress(OSError, ValueError):
        kept = json.loads((cache / "tools.json").read_bytes()) if cache else {}
        if isinstance(kept, dict) and all(isinstance(found, dict) for found in kept.values()):
            return kept
    return {}
