"""What an agent made comes into the trusted mirror: sandboxed export, bundle, trusted unpacking.

Nothing on the host reads the agent's files. A git inside the sandbox, with a repository of its own, turns the
work tree into a bundle on its standard output; the bundle is weighed before any git of ours unpacks it.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sprint import git, proc
from sprint.domain import Change, Completed, DiffStat, ImportedWork, Workspace
from sprint.errors import SprintError
from sprint.git.server_errors import one_line, server_words
from sprint.sandbox import Sandbox
from sprint.workspace import leftover
from sprint.workspace import mirror as mirrors
from sprint.workspace.bundle import BundleError, open_bundle
from sprint.workspace.checkout import KEPT_INDEX
from sprint.workspace.junk import folder_patterns, junk_patterns

_SCRIPT = Path(__file__).with_name("export.sh")
_MAX_EXPANDED = 64_000_000  # bytes of new files, uncompressed
_MAX_NEW_FILES = 20_000
_MAX_INDEX = 200_000_000
_MAX_PATTERN_BYTES = 200_000
_TIMEOUT = 600
_UNREADABLE = 82
_NOTHING = "0" * 40
ENVIRONMENT = {
    "PATH": proc.SEARCH_PATH,
    "HOME": "/dev/null",
    "XDG_CONFIG_HOME": "/dev/null",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_LITERAL_PATHSPECS": "1",
    "LC_ALL": "C",
}


class HandoverError(SprintError):
    """What is in the workspace cannot be handed over."""


def leftovers(workspace: Workspace, sandbox: Sandbox, base: str) -> tuple[str, ...]:
    """What setup and checks have made or changed in the checkout until now, to be given to `import_work`.

    Each entry is "+ path" (new; "+ folder/" for all in it), "- path" (deleted) or "<blob> path" (changed, and
    to what), percent-encoded. Raises HandoverError.
    """
    index = _kept_index(workspace)
    if index is None:
        raise HandoverError(f"{workspace.root} lost its index; it has to be made anew")
    done = _in_sandbox("list", workspace, sandbox, base, index, [], output_cap=_MAX_EXPANDED)
    return leftover.encode(done.stdout.split(b"\0"))


def import_work(
    workspace: Workspace,
    mirror: Path,
    base: str,
    sandbox: Sandbox,
    *,
    leftovers: Sequence[str],
    scratch: Path,
    max_bundle_bytes: int = 32_000_000,
) -> ImportedWork:
    """Bring the work tree's state into the mirror as a tree, kept there for the run.

    Left out: what the repository ignores, `leftovers`, and well-known junk that the base does not track.
    `scratch` is a directory of ours. The agent's own commits, branches and configuration have no effect.
    Raises HandoverError where the workspace is broken, hostile or too big, never hanging on it.
    """
    run = workspace.root.name
    if git.resolve(mirror, base) is None:
        raise HandoverError(f"{base} is no longer in {mirror}; the repository was cloned anew meanwhile")
    mirrors.pin(mirror, run, "base", base)
    left = leftover.decode(leftovers)
    patterns = [*junk_patterns(git.ls_tree(mirror, base)), *folder_patterns(left.folders, _MAX_PATTERN_BYTES)]
    index = _kept_index(workspace) or _fresh_index(mirror, base, scratch)
    done = _in_sandbox("export", workspace, sandbox, base, index, patterns, output_cap=max_bundle_bytes)
    tree = _let_in(mirror, run, base, done.stdout)
    changes = _changes(mirror, base, tree)
    if undone := [change for change in changes if left.covers(change)]:
        tree = _without(mirror, base, tree, undone, scratch)
        mirrors.pin(mirror, run, "tree", tree)
        changes = _changes(mirror, base, tree)
    return ImportedWork(base, tree, tuple(changes))


def leave_out(
    mirror: Path, workspace: Workspace, work: ImportedWork, paths: Sequence[str], scratch: Path
) -> ImportedWork:
    """The work without its changes to these paths, kept for the run in its place."""
    gone = [change for change in work.changes if change.path in paths]
    if not gone:
        return work
    tree = _without(mirror, work.base, work.tree, gone, scratch)
    mirrors.pin(mirror, workspace.root.name, "tree", tree)
    return ImportedWork(work.base, tree, tuple(_changes(mirror, work.base, tree)))


def commit(
    mirror: Path,
    work: ImportedWork,
    message: str,
    author_name: str,
    author_email: str,
    when: datetime | None = None,
) -> str:
    """The runner's own commit of imported work, on its base. Returns its id."""
    return git.commit_tree(mirror, work.tree, [work.base], message, author_name, author_email, when)


def diffstat(mirror: Path, work: ImportedWork) -> tuple[DiffStat, ...]:
    """What changed in how many lines, a path each."""
    done = git.git(
        *("diff-tree", "-r", "-z", "--numstat", "--no-renames", "--no-ext-diff", "--no-textconv"),
        *(work.base, work.tree),
        git_dir=mirror,
    )
    counts = {}
    for record in done.stdout.decode("utf-8", "surrogateescape").split("\0"):
        if record.count("\t") >= 2:
            added, deleted, path = record.split("\t", 2)
            counts[path] = (int(added), int(deleted)) if added.isdigit() else None
    return tuple(DiffStat(change.path, change.status, counts.get(change.path)) for change in work.changes)


def diff(mirror: Path, base: str, tree: str, cap: int = 5_000_000) -> bytes:
    """The work as a patch that `git apply` takes; attributes and configuration of the work have no say.

    Over `cap` bytes it is cut in the middle, and says so.
    """
    plain = ("--no-ext-diff", "--no-textconv", "--no-renames", "--no-color", "--binary", "--full-index")
    settings = ("-c", f"attr.tree={git.empty_tree(mirror)}")
    done = git.git(
        *settings, "diff-tree", "-r", "-p", *plain, base, tree, git_dir=mirror, check=False, output_cap=cap
    )
    if not done.ok:
        raise git.GitError(f"cannot make a patch of {tree}: {done.err.strip()[-200:]}")
    return done.stdout


# --- inside the sandbox ------------------------------------------------------------------------


def _in_sandbox(
    task: str,
    workspace: Workspace,
    sandbox: Sandbox,
    base: str,
    index: _Index,
    patterns: Sequence[str],
    output_cap: int,
) -> Completed:
    excludes = [option for pattern in patterns for option in ("-x", pattern)]
    numbers = [len(index.data), index.made, _MAX_NEW_FILES, _MAX_EXPANDED]
    argv = ["sh", "-c", _SCRIPT.read_text(), "export", task, base, *map(str, numbers), *excludes]

    def run() -> Completed:
        return sandbox.run(
            argv,
            workspace,
            timeout=_TIMEOUT,
            stdin=index.data,
            env=ENVIRONMENT,
            writable_workspace=False,
            output_cap=output_cap,
        )

    done = run()
    if done.exit_code == _UNREADABLE and not done.killed_by:
        sandbox.run(["chmod", "-R", "u+rwX", "."], workspace, timeout=_TIMEOUT, env=ENVIRONMENT)
        done = run()
    if done.killed_by:
        raise HandoverError(f"the workspace could not be exported: stopped by its limit ({done.killed_by})")
    if done.exit_code != 0:
        words = one_line((done.err.strip().splitlines() or ["git said nothing"])[-1])
        raise HandoverError(f"the workspace could not be exported: {words}")
    if done.truncated:
        raise HandoverError(f"the workspace could not be exported: the work is over {output_cap} bytes")
    return done


@dataclass(frozen=True)
class _Index:
    """An index file's content, and when it was written in seconds since 1970."""

    data: bytes
    made: int


def _kept_index(workspace: Workspace) -> _Index | None:
    """The checkout's index as it was made: with it, files that nobody touched need not be read again.

    A runner that is not root shares its uid with the agent, so it may be anything by now. It is read with
    care, and what it says is only ever believed inside the sandbox.
    """
    try:
        fd = os.open(workspace.root / KEPT_INDEX, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MAX_INDEX:
            return None
        return _Index(file.read(_MAX_INDEX), int(found.st_mtime))


# --- in the mirror -----------------------------------------------------------------------------


def _let_in(mirror: Path, run: str, base: str, bundle: bytes) -> str:
    """Let a bundle that holds no surprise into the mirror; returns its tree.

    By index-pack itself, as fetch would call it: git before 2.46 fetches bundles without checking objects.
    """
    try:
        work, pack = open_bundle(bundle, base, _MAX_EXPANDED)
    except BundleError as error:
        raise HandoverError(f"the workspace was not exported as it should be: {error}") from error
    done = git.git("index-pack", "--stdin", "--strict", git_dir=mirror, stdin=pack, check=False)
    tree = git.resolve(mirror, work, "tree") if done.ok else None
    if tree is None:
        words = done.killed_by or server_words(done.err, everything=True) or "its commit is not in it"
        raise HandoverError(f"git refuses what is in the workspace: {words}")
    mirrors.pin(mirror, run, "work", work)
    return tree


def _changes(mirror: Path, base: str, tree: str) -> list[Change]:
    done = git.git(
        "diff-tree", "-r", "-z", "--no-renames", "--raw", "--full-index", base, tree, git_dir=mirror
    )
    fields = done.stdout.split(b"\0")
    rows = [
        (*meta.decode().removeprefix(":").split(" "), path)
        for meta, path in zip(*[iter(fields)] * 2, strict=False)
    ]
    known = git.sizes(mirror, [new for _, _, _, new, _, _ in rows])
    return [
        Change(
            path=path.decode("utf-8", "surrogateescape"),
            status=status,
            old_mode=old_mode,
            new_mode=new_mode,
            new_sha=new,
            size=known[new].size,
        )
        for old_mode, new_mode, _, new, status, path in rows
    ]


def _without(mirror: Path, base: str, tree: str, changes: Sequence[Change], scratch: Path) -> str:
    """The tree with these changes taken back."""
    gone = "\0".join(f"0 {_NOTHING}\t{change.path}" for change in changes)
    paths = [change.path for change in changes if change.status != "A"]
    kept = git.git("ls-tree", "-z", base, "--", *paths, git_dir=mirror).stdout if paths else b""
    with _index_file(scratch) as index:
        env = {"GIT_INDEX_FILE": str(index)}
        git.git("read-tree", tree, git_dir=mirror, env=env)
        entries = gone.encode("utf-8", "surrogateescape") + b"\0" + kept
        git.git("update-index", "-z", "--index-info", git_dir=mirror, env=env, stdin=entries)
        return git.git("write-tree", git_dir=mirror, env=env).out.strip()


def _fresh_index(mirror: Path, base: str, scratch: Path) -> _Index:
    with _index_file(scratch) as index:
        git.git("read-tree", base, git_dir=mirror, env={"GIT_INDEX_FILE": str(index)})
        return _Index(index.read_bytes(), int(index.stat().st_mtime))


@contextlib.contextmanager
def _index_file(scratch: Path) -> Iterator[Path]:
    try:
        with tempfile.TemporaryDirectory(dir=scratch, prefix="index-") as folder:
            yield Path(folder, "index")
    except OSError as error:
        raise SprintError(f"cannot write to {scratch}: {error.strerror or error}") from error
