"""What an agent made comes into the run's own repository: sandboxed export, bundle, trusted unpacking.

Nothing on the host reads the agent's files. A git inside the sandbox, with a repository of its own, turns the
work tree into a bundle on its standard output; the bundle is weighed before any git of ours unpacks it.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path, PurePosixPath

from msgspec import Struct

from sprint import git, proc
from sprint.domain import Change, Completed, DiffStat, ImportedWork, Workspace
from sprint.errors import SprintError
from sprint.git.server_errors import one_line, server_words
from sprint.sandbox import Command, Sandbox
from sprint.workspace import layers, leftover
from sprint.workspace.bundle import BundleError, open_bundle
from sprint.workspace.checkout import KEPT_INDEX
from sprint.workspace.junk import folder_patterns, junk_patterns

EXPORT = Path(__file__).with_name("export.sh")
BUNDLE_CAP = 32_000_000  # bytes
MAX_EXPANDED = 64_000_000  # bytes of new files, uncompressed
MAX_NEW_FILES = 20_000
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
    done = _in_sandbox("list", workspace, sandbox, base, index, [], output_cap=MAX_EXPANDED)
    return leftover.encode(done.stdout.split(b"\0"))


def comes_out_as_it_is(store: Path, commit: str) -> bool:
    """Whether git sees no change in a fresh checkout: attributes may have it write a file otherwise than it
    was read, and a submodule is not there."""
    entries = git.ls_tree(store, commit).items()
    return all(
        mode != "160000" and PurePosixPath(path).name != ".gitattributes" for path, (mode, _) in entries
    )


def import_work(
    workspace: Workspace,
    store: Path,
    base: str,
    sandbox: Sandbox,
    *,
    leftovers: Sequence[str],
    scratch: Path,
) -> ImportedWork:
    """Bring the work tree's state as a tree into `store`, which is the run's own repository (`own_objects`).

    Left out: what the repository ignores, `leftovers`, and well-known junk that the base does not track.
    `scratch` is a directory of ours. The agent's own commits, branches and configuration have no effect.
    Raises HandoverError where the workspace is broken, hostile or too big, never hanging on it.
    """
    left, work = leftover.decode(leftovers), ""
    try:
        known = junk_patterns(git.ls_tree(store, base))
        patterns = [*known, *folder_patterns(left.folders, _MAX_PATTERN_BYTES)]
        index = _kept_index(workspace) or _fresh_index(store, base, scratch)
        done = _in_sandbox("export", workspace, sandbox, base, index, patterns, output_cap=BUNDLE_CAP)
        work = _let_in(store, base, done.stdout)
        imported = compared_with(store, base, work)
        if undone := [change for change in imported.changes if left.covers(change)]:
            return compared_with(store, base, _without(store, base, imported.tree, undone, scratch))
        return imported
    except git.GitError as error:
        if git.resolve(store, base) is None:
            said = f"{base} is no longer there; the repository was cloned anew meanwhile"
            raise HandoverError(said) from error
        if work and git.resolve(store, work) is None:
            raise HandoverError("git refuses what is in the workspace: its commit is not in it") from error
        raise


def compared_with(store: Path, base: str, work: str) -> ImportedWork:
    """A tree, or that of a commit, as a change of any other commit."""
    done = git.git(
        "diff-tree", "-r", "-z", "--no-renames", "--raw", "--full-index", base, work, git_dir=store
    )
    fields = done.stdout.split(b"\0")
    rows = [
        (*meta.decode().removeprefix(":").split(" "), path)
        for meta, path in zip(*[iter(fields)] * 2, strict=False)
    ]
    known = git.sizes(store, [f"{work}^{{tree}}", *(new for _, _, _, new, _, _ in rows)])
    changes = tuple(
        Change(
            path=path.decode("utf-8", "surrogateescape"),
            status=status,
            old_mode=old_mode,
            new_mode=new_mode,
            new_sha=new,
            size=known[new].size,
        )
        for old_mode, new_mode, _, new, status, path in rows
    )
    return ImportedWork(base, next(iter(known)), changes)


def leave_out(store: Path, work: ImportedWork, paths: Sequence[str], scratch: Path) -> ImportedWork:
    """The work without its changes to these paths."""
    gone = [change for change in work.changes if change.path in paths]
    if not gone:
        return work
    return compared_with(store, work.base, _without(store, work.base, work.tree, gone, scratch))


def commit(
    store: Path,
    work: ImportedWork,
    message: str,
    author_name: str,
    author_email: str,
    when: datetime | None = None,
    parents: Sequence[str] = (),
    sign: Path | None = None,
) -> str:
    """The runner's own commit of imported work, on its base unless `parents` are given, and signed with the
    ssh key `sign`. Returns its id."""
    on = parents or [work.base]
    return git.commit_tree(store, work.tree, on, message, author_name, author_email, when, sign)


@lru_cache(maxsize=2)  # a reviewer's and the pull request's are the same
def diffstat(store: Path, base: str, work: str) -> tuple[DiffStat, ...]:
    """What a tree changes of a commit in how many lines, a path each; both are full ids."""
    done = git.git(
        *("diff-tree", "-r", "-z", "--raw", "--numstat", "--no-renames", "--no-ext-diff", "--no-textconv"),
        *(base, work),
        git_dir=store,
    )
    statuses: dict[str, str] = {}
    counts: dict[str, tuple[int, int] | None] = {}
    fields = iter(done.stdout.decode("utf-8", "surrogateescape").split("\0"))
    for record in fields:
        if record.startswith(":"):
            statuses[next(fields)] = record.rpartition(" ")[2]
        elif record:
            added, deleted, path = record.split("\t", 2)
            counts[path] = (int(added), int(deleted)) if added.isdigit() else None
    return tuple(DiffStat(path, status, counts.get(path)) for path, status in statuses.items())


def diff(store: Path, base: str, tree: str, cap: int = 5_000_000) -> bytes:
    """The work as a patch that `git apply` takes; attributes and configuration of the work have no say.

    Over `cap` bytes it is cut in the middle, and says so.
    """
    plain = ("--no-ext-diff", "--no-textconv", "--no-renames", "--no-color", "--binary", "--full-index")
    settings = ("-c", f"attr.tree={git.EMPTY_TREE}")
    done = git.git(
        *settings, "diff-tree", "-r", "-p", *plain, base, tree, git_dir=store, check=False, output_cap=cap
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
    layers.cover_again(workspace)
    excludes = [option for pattern in patterns for option in ("-x", pattern)]
    numbers = [len(index.data), index.made, MAX_NEW_FILES, MAX_EXPANDED]
    argv = ["sh", "-c", EXPORT.read_text(), "export", task, base, *map(str, numbers), *excludes]

    def run() -> Completed:
        return sandbox.run(
            Command(
                argv,
                timeout=_TIMEOUT,
                stdin=index.data,
                env=ENVIRONMENT,
                writable_workspace=False,
                output_cap=output_cap,
            ),
            workspace,
        )

    done = run()
    if done.exit_code == _UNREADABLE and not done.killed_by:
        sandbox.run(Command(["chmod", "-R", "u+rwX", "."], timeout=_TIMEOUT, env=ENVIRONMENT), workspace)
        done = run()
    if done.killed_by:
        raise HandoverError(f"the workspace could not be exported: stopped by its limit ({done.killed_by})")
    if done.exit_code != 0:
        words = one_line((done.err.strip().splitlines() or ["git said nothing"])[-1])
        raise HandoverError(f"the workspace could not be exported: {words}")
    if done.truncated:
        raise HandoverError(f"the workspace could not be exported: the work is over {output_cap} bytes")
    return done


class _Index(Struct, frozen=True):
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


# --- in the run's repository -----------------------------------------------------------------------------


def _let_in(store: Path, base: str, bundle: bytes) -> str:
    """Let a bundle that holds no surprise in; returns the commit that it says it holds.

    By index-pack itself, as fetch would call it: git before 2.46 fetches bundles without checking objects.
    """
    try:
        work, pack = open_bundle(bundle, base, MAX_EXPANDED)
    except BundleError as error:
        raise HandoverError(f"the workspace was not exported as it should be: {error}") from error
    done = git.git("index-pack", "--stdin", "--strict", git_dir=store, stdin=pack, check=False)
    if not done.ok:
        words = done.killed_by or server_words(done.err, everything=True)
        raise HandoverError(f"git refuses what is in the workspace: {words}")
    return work


def _without(store: Path, base: str, tree: str, changes: Sequence[Change], scratch: Path) -> str:
    """The tree with these changes taken back."""
    gone = "\0".join(f"0 {_NOTHING}\t{change.path}" for change in changes)
    paths = [change.path for change in changes if change.status != "A"]
    kept = git.git("ls-tree", "-z", base, "--", *paths, git_dir=store).stdout if paths else b""
    with _index_file(scratch) as index:
        env = {"GIT_INDEX_FILE": str(index)}
        git.git("read-tree", tree, git_dir=store, env=env)
        entries = gone.encode("utf-8", "surrogateescape") + b"\0" + kept
        git.git("update-index", "-z", "--index-info", git_dir=store, env=env, stdin=entries)
        return git.git("write-tree", git_dir=store, env=env).out.strip()


def _fresh_index(store: Path, base: str, scratch: Path) -> _Index:
    with _index_file(scratch) as index:
        git.git("read-tree", base, git_dir=store, env={"GIT_INDEX_FILE": str(index)})
        return _Index(index.read_bytes(), int(index.stat().st_mtime))


@contextlib.contextmanager
def _index_file(scratch: Path) -> Iterator[Path]:
    try:
        with tempfile.TemporaryDirectory(dir=scratch, prefix="index-") as folder:
            yield Path(folder, "index")
    except OSError as error:
        raise SprintError(f"cannot write to {scratch}: {error.strerror or error}") from error
