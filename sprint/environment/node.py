"""Node projects: what the lock file says, by the tool that wrote it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from sprint.environment.proposal import YARN_BY_REGISTRY, YARN_LOCK_AS_IT_WAS, Check, Part, Tools
from sprint.environment.snapshot import Snapshot

_DEPENDENCIES = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies", "workspaces")
_BUILDS = (
    "prepare",
    "build",
)  # what a checkout needs before its tests, in the order of `npm ci && npm run build`
_PNPM_OF_LOCK = {"5": "7", "6": "8"}  # of the lock file's version, the pnpm that wrote it
_PACKAGES = "npm install --global"  # which the sandbox sends to ~/.local


def node(project: Snapshot, tools: Tools) -> Part:
    package = project.json("package.json")
    scripts = package.get("scripts")
    scripts = scripts if isinstance(scripts, dict) else {}
    test = scripts.get("test")
    if not isinstance(test, str) or not test.strip() or "no test specified" in test:
        return Part()
    lock = next((lock for lock in _MANAGERS if project.has(lock)), "")
    manager = "bun run" if lock.startswith("bun") else _MANAGERS[lock][0]
    check = Check(f"{manager} test", "npm test", test)
    if not lock and not any(package.get(kind) for kind in _DEPENDENCIES):
        return Part(checks=(check,))
    built = [name for name in _BUILDS if isinstance(scripts.get(name), str) and "husky" not in scripts[name]]
    run = "bun run" if lock.startswith("bun") else f"{_MANAGERS[lock][0]} run"
    return Part(
        setup=_MANAGERS[lock][1](project, tools),
        build=tuple(f"{run} {name}" for name in built),
        checks=(check,),
    )


def _npm(project: Snapshot, tools: Tools) -> tuple[str, ...]:
    is_locked = project.has("package-lock.json", "npm-shrinkwrap.json")
    return ("npm ci",) if is_locked else ("npm install --no-package-lock",)


def _pnpm(project: Snapshot, tools: Tools) -> tuple[str, ...]:
    version = re.search(r"^lockfileVersion:\s*+['\"]?(\d)", project.text("pnpm-lock.yaml"), re.MULTILINE)
    wanted = _PNPM_OF_LOCK.get(version[1] if version else "", "9")
    fetch = () if "pnpm" in tools else (f"{_PACKAGES} pnpm@{wanted}",)
    return (*fetch, "pnpm install --frozen-lockfile")


def _yarn(project: Snapshot, tools: Tools) -> tuple[str, ...]:
    is_classic = "yarn lockfile v1" in project.text("yarn.lock")[:500]
    if is_classic:
        fetch = () if "yarn" in tools else (f"{_PACKAGES} yarn@1",)
        return (*fetch, YARN_BY_REGISTRY, "yarn install --frozen-lockfile", YARN_LOCK_AS_IT_WAS)
    # Where the project names its own release, every yarn hands over to that one.
    return (f"{_PACKAGES} --force @yarnpkg/cli-dist", "yarn install --immutable")


def _bun(project: Snapshot, tools: Tools) -> tuple[str, ...]:
    fetch = () if "bun" in tools else (f"{_PACKAGES} bun",)
    return (*fetch, "bun install --frozen-lockfile")


# By lock file: the program that runs scripts, and how what it lists is installed.
_MANAGERS: Mapping[str, tuple[str, Callable[[Snapshot, Tools], tuple[str, ...]]]] = {
    "pnpm-lock.yaml": ("pnpm", _pnpm),
    "yarn.lock": ("yarn", _yarn),
    "bun.lock": ("bun", _bun),
    "bun.lockb": ("bun", _bun),
    "package-lock.json": ("npm", _npm),
    "npm-shrinkwrap.json": ("npm", _npm),
    "": ("npm", _npm),
}
