"""Which packages the lock files of a commit name, and in which versions: what is named there is no news."""

from __future__ import annotations

import json
import logging
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sprint import git

_FILE_CAP = 20_000_000  # bytes
_MOST_FILES = 500
_log = logging.getLogger(__name__)

_Found = tuple[str, str]  # a package's name and its version, "" where none is pinned


@dataclass(frozen=True)
class Locked:
    """By index ("pypi", "npm", "go", "crates", "maven"): the names, each with its versions."""

    names: Mapping[str, Mapping[str, frozenset[str]]] = field(default_factory=dict)

    def has(self, index: str, name: str, version: str = "") -> bool:
        """Whether a name, and where one is given a version of it, is in a lock file."""
        versions = self.names.get(index, {}).get(name)
        return versions is not None and (not version or version in versions)

    def go_hosts(self) -> frozenset[str]:
        """The hosts below which go.mod and go.sum have modules."""
        return frozenset(name.partition("/")[0] for name in self.names.get("go", ()))


def locked_at(mirror: Path, commit: str) -> Locked:
    """What the lock files of a commit name. A file that cannot be read names nothing."""
    found: dict[str, dict[str, set[str]]] = {}
    for path, data in _files(mirror, commit):
        index, read = _READERS.get(path.rpartition("/")[2], _REQUIREMENTS)
        names = found.setdefault(index, {})
        try:
            for name, version in read(data.decode("utf-8", "replace")):
                names.setdefault(name, set()).update({version} - {""})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            _log.info("gateway: %s cannot be read: what it names counts as new: %s", path, error)
    return Locked(
        {
            index: {name: frozenset(versions) for name, versions in names.items()}
            for index, names in found.items()
        }
    )


def _files(mirror: Path, commit: str) -> Iterator[tuple[str, bytes]]:
    listed = git.git("ls-tree", "-r", "-z", "--full-tree", commit, git_dir=mirror).stdout
    wanted = {}
    for entry in listed.split(b"\0"):
        facts, _, name = entry.partition(b"\t")
        path = name.decode("utf-8", "replace")
        base = path.rpartition("/")[2]
        if facts.split(b" ")[1:2] == [b"blob"] and (base in _READERS or _REQUIREMENTS_FILE.fullmatch(base)):
            wanted[path] = facts.split(b" ")[2].decode()
    wanted = dict(list(wanted.items())[:_MOST_FILES])
    blobs = git.read_blobs(mirror, wanted.values(), _FILE_CAP)
    for path, sha in wanted.items():
        if sha in blobs:
            yield path, blobs[sha]


def pypi_name(name: str) -> str:
    """As the simple API has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


# --- one reader for each form ------------------------------------------------------------------


def _toml_packages(
    text: str, *, key: str = "package", named: Callable[[str], str] = pypi_name
) -> Iterator[_Found]:
    for package in tomllib.loads(text).get(key, ()):
        yield named(package["name"]), str(package.get("version", ""))


def _pipfile_lock(text: str) -> Iterator[_Found]:
    for section, packages in json.loads(text).items():
        if section != "_meta":
            yield from ((pypi_name(name), "") for name in packages)


_REQUIREMENTS_FILE = re.compile(r"(.*[-_.])?(requirements|constraints)([-_.].*)?\.(txt|in)")
_REQUIREMENT = re.compile(
    r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(?:===?\s*([^\s;#\\]+))?", re.M
)


def _requirements(text: str) -> Iterator[_Found]:
    for name, version in _REQUIREMENT.findall(text):
        yield pypi_name(name), version


def _package_lock(text: str) -> Iterator[_Found]:
    data = json.loads(text)
    for path, package in data.get("packages", {}).items():
        name = package.get("name") or path.rpartition("node_modules/")[2]
        if "node_modules/" in path:
            yield name, str(package.get("version", ""))
    yield from _npm_tree(data.get("dependencies", {}))


def _npm_tree(dependencies: Mapping[str, Any]) -> Iterator[_Found]:
    for name, package in dependencies.items():
        version = str(package.get("version", ""))
        alias = re.fullmatch(r"npm:((?:@[^/]+/)?[^@]+)@(.+)", version)
        yield (alias[1], alias[2]) if alias else (name, version)
        yield from _npm_tree(package.get("dependencies", {}))


_YARN_ENTRY = re.compile(
    r'^"?((?:@[^/\s"]+/)?[^@\s"]+)@[^\n]*:\n\s+(?:version:? "?([^"\n]+)"?|resolution: "[^"\n]*")', re.M
)
_YARN_RESOLUTION = re.compile(r'^\s+resolution: "((?:@[^/"]+/)?[^@"]+)@npm:([^"]+)"', re.M)
_PNPM_ENTRY = re.compile(r"""^\s+['"]?/?((?:@[^/\s'"]+/)?[^@/\s'"(]+)[@/](\d[^\s'"():_]*)[^\n]*:\s*$""", re.M)


def _yarn_lock(text: str) -> Iterator[_Found]:
    yield from _YARN_ENTRY.findall(text)
    yield from _YARN_RESOLUTION.findall(text)


def _pnpm_lock(text: str) -> Iterator[_Found]:
    yield from _PNPM_ENTRY.findall(text)


def _go_sum(text: str) -> Iterator[_Found]:
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3:
            yield words[0], words[1].removesuffix("/go.mod")


_GO_MODULE = re.compile(
    r"^\s*(?:module\s+|require\s+|.*=>\s*)?([a-z0-9.-]+\.[a-z]+(?:/\S+)?)(?:\s+(v\S+)|\s*$)", re.M
)


def _go_mod(text: str) -> Iterator[_Found]:
    yield from _GO_MODULE.findall(text)


_POM_ARTIFACT = re.compile(
    r"<groupId>\s*([\w.-]+)\s*</groupId>\s*<artifactId>\s*([\w.-]+)\s*</artifactId>"
    r"(?:\s*<version>\s*([\w.+-]+)\s*</version>)?"
)


def _pom(text: str) -> Iterator[_Found]:
    for group, artifact, version in _POM_ARTIFACT.findall(text):
        yield f"{group}:{artifact}", version


def _gradle_lock(text: str) -> Iterator[_Found]:
    for line in text.splitlines():
        parts = line.partition("=")[0].split(":")
        if len(parts) == 3 and not line.startswith("#"):
            yield f"{parts[0]}:{parts[1]}", parts[2]


_READERS: dict[str, tuple[str, Callable[[str], Iterable[_Found]]]] = {
    "uv.lock": ("pypi", _toml_packages),
    "poetry.lock": ("pypi", _toml_packages),
    "pdm.lock": ("pypi", _toml_packages),
    "pylock.toml": ("pypi", partial(_toml_packages, key="packages")),
    "Pipfile.lock": ("pypi", _pipfile_lock),
    "package-lock.json": ("npm", _package_lock),
    "npm-shrinkwrap.json": ("npm", _package_lock),
    "yarn.lock": ("npm", _yarn_lock),
    "pnpm-lock.yaml": ("npm", _pnpm_lock),
    "go.sum": ("go", _go_sum),
    "go.mod": ("go", _go_mod),
    "Cargo.lock": ("crates", partial(_toml_packages, named=str.lower)),
    "pom.xml": ("maven", _pom),
    "gradle.lockfile": ("maven", _gradle_lock),
}
_REQUIREMENTS = ("pypi", _requirements)
