"""Mirrors, workspaces, and the way what was made in one comes out of it."""

from sprint.workspace.checkout import create
from sprint.workspace.importing import HandoverError, commit, diff, import_work, leftovers
from sprint.workspace.mirror import mirror_path, update_mirror
from sprint.workspace.removal import clean, clean_mirrors, remove, remove_all_of

__all__ = [
    "HandoverError",
    "clean",
    "clean_mirrors",
    "commit",
    "create",
    "diff",
    "import_work",
    "leftovers",
    "mirror_path",
    "remove",
    "remove_all_of",
    "update_mirror",
]
