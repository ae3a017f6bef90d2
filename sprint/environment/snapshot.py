"""A project's files as data: their names, and the text of the few that tell how it is set up and checked."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from msgspec import Struct

from sprint import git

# What says which dependencies a project has, wherever it lies in the tree: environments are kept by these.
MANIFESTS = (
    *("pyproject.toml", "setup.py", "setup.cfg", "*requirements*.txt", "*constraints*.txt", "uv.lock"),
    *("poetry.lock", "pdm.lock", "Pipfile", "Pipfile.lock", "tox.ini", "noxfile.py", ".python-version"),
    *("package.json", "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "pnpm-workspace.yaml"),
    *("yarn.lock", ".yarnrc.yml", ".npmrc", ".nvmrc", ".node-version", "bun.lock", "bun.lockb"),
    *("deno.json", "deno.jsonc", "deno.lock", "go.mod", "go.sum", "go.work", "go.work.sum"),
    *("Cargo.toml", "Cargo.lock", "rust-toolchain", "rust-toolchain.toml", ".tool-versions"),
    *("Gemfile", "Gemfile.lock", "*.gemspec", "composer.json", "composer.lock", "mix.exs", "mix.lock"),
    *("pom.xml", "build.gradle", "build.gradle.kts", "settings.gradle", "settings.gradle.kts"),
    *("gradle.properties", "libs.versions.toml", "Package.swift", "Package.resolved"),
    *("*.csproj", "*.fsproj", "*.sln", "*.slnx", "packages.lock.json", "Directory.Packages.props"),
    *("Makefile", "makefile", "GNUmakefile", "justfile"),
)
_IN_FOLDERS_OF_THEM = re.compile(r"(?:^|/)requirements/[^/]+\.(?:txt|in)$")
_ALSO_READ = ("pytest.ini", ".pytest.ini", "conftest.py", "Rakefile", ".rspec", "manage.py")
_LARGEST = 1_000_000  # bytes of a manifest that is read
_LARGEST_TOML = 200_000
_MOST_DOTS = 200  # in a line of it
_LARGEST_TEST = 64_000
_MOST_TESTS = 60  # test files that are looked into
_MOST_PATHS = 200_000
_DEEPEST = 3  # folders that a walk goes down
_TEST = re.compile(r"(?:test_[^/]*|[^/]*_test)\.py")
_SKIPPED = frozenset({".git", "node_modules", ".venv", "venv", ".tox", ".nox", "target", "__pycache__"})
_REGULAR = ("100644", "100755")


class Snapshot(Struct, frozen=True):
    """Regular files only, by path from the root; `texts` holds those that were read, cut at their limit."""

    paths: frozenset[str]
    texts: Mapping[str, str]

    def has(self, *names: str) -> bool:
        return not self.paths.isdisjoint(names)

    def below(self, folder: str) -> list[str]:
        """Paths below a folder, from the root, sorted."""
        return sorted(path for path in self.paths if path.startswith(f"{folder}/"))

    def names(self) -> list[str]:
        """The files in the root, sorted."""
        return sorted(path for path in self.paths if "/" not in path)

    def text(self, path: str) -> str:
        """ "" where there is no such file, or it is too large."""
        return self.texts.get(path, "")

    def json(self, path: str) -> dict[str, Any]:
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(self.text(path))
            if isinstance(value, dict):
                return value
        return {}

    def toml(self, path: str) -> dict[str, Any]:
        text = self.text(path)
        if not text:
            return {}
        import tomllib

        # A key of many parts takes memory by the square of their number.
        if len(text) <= _LARGEST_TOML and all(line.count(".") <= _MOST_DOTS for line in text.splitlines()):
            with contextlib.suppress(ValueError, RecursionError):
                return tomllib.loads(text)
        return {}


def is_manifest(path: str) -> bool:
    """Whether a file says which dependencies there are."""
    name = path.rpartition("/")[2]
    return any(fnmatchcase(name, pattern) for pattern in MANIFESTS) or bool(_IN_FOLDERS_OF_THEM.search(path))


def tracked(git_dir: Path, commit: str) -> dict[str, str]:
    """Each regular file of a commit, and its blob."""
    return {path: blob for path, (mode, blob) in git.ls_tree(git_dir, commit).items() if mode in _REGULAR}


def of_commit(git_dir: Path, commit: str) -> Snapshot:
    """A commit's files: no link is followed, for there is none among objects."""
    blobs = tracked(git_dir, commit)
    wanted = {path: blobs[path] for path in _worth_reading(blobs)}
    read = git.read_blobs(git_dir, wanted.values(), _LARGEST)
    texts = {path: read[blob].decode("utf-8", "replace") for path, blob in wanted.items() if blob in read}
    return Snapshot(frozenset(blobs), _cut(texts))


def of_folder(folder: Path) -> Snapshot:
    """A folder's files, three levels down; links are neither followed nor counted."""
    paths = list(_walk(folder))
    texts = {path: text for path in _worth_reading(paths) if (text := _read(folder, path)) is not None}
    return Snapshot(frozenset(paths), _cut(texts))


def _worth_reading(paths: Mapping[str, str] | list[str]) -> list[str]:
    manifests = [
        path
        for path in paths
        if ("/" not in path and (is_manifest(path) or path in _ALSO_READ)) or _IN_FOLDERS_OF_THEM.search(path)
    ]
    tests = sorted((path for path in paths if is_python_test(path)), key=lambda path: (path.count("/"), path))
    return [*manifests, *tests[:_MOST_TESTS]]


def is_python_test(path: str) -> bool:
    """By its name, in the root or at most two folders below it."""
    return path.count("/") < _DEEPEST and _TEST.fullmatch(path.rpartition("/")[2]) is not None


def _cut(texts: Mapping[str, str]) -> dict[str, str]:
    return {path: text[:_LARGEST_TEST] if is_python_test(path) else text for path, text in texts.items()}


def _walk(folder: Path) -> Iterator[str]:
    pending, seen = [""], 0
    while pending:
        at = pending.pop()
        with contextlib.suppress(OSError), os.scandir(folder / at) as entries:
            for entry in entries:
                path, seen = f"{at}{entry.name}", seen + 1
                if seen > _MOST_PATHS:
                    return
                if entry.is_file(follow_symlinks=False):
                    yield path
                elif entry.is_dir(follow_symlinks=False) and _is_entered(path, entry.name):
                    pending.append(f"{path}/")


def _is_entered(path: str, name: str) -> bool:
    return name not in _SKIPPED and path.count("/") < _DEEPEST - 1


def _read(folder: Path, path: str) -> str | None:
    with contextlib.suppress(OSError):
        handle = os.open(folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(file.fileno())
            if stat.S_ISREG(found.st_mode) and found.st_size <= _LARGEST:
                return file.read(_LARGEST).decode("utf-8", "replace")
    return None
