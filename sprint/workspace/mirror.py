"""A bare mirror for each repository, fetched under a lock and made anew where it is broken."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from sprint import files, git
from sprint.domain import is_repo_name
from sprint.errors import SprintError
from sprint.lock import lock
from sprint.workspace import removal

PINS = "refs/sprint-work"

_REFSPECS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
_COMMIT_GRAPH = ("commit-graph", "write", "--reachable")
_PATIENCE_SECONDS = 900  # a first clone by another tick may be under way
_FETCH_SECONDS = 1800
_MANY_PACKS = 20
_STALE_LOCK_SECONDS = 60
_PIN_DAYS = 30
_USED = "sprint-used"
_BROKEN = "sprint-broken"
_RUNS = "sprint-runs"


def mirror_path(cache: Path, forge: str, repo: str) -> Path:
    """Where the mirror of a repository is, made yet or not."""
    if not is_repo_name(repo):
        raise SprintError(f"{repo!r} is no OWNER/REPO")
    return cache / "mirrors" / quote(forge, safe="").replace(".", "%2E") / f"{repo}.git"


def update_mirror(
    cache: Path,
    forge: str,
    repo: str,
    remote: git.Remote,
    *,
    branch: str,
    watch: Callable[[], str] | None = None,
) -> tuple[Path, str]:
    """Bring the mirror up to date and return it with the commit that `branch` is at.

    Costs one fetch; a clone where there is no mirror yet or it is broken. `watch` may end it by raising.
    Raises ForgeError where the server fails or has no such branch, Busy where another process fetches it for
    too long.
    """
    path = mirror_path(cache, forge, repo)
    try:
        with locked(path, watch):
            return path, _update(path, remote, branch, watch)
    except OSError as error:
        raise SprintError(f"cannot keep a mirror at {path}: {error.strerror or error}") from error


def _update(path: Path, remote: git.Remote, branch: str, watch: Callable[[], str] | None) -> str:
    _sweep(path)
    try:
        if not _is_sound(path):
            raise git.GitError(f"{path} is broken")
        _fetch(path, remote, branch, watch)
        tip = _tip(path, branch)
    except (git.GitError, git.Unexplained):
        _make_anew(path, remote, branch, watch)
        tip = _tip(path, branch)
    (path / _USED).write_text(remote.url if remote.is_http else "")
    if len(list((path / "objects/pack").glob("*.pack"))) > _MANY_PACKS:
        _tidy(path)
    return tip


@contextlib.contextmanager
def locked(mirror: Path, watch: Callable[[], str] | None = None) -> Iterator[None]:
    """Nothing is removed from the mirror, and nobody else fetches into it, while the block runs. `watch` may
    end the wait for others."""
    with lock(mirror.with_suffix(".lock"), wait=_PATIENCE_SECONDS, what="mirror", watch=watch):
        yield


def _fetch(path: Path, remote: git.Remote, branch: str, watch: Callable[[], str] | None) -> None:
    # Named besides the pattern, which an empty answer (a login page) would satisfy by pruning everything.
    asked = f"+refs/heads/{branch}:refs/heads/{branch}"
    refspecs = (asked, *_REFSPECS)
    git.fetch(path, remote, *refspecs, prune=True, keep_pack=True, timeout=_FETCH_SECONDS, watch=watch)


def _tip(path: Path, branch: str) -> str:
    ref = f"refs/heads/{branch}"
    sha, tree = git.resolve_all(path, f"{ref}^{{commit}}", f"{ref}^{{tree}}")
    if sha is None or tree is None:
        raise git.GitError(f"{path} lacks objects of {branch}")
    return sha


def _make_anew(path: Path, remote: git.Remote, branch: str, watch: Callable[[], str] | None) -> None:
    """Clone beside the mirror and swap them: killed at any point, the next tick sees an old one or none."""
    made = removal.sibling(path, "new")
    git.init_bare(made)
    _fetch(made, remote, branch, watch)
    git.git(*_COMMIT_GRAPH, git_dir=made, timeout=600, check=False)
    if path.exists():
        path.rename(removal.sibling(path, "gone"))
    made.rename(path)
    _sweep(path)


def origin(path: Path) -> str:
    """The address that the mirror was last fetched from; "" for one that only this machine can use."""
    with contextlib.suppress(FileNotFoundError):
        return (path / _USED).read_text()
    return ""


def _sweep(path: Path) -> None:
    """Remove what killed ticks left behind."""
    for garbage in removal.siblings(path):
        removal.delete(garbage)
    if not path.is_dir():
        return
    now = time.time()
    held = [*path.glob("*.lock"), *path.glob("refs/**/*.lock"), *path.glob("objects/info/**/*.lock")]
    for entry in [*held, *path.glob("objects/pack/tmp_*"), *path.glob("objects/pack/.tmp-*")]:
        with contextlib.suppress(FileNotFoundError):
            if entry.stat().st_mtime < now - _STALE_LOCK_SECONDS:
                entry.unlink()
    for run in (path / _RUNS).glob("*"):
        if run.stat().st_mtime < now - _PIN_DAYS * 86400:
            _unpin(path, run.name)


def _is_sound(path: Path) -> bool:
    """Whether all packs are whole, as far as their two ends tell; git itself looks only when it needs one."""
    if not (path / "HEAD").is_file() or not (path / "objects").is_dir() or (path / _BROKEN).exists():
        return False
    try:
        return all(_matches(index) for index in (path / "objects/pack").glob("*.idx"))
    except OSError:
        return False


def _matches(index: Path) -> bool:
    with index.open("rb") as file:
        file.seek(-40, os.SEEK_END)
        said = file.read(20)
    with index.with_suffix(".pack").open("rb") as file:
        file.seek(-20, os.SEEK_END)
        return file.read(20) == said


def declare_broken(path: Path) -> None:
    """Have the next tick clone it anew."""
    (path / _BROKEN).touch()


def _tidy(path: Path) -> None:
    """Join small packs, so that a checkout copies few files; nothing is dropped, reachable or not."""
    for args in (("repack", "-d", "-q", "--geometric=2"), ("pack-refs", "--all"), _COMMIT_GRAPH):
        git.git(*args, git_dir=path, timeout=600, check=False)  # it works untidied as well


# --- what runs keep in it ---


def pin(path: Path, run: str, role: str, sha: str) -> None:
    """Keep an object for a run, reachable under a ref that no server ever sees, for 30 days."""
    (path / _RUNS).mkdir(exist_ok=True)
    (path / _RUNS / run).touch()
    ref = path / PINS / run / role
    ref.parent.mkdir(parents=True, exist_ok=True)
    files.replace(ref, f"{sha}\n".encode(), durable=False)


def take_pins_back(path: Path, run: str) -> None:
    """Of a run that never began. They are files still: git, which locks all refs for it, is left alone."""
    if (path / PINS / run).is_dir():
        shutil.rmtree(path / PINS / run, ignore_errors=True)
        (path / _RUNS / run).unlink(missing_ok=True)


def _unpin(path: Path, run: str) -> None:
    for ref in git.read_refs(path, f"{PINS}/{run}/"):
        git.update_ref(path, ref, None)
    (path / _RUNS / run).unlink(missing_ok=True)
