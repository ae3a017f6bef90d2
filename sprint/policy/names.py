"""Names that must not exist, and names that are the same to some file system."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from sprint.config import PublishConfig
from sprint.domain import Refusal
from sprint.policy.trees import GITLINK, Trees

# How file systems of other machines spell .git: shortened, with ignored ends, with a stream's name.
_GIT_DIRECTORY = re.compile(r"(\.git|git~\d+)[. ]*(:.*)?", re.IGNORECASE)
# And how Windows spells any long name: .github is also GITHUB~1.
_SHORTENED = re.compile(r"[^.~]{1,6}~\d{1,6}(\.[^.]{0,3})?[. ]*(:.*)?")


def submodules(trees: Trees, rules: PublishConfig) -> Iterator[Refusal]:
    for change in trees.changes:
        if GITLINK in (change.old_mode, change.new_mode):
            yield Refusal(change.path, "is a submodule, or a repository inside the repository")
        elif folded(change.path) == ".gitmodules":
            yield Refusal(change.path, "configures submodules")


def dangerous_names(trees: Trees, rules: PublishConfig) -> Iterator[Refusal]:
    for change in trees.added:
        if change.path in trees.before:
            continue
        if any(_GIT_DIRECTORY.fullmatch(_visible(name)) for name in change.path.split("/")):
            yield Refusal(change.path, "is named like git's own directory")
        elif any(_SHORTENED.fullmatch(_visible(name)) for name in change.path.split("/")):
            yield Refusal(change.path, "is named as Windows shortens longer names, and may stand for another")
        elif any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in change.path):
            yield Refusal(change.path, "has invisible characters or broken ones in its name")
        elif "\\" in change.path:
            yield Refusal(change.path, "has a backslash in its name")


def folded(path: str) -> str:
    """A path as the most forgiving of file systems compares it.

    macOS takes no notice of case, of how a letter is composed and of characters without width, Windows of
    case, of dots and spaces at the end of a name, and of a stream's name behind a colon.
    """
    return "/".join(_folded_name(name) for name in path.split("/"))


def _folded_name(name: str) -> str:
    plain = unicodedata.normalize("NFKC", _visible(name).upper().casefold())
    return (plain.partition(":")[0] or plain).rstrip(". ") or plain


def _visible(name: str) -> str:
    """A name without the characters that macOS ignores when it compares names."""
    return "".join(c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf")
