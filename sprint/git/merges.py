"""Merging two commits without a work tree, and telling the same change in two places."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from sprint.git.process import GitError, git, is_full_hex

_DIFF_CAP = 50_000_000  # bytes
_PLAIN = ("--no-ext-diff", "--no-textconv", "--no-renames", "--no-color", "--full-index", "--binary")


class Merge(Struct, frozen=True):
    """The tree of a merge. Where both sides changed a path in ways that do not go together it is one of
    `conflicts`, and its file in the tree holds both, between marks that name the two commits."""

    tree: str
    conflicts: tuple[str, ...] = ()


def merge(git_dir: Path, ours: str, theirs: str) -> Merge:
    """Merge two commits by their full ids. Raises GitError where they have nothing in common."""
    done = git(
        *("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs),
        git_dir=git_dir,
        check=False,
        timeout=300,
    )
    tree, *rest = done.stdout.decode("utf-8", "surrogateescape").split("\0")
    if done.exit_code not in (0, 1) or done.killed_by or not is_full_hex(tree):
        raise GitError(f"cannot merge {theirs[:12]} into {ours[:12]}: {done.err.strip()[-200:]}")
    return Merge(tree, tuple(dict.fromkeys(path for path in rest if path)))


def patch_id(git_dir: Path, base: str, tree: str, watch: Callable[[], str]) -> str:
    """A digest of a change that stays the same where only what is around it moved; "" for none at all.
    `watch` may end it by raising."""
    patch = git(
        *("diff-tree", "-r", "-p", *_PLAIN, base, tree), git_dir=git_dir, output_cap=_DIFF_CAP, watch=watch
    )
    done = git("patch-id", "--stable", git_dir=git_dir, stdin=patch.stdout, watch=watch)
    return done.out.partition(" ")[0].strip()
