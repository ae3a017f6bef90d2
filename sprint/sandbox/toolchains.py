"""Toolchains that people keep in their homes, by the folders in which their managers keep them.

A folder is shown, never the one above it: that is where credentials lie (`~/.cargo/credentials.toml`,
`~/.m2/settings.xml`, `~/.npmrc`). And it is shown only where the runner's own PATH leads to it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

# Below a home, in the patterns of the shell. What the PATH leads to in one of these is shown with all of it.
_FOLDERS = (
    ".cargo/bin",
    ".rustup/toolchains/*",
    "go/bin",
    "sdk/go*",
    ".local/go",
    ".gvm/gos/*",
    ".nvm/versions/node/*",
    ".local/share/fnm/node-versions/*/installation",
    ".volta/tools/image/*/*",
    ".bun/bin",
    ".deno/bin",
    ".pyenv/versions/*",
    ".local/share/uv/python/*",
    ".rbenv/versions/*",
    ".asdf/installs/*/*",
    ".local/share/mise/installs/*/*",
    ".sdkman/candidates/*/*",
)
_KNOWN = re.compile(
    r"(?P<folder>(?:/[^/]+)+?/(?:"
    + "|".join(re.escape(folder).replace(r"\*", "[^/]+") for folder in _FOLDERS)
    + r"))(?:/.*)?"
)
# Programs that are one file, and may lie among a person's own scripts, which are nobody's business.
_PROGRAMS = (
    "uv",
    "uvx",
    "just",
    "task",
    "pnpm",
    "bun",
    "deno",
    "rg",
    "fd",
    "mise",
    "ninja",
    "cmake",
    "hatch",
)
_LINKED = re.compile(r"(?:python3?(?:\.\d+)?|node|npm|npx|go|gofmt|ruby|java|javac|mvn|gradle)")
_TAKEN = (("/", "work"), ("/", "tmp"), ("/", "proc"), ("/", "dev"))  # the sandbox's own
_SMALL = 100_000

# Files in such folders that may hold a password all the same, and what stands in their place.
CREDENTIALS = {
    "etc/npmrc": "",
    "etc/pip.conf": "",
    "pip.conf": "",
    "conf/settings.xml": "<settings/>\n",
    "conf/settings-security.xml": "<settingsSecurity/>\n",
    "init.gradle": "",
    "gradle.properties": "",
}


class Toolchains(Struct, frozen=True):
    """Folders and single files of the host, shown at the same paths; `first` goes before /usr on the PATH."""

    first: tuple[str, ...] = ()
    last: tuple[str, ...] = ()

    @property
    def shown(self) -> tuple[str, ...]:
        return (*self.first, *self.last)


def found() -> Toolchains:
    """Those that the runner's PATH leads to now."""
    return on(os.environ.get("PATH", ""))


@functools.cache
def on(search_path: str) -> Toolchains:
    """Those that a PATH leads to, in its order."""
    first: dict[str, None] = {}
    last: dict[str, None] = {}
    for entry in search_path.split(":"):
        if entry.startswith("/") and not entry.startswith(("/usr/", "/bin", "/sbin")):
            with contextlib.suppress(OSError):
                first.update(dict.fromkeys(_behind(Path(entry))))
                for program in _linked(Path(entry)):
                    kept = first if program.name in ("python3", "node", "go", "ruby", "java") else last
                    kept.update(dict.fromkeys(_known(program.resolve())))
    return Toolchains(tuple(first), tuple(path for path in last if path not in first))


def _behind(entry: Path) -> Iterator[str]:
    """What a folder of the PATH stands for: the versions that its manager has chosen, then itself."""
    for shims, versions in _SHIMS.items():
        if entry.parts[-len(shims.parts) :] == shims.parts:
            home = Path(*entry.parts[: -len(shims.parts)])
            for chosen in versions(home):
                yield from _known(chosen.resolve())
    yield from _known(entry)
    yield from _known(entry.resolve())
    if _is_binary(entry / "go") and (entry.parent / "src/runtime").is_dir() and _is_free(entry):
        yield str(entry.parent)  # Go itself, wherever it was unpacked
    for name in _PROGRAMS:
        program = entry / name
        if not _KNOWN.fullmatch(str(entry)) and _is_binary(program) and _is_free(program):
            yield str(program)


def _linked(entry: Path) -> Iterator[Path]:
    """Programs that lie elsewhere: `~/.local/bin/python3.12` is in a folder of uv's."""
    if not _KNOWN.fullmatch(str(entry)):
        for path in sorted(entry.iterdir()):
            if _LINKED.fullmatch(path.name) and path.is_symlink():
                yield path


def _known(path: Path) -> Iterator[str]:
    match = _KNOWN.fullmatch(str(path))
    folder = Path(match["folder"]) if match else None
    if folder and folder.is_dir() and not folder.is_symlink() and _is_free(folder):
        yield str(folder)


def _is_free(path: Path) -> bool:
    return path.parts[:2] not in _TAKEN


def _is_binary(path: Path) -> bool:
    """Whether a file is a program and no script: what is in a script is its author's."""
    with contextlib.suppress(OSError):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                return file.read(4) == b"\x7fELF"
    return False


def _text(path: Path) -> str:
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(_SMALL).decode("utf-8", "replace")
    return ""


# --- which version a manager has chosen, by its own file ----------------------------------------


def _rustup(home: Path) -> list[Path]:
    default = re.search(r'^default_toolchain\s*=\s*"([\w.-]+)"', _text(home / ".rustup/settings.toml"), re.M)
    return [home / ".rustup/toolchains" / default[1]] if default else []


def _named(versions: str, chosen: str) -> Callable[[Path], list[Path]]:
    """Names of folders in `versions`, one a word in the file `chosen`."""

    def named(home: Path) -> list[Path]:
        names = re.findall(r"^[\w.-]+$", _text(home / chosen), re.MULTILINE)
        return [home / versions / name for name in names if name != "system"]

    return named


def _asdf(home: Path) -> list[Path]:
    lines = re.findall(r"^([\w-]+)[ \t]+([\w.-]+)", _text(home / ".tool-versions"), re.MULTILINE)
    return [home / ".asdf/installs" / plugin / version for plugin, version in lines]


def _mise(home: Path) -> list[Path]:
    return sorted((home / ".local/share/mise/installs").glob("*/latest"))


_SHIMS: dict[Path, Callable[[Path], list[Path]]] = {
    Path(".cargo/bin"): _rustup,
    Path(".pyenv/shims"): _named(".pyenv/versions", ".pyenv/version"),
    Path(".rbenv/shims"): _named(".rbenv/versions", ".rbenv/version"),
    Path(".asdf/shims"): _asdf,
    Path(".local/share/mise/shims"): _mise,
}
