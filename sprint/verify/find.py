"""Which checks a project has, told from the files in its root."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sprint.domain import Workspace
from sprint.sandbox import Sandbox

_LARGEST = 1_000_000
_PROBE_SECONDS = 30.0
_PYTHON_TEST = re.compile(r"test_.*\.py|.*_test\.py")


class Tree:
    """The checkout's files, which may be anything: no links are followed, only regular files are read."""

    def __init__(self, workspace: Workspace) -> None:
        self._repo = workspace.checkout

    def names(self, folder: str = ".") -> list[str]:
        """The names in a folder, sorted; none where there is no such folder."""
        with self._opened(folder, os.O_DIRECTORY) as descriptor:
            if descriptor is None:
                return []
            with os.scandir(descriptor) as entries:
                return sorted(entry.name for entry in entries)

    def has(self, *names: str) -> bool:
        return not {*names}.isdisjoint(self.names())

    def text(self, path: str) -> str:
        """A file's beginning; "" where there is none that can be read."""
        with self._opened(path, os.O_NONBLOCK) as descriptor:
            if descriptor is None or not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return ""
            return os.read(descriptor, _LARGEST).decode("utf-8", "replace")

    def json(self, path: str) -> dict[str, Any]:
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(self.text(path))
            if isinstance(value, dict):
                return value
        return {}

    @contextlib.contextmanager
    def _opened(self, path: str, flags: int) -> Iterator[int | None]:
        """Opened part by part from the workspace's root, which alone nobody but us could replace."""
        with contextlib.ExitStack() as stack:
            descriptor = -1
            parts = [str(self._repo.parent), self._repo.name, *Path(path).parts]
            for part in parts:
                wanted = flags if part is parts[-1] else os.O_DIRECTORY
                try:
                    descriptor = os.open(
                        part,
                        os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | wanted,
                        dir_fd=None if descriptor < 0 else descriptor,
                    )
                except OSError:
                    yield None
                    return
                stack.callback(os.close, descriptor)
            yield descriptor


@dataclass(frozen=True)
class _Check:
    """`command` runs the tests with `tool`; `script` is what the project itself says that it runs."""

    command: str
    tool: str
    script: str = ""


def find_checks(workspace: Workspace, sandbox: Sandbox) -> tuple[str, ...]:
    """The commands of a project's checks, by the files in its root; empty where it has none.

    The same tests are not run twice: a script (`make test`, `npm test`, tox) that names the tool of a check
    that was found already is left out, because the tool's own output tells which tests failed.
    """
    tree = Tree(workspace)

    def can_import(module: str) -> bool:
        # Started in /: a file of that name in the checkout is not the module.
        argv = ["/bin/sh", "-c", f"cd / && python3 -c 'import {module}'"]
        return sandbox.run(argv, workspace, timeout=_PROBE_SECONDS).ok

    found: list[_Check] = []
    for kind in _KINDS.values():
        for check in kind(tree, can_import):
            if not any(re.search(rf"\b{re.escape(other.tool)}\b", check.script) for other in found):
                found.append(check)
    return tuple(dict.fromkeys(check.command for check in found))


_Imports = Callable[[str], bool]


def _python(tree: Tree, can_import: _Imports) -> Iterator[_Check]:
    folders = [name for name in ("tests", "test") if any(map(_PYTHON_TEST.fullmatch, _below(tree, name)))]
    configured = (
        tree.has("pytest.ini", ".pytest.ini", "conftest.py")
        or "[tool.pytest" in tree.text("pyproject.toml")
        or "[tool:pytest]" in tree.text("setup.cfg")
        or "[pytest]" in tree.text("tox.ini")
    )
    files = [name for name in tree.names() if _PYTHON_TEST.fullmatch(name)]
    if not (folders or configured or files):
        return
    if not can_import("pytest") and not configured and _is_unittest(tree, folders, files):
        yield from (_Check(command, "unittest") for command in _unittest(tree, folders))
    else:
        yield _Check("python3 -m pytest -q", "pytest")


def _below(tree: Tree, folder: str) -> list[str]:
    """File names in a folder and in the folders in it."""
    names = tree.names(folder)
    return names + [name for inner in names for name in tree.names(f"{folder}/{inner}")]


def _is_unittest(tree: Tree, folders: list[str], files: list[str]) -> bool:
    paths = [*files, *(f"{folder}/{name}" for folder in folders for name in tree.names(folder))]
    return any("unittest" in tree.text(path) for path in paths if path.endswith(".py"))


def _unittest(tree: Tree, folders: list[str]) -> Iterator[str]:
    for folder in folders:
        top = " -t ." if "__init__.py" in tree.names(folder) else ""
        yield f"python3 -m unittest discover -s {folder}{top}"
    if not folders:
        yield "python3 -m unittest discover -p '*test*.py'"


def _node(tree: Tree, _: _Imports) -> Iterator[_Check]:
    scripts = tree.json("package.json").get("scripts")
    script = scripts.get("test") if isinstance(scripts, dict) else None
    if not isinstance(script, str) or not script.strip() or "no test specified" in script:
        return
    managers = {"pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn", "bun.lock": "bun run", "bun.lockb": "bun run"}
    manager = next((manager for file, manager in managers.items() if tree.has(file)), "npm")
    yield _Check(f"{manager} test", "npm test", script)


def _deno(tree: Tree, _: _Imports) -> Iterator[_Check]:
    for name in ("deno.json", "deno.jsonc"):
        if tree.has(name):
            has_task = re.search(r'"tasks"\s*+:\s*+\{[^{}]*"test"\s*+:', tree.text(name)) is not None
            yield _Check("deno task test" if has_task else "deno test", "deno")
            return


def _ruby(tree: Tree, _: _Imports) -> Iterator[_Check]:
    prefix = "bundle exec " if tree.has("Gemfile") else ""
    if tree.names("spec") and ("rspec" in tree.text("Gemfile") or tree.has(".rspec")):
        yield _Check(f"{prefix}rspec", "rspec")
    rakefile = tree.text("Rakefile")
    if re.search(r"TestTask|task:?\s*+[\(:]?\s*+:?test\b", rakefile):
        yield _Check(f"{prefix}rake test", "rake", rakefile)


def _php(tree: Tree, _: _Imports) -> Iterator[_Check]:
    scripts = tree.json("composer.json").get("scripts")
    if isinstance(scripts, dict) and scripts.get("test"):
        yield _Check("composer test", "phpunit")
    elif tree.has("phpunit.xml", "phpunit.xml.dist"):
        yield _Check("vendor/bin/phpunit", "phpunit")


def _jvm(tree: Tree, _: _Imports) -> Iterator[_Check]:
    if tree.has("pom.xml"):
        yield _Check(f"{'./mvnw' if tree.has('mvnw') else 'mvn'} -B test", "mvn")
    elif tree.has("build.gradle", "build.gradle.kts"):
        yield _Check(f"{'./gradlew' if tree.has('gradlew') else 'gradle'} test", "gradle")


def _dotnet(tree: Tree, _: _Imports) -> Iterator[_Check]:
    if any(name.endswith((".sln", ".slnx", ".csproj", ".fsproj")) for name in tree.names()):
        yield _Check("dotnet test", "dotnet")


def _by_file(file: str, command: str, tool: str) -> Callable[[Tree, _Imports], Iterator[_Check]]:
    def kind(tree: Tree, _: _Imports) -> Iterator[_Check]:
        if tree.has(file):
            yield _Check(command, tool)

    return kind


def _make(tree: Tree, _: _Imports) -> Iterator[_Check]:
    # In the order in which make itself looks for them.
    name = next((name for name in ("GNUmakefile", "makefile", "Makefile") if tree.has(name)), "")
    text = tree.text(name) if name else ""
    targets = _targets(text)
    for target in ("test", "check"):
        if target in targets:
            yield _Check(f"make {target}", "make", text)
            return


def _targets(makefile: str) -> set[str]:
    """Rule heads by hand: a pattern over lines that somebody else made long takes quadratic time."""
    found: set[str] = set()
    for line in makefile.splitlines():
        head, colon, rest = line.partition(":")
        if colon and not rest.startswith("=") and "=" not in head and not line.startswith("\t"):
            found.update(head.partition("#")[0].split())
    return found


def _just(tree: Tree, _: _Imports) -> Iterator[_Check]:
    text = tree.text("justfile")
    if re.search(r"^test\b[^\n]*:(?!=)", text, re.MULTILINE):
        yield _Check("just test", "just", text)


def _tox(tree: Tree, _: _Imports) -> Iterator[_Check]:
    for file, command in (("tox.ini", "python3 -m tox"), ("noxfile.py", "python3 -m nox")):
        if tree.has(file):
            yield _Check(command, "tox", tree.text(file))
            return


# Tools before the scripts that may call them.
_KINDS: dict[str, Callable[[Tree, _Imports], Iterator[_Check]]] = {
    "python": _python,
    "go": _by_file("go.mod", "go test ./...", "go test"),
    "rust": _by_file("Cargo.toml", "cargo test", "cargo"),
    "elixir": _by_file("mix.exs", "mix test", "mix test"),
    "swift": _by_file("Package.swift", "swift test", "swift"),
    "dotnet": _dotnet,
    "jvm": _jvm,
    "ruby": _ruby,
    "php": _php,
    "deno": _deno,
    "node": _node,
    "just": _just,
    "make": _make,
    "tox": _tox,
}
