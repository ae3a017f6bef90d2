"""Paths that must stay as they are, and names that must not exist."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from sprint.config import PublishConfig
from sprint.domain import Refusal
from sprint.policy.trees import GITLINK, Trees

# How file systems of other machines spell .git: shortened, with ignored ends, with a stream's name.
_GIT_DIRECTORY = re.compile(r"(\.git|git~\d+)[. ]*(:.*)?", re.IGNORECASE)


def protected_paths(trees: Trees, rules: PublishConfig) -> Iterator[Refusal]:
    """Changes at or below a protected path, and files put in the place of a directory above one."""
    protected = [_folded(entry).strip("/") for entry in rules.protected if entry.strip("./")]
    for change in trees.changes:
        path = _folded(change.path)
        for entry in protected:
            is_above = change.status != "D" and f"{entry}/".startswith(f"{path}/")
            if is_above or f"{path}/".startswith(f"{entry}/"):
                yield Refusal(change.path, "is protected by the configuration (publish.protected)")
                break


def submodules(trees: Trees, rules: PublishConfig) -> Iterator[Refusal]:
    for change in trees.changes:
        if GITLINK in (change.old_mode, change.new_mode):
            yield Refusal(change.path, "is a submodule, or a repository inside the repository")
        elif _folded(change.path) == ".gitmodules":
            yield Refusal(change.path, "configures submodules")


def dangerous_names(trees: Trees, rules: PublishConfig) -> Iterator[Refusal]:
    for change in trees.added:
        if change.path in trees.before:
            continue
        if any(_GIT_DIRECTORY.fullmatch(_visible(name)) for name in change.path.split("/")):
            yield Refusal(change.path, "is named like git's own directory")
        elif any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in change.path):
            yield Refusal(change.path, "has invisible characters or broken ones in its name")
        elif "\\" in change.path:
            yield Refusal(change.path, "has a backslash in its name")


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold().removeprefix("./")


def _visible(name: str) -> str:
    """A name without the characters that macOS ignores when it compares names."""
    return "".join(c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf")
