"""Mirrors, workspaces, and the way what was made in one comes out of it."""

from sprint.workspace.carrying import apply_patch
from sprint.workspace.checkout import create
from sprint.workspace.importing import (
    HandoverError,
    commit,
    diff,
    diffstat,
    import_work,
    leave_out,
    leftovers,
)
from sprint.workspace.mirror import mirror_path, update_mirror
from sprint.workspace.removal import clean, clean_mirrors, newest_first, remove, remove_all_of
from sprint.workspace.scratch import Strays, strays

__all__ = [
    "HandoverError",
    "Strays",
    "apply_patch",
    "clean",
    "clean_mirrors",
    "commit",
    "create",
    "diff",
    "diffstat",
    "import_work",
    "leave_out",
    "leftovers",
    "mirror_path",
    "newest_first",
    "remove",
    "remove_all_of",
    "strays",
    "update_mirror",
]
