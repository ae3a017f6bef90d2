"""Whether a server takes what a run pushes, found out by pushing what it has already and removing it again.

`git push --dry-run` asks no hook: it would find nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sprint import git
from sprint.claim import ref_of
from sprint.errors import ForgeError


def try_branch(remote: git.Remote, base: str, branch: str, home: git.Remote) -> str:
    """Push the base's own commit to `branch` and remove it again; returns what was done. `home` is where our
    branches go: the repository itself, or a fork.

    Raises ForgeError with the server's reason where one of the two is refused, or the branch is there.
    """
    ref = f"refs/heads/{branch}"
    with _scratch() as git_dir:
        git.fetch(git_dir, remote, f"+refs/heads/{base}:refs/heads/base", depth=1)
        sha = git.resolve(git_dir, "refs/heads/base") or ""
        if there := git.ls_remote(home, ref).get(ref):
            if there != sha:
                raise ForgeError(f"there is a branch {branch} already; remove it, it belongs to no issue")
            _remove(git_dir, home, ref, sha)  # a trial died here
        _push(git_dir, home, ref, sha, "let this account push there, or set publish.branch")
        _remove(git_dir, home, ref, sha)
    return f"{branch} could be pushed and removed"


def try_claim(remote: git.Remote) -> str:
    """Write a claim on an issue that cannot be and remove it again; raises as `try_branch` does."""
    ref = ref_of(0)
    with _scratch() as git_dir:
        if there := git.ls_remote(remote, ref).get(ref):
            _remove(git_dir, remote, ref, there)
        tree, now = git.EMPTY_TREE, datetime.now(UTC)
        sha = git.commit_tree(git_dir, tree, [], '{"trial": true}', "sprint", "sprint@localhost", now)
        _push(git_dir, remote, ref, sha, "let this account push below refs/sprint/")
        _remove(git_dir, remote, ref, sha)
    return f"{ref} could be written and removed"


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sprint-doctor-") as folder:
        git_dir = Path(folder) / "trial.git"
        git.init_bare(git_dir)
        yield git_dir


def _push(git_dir: Path, remote: git.Remote, ref: str, sha: str, remedy: str) -> None:
    result, why = git.push(git_dir, remote, sha, ref, expected="")
    if result is not git.PushResult.OK:
        raise ForgeError(f"the server refuses {ref}: {why or 'somebody else was faster'}; {remedy}")


def _remove(git_dir: Path, remote: git.Remote, ref: str, sha: str) -> None:
    if git.delete_ref(git_dir, remote, ref, expected=sha) is not git.PushResult.OK:
        raise ForgeError(f"the server takes {ref} and does not let it be removed: remove it by hand")
