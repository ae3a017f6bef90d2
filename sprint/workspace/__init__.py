"""Mirrors, workspaces, and the way what was made in one comes out of it."""

from sprint.workspace.base_tree import is_large, write_out
from sprint.workspace.carrying import apply_patch
from sprint.workspace.checkout import create, undo
from sprint.workspace.importing import (
    HandoverError,
    comes_out_as_it_is,
    commit,
    compared_with,
    diff,
    diffstat,
    import_work,
    leave_out,
    leftovers,
)
from sprint.workspace.layers import cover_again, uncover
from sprint.workspace.mirror import mirror_path, update_mirror
from sprint.workspace.own_objects import drop_objects, own_objects
from sprint.workspace.removal import clean, clean_mirrors, newest_first, remove, remove_all_of
from sprint.workspace.scratch import Strays, strays

__all__ = [
    "HandoverError",
    "Strays",
    "apply_patch",
    "clean",
    "clean_mirrors",
    "comes_out_as_it_is",
    "commit",
    "compared_with",
    "cover_again",
    "create",
    "diff",
    "diffstat",
    "drop_objects",
    "import_work",
    "is_large",
    "leave_out",
    "leftovers",
    "mirror_path",
    "newest_first",
    "own_objects",
    "remove",
    "remove_all_of",
    "strays",
    "uncover",
    "undo",
    "update_mirror",
    "write_out",
]
