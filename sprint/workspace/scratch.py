"""Files that a worker made for itself and left lying: reproductions, patches, backups.

A file is scratch where it is new, lies in the root or beside the source, is named like one, is referred to by
nothing in the repository and is not what the issue asks for. A pattern that a tracked file fits is none here.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path, PurePosixPath

from msgspec import Struct

from sprint import git
from sprint.domain import ImportedWork

_CODE = frozenset(("py", "js", "mjs", "cjs", "jsx", "ts", "tsx", "sh", "rb", "php", "pl", "lua", "sql"))
# In any folder that the base has files in.
_ANYWHERE = (
    *("*.bak", "*.backup*", "*.original", "*.patch", "*.diff"),
    *("patch*.txt", "*_patch.txt", "reproduce*", "repro[_.-]*"),
)
# In the root only, and only code.
_IN_ROOT = (
    *("fix.*", "fix[0-9]*", "fix[_-]*", "*[_-]fix.*", "final[_-]*", "debug[_-]*", "apply[_-]*"),
    *("verify[_-]*", "analy[sz]e[_-]*", "trace[_-]*", "patch[_-]*", "simple[_-]*", "comprehensive[_-]*"),
    *("scratch*", "tmp[_-]*", "temp[_-]*", "run[_-]*test*", "check[_-]*", "edit[_-]*", "examine[_-]*"),
)
_TESTS_IN_ROOT = ("test[_-]*", "*[_-]test.*", "test.*")
_TEST_FOLDER = re.compile(r"(^|/)(tests?|specs?|__tests__)/", re.IGNORECASE)
_SEPARATOR = re.compile(r"[_.-]")
_GREP_SECONDS = 60
_MOST = 200  # new files that are looked at; who makes more did not do it by hand


class Strays(Struct, frozen=True):
    """New files that nothing refers to: `scratch` by their names, `others` in the root."""

    scratch: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def strays(mirror: Path, work: ImportedWork, asked_for: Callable[[], str]) -> Strays:
    """What of imported work nobody needs. `asked_for`, the issue's text, is asked for where it counts."""
    new = [change.path for change in work.changes if change.status == "A"][:_MOST]
    if not new:
        return Strays()
    tracked = git.ls_tree(mirror, work.base)
    scratch = [path for path in new if is_scratch(path, tracked)]
    others = [path for path in new if "/" not in path and path not in scratch and not path.startswith(".")]
    if not scratch and not others:
        return Strays()
    text = asked_for()
    unasked = [path for path in (*scratch, *others) if PurePosixPath(path).name not in text]
    needed = _referred_to(mirror, work.tree, unasked)
    return Strays(
        tuple(path for path in scratch if path in unasked and path not in needed),
        tuple(path for path in others if path in unasked and path not in needed),
    )


def is_scratch(path: str, tracked: Collection[str]) -> bool:
    """Whether a new file's name and place are those of scratch, in a project that tracks these paths."""
    folder, _, name = path.rpartition("/")
    name = name.lower()
    if folder and not any(known.startswith(f"{folder}/") for known in tracked):
        return False
    patterns = list(_ANYWHERE)
    if not folder and name.rpartition(".")[2] in _CODE:
        if not _fits(name, _TESTS_IN_ROOT):
            patterns += _IN_ROOT
        elif any(_TEST_FOLDER.search(known) for known in tracked):
            patterns += _TESTS_IN_ROOT
    fitting = [pattern for pattern in patterns if _fits(name, (pattern,))]
    beside = [known.rpartition("/")[2].lower() for known in tracked if folder == known.rpartition("/")[0]]
    return any(not fnmatch.filter(beside, pattern) for pattern in fitting)


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _referred_to(mirror: Path, tree: str, paths: Sequence[str]) -> set[str]:
    """Those of `paths` that a file of the tree, none of them itself, names or imports.

    Where git cannot tell in time, all are: nothing is left out on a guess.
    """
    words = {path: _words(path) for path in paths}
    if not words:
        return set()
    wanted = "\n".join(sorted({word for named in words.values() for word in named}))
    done = git.git(
        *("grep", "-I", "-h", "-o", "-w", "-F", "-f", "-", tree, "--", "."),
        *(f":(exclude,literal,top){path}" for path in paths),
        git_dir=mirror,
        env={"GIT_LITERAL_PATHSPECS": "0"},
        stdin=wanted.encode("utf-8", "surrogateescape"),
        check=False,
        timeout=_GREP_SECONDS,
    )
    if done.exit_code not in (0, 1) or done.killed_by:
        return set(paths)
    found = set(done.stdout.decode("utf-8", "surrogateescape").splitlines())
    return {path for path, named in words.items() if found.intersection(named)}


def _words(path: str) -> set[str]:
    """By what a file would be referred to: its name, and its module's where that is no common word."""
    name = PurePosixPath(path).name
    stem, _, kind = name.rpartition(".")
    if kind.lower() not in _CODE or not stem:
        return {name}
    if _SEPARATOR.search(stem):
        return {name, stem}
    return {name, f"import {stem}", f"from {stem}"}
