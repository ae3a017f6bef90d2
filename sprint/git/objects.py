"""Refs and objects of repositories of our own."""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sprint.errors import SprintError
from sprint.git.process import GitError, git, is_full_hex

_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_MOST_AT_ONCE = 400_000_000  # bytes of blobs in one answer
_IDENTITY_NOISE = re.compile(r"[\x00-\x1f<>]")


@dataclass(frozen=True)
class Blob:
    """An object's kind ("missing" where there is none) and its true size in bytes."""

    kind: str
    size: int


def init_bare(path: Path) -> None:
    """Make an empty bare repository where there is none yet: whole or not at all, whoever else does it."""
    if (path / "HEAD").is_file():
        return
    made = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent)
        git("init", "--quiet", "--bare", "--template=", "--initial-branch=none", made)
        with contextlib.suppress(OSError):  # somebody else was faster
            Path(made).rename(path)
        if not (path / "HEAD").is_file():
            raise GitError(f"cannot make a repository at {path}: something else is there; remove it")
    except OSError as error:
        raise SprintError(f"cannot make a repository at {path}: {error.strerror or error}") from error
    finally:
        if made:
            shutil.rmtree(made, ignore_errors=True)


def empty_tree(git_dir: Path) -> str:
    """The id of the tree with nothing in it, which is then there."""
    done = git("hash-object", "-t", "tree", "-w", "--stdin", git_dir=git_dir)
    assert done.out.strip() == _EMPTY_TREE
    return _EMPTY_TREE


def commit_tree(
    git_dir: Path,
    tree: str,
    parents: Iterable[str],
    message: str,
    author_name: str,
    author_email: str,
    when: datetime | None = None,
) -> str:
    """Make a commit and return its id. `when` (default: now) makes the same call give the same id."""
    name = _IDENTITY_NOISE.sub(" ", author_name).strip() or "sprint"
    email = _IDENTITY_NOISE.sub("", author_email).strip() or "sprint@localhost"
    env = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", name), ("EMAIL", email))
    }
    if when is not None:
        env |= {f"GIT_{role}_DATE": f"{int(when.timestamp())} +0000" for role in ("AUTHOR", "COMMITTER")}
    options = [option for parent in parents for option in ("-p", parent)]
    text = message.replace("\0", "").encode("utf-8", "replace")
    done = git(
        "commit-tree", "--no-gpg-sign", tree, *options, "-F", "-", git_dir=git_dir, stdin=text, env=env
    )
    return _id(done.out)


def _id(text: str) -> str:
    sha = text.strip()
    if not is_full_hex(sha):
        raise GitError(f"git answered {sha[:60]!r} where an object id was due")
    return sha


def resolve(git_dir: Path, name: str, kind: str = "commit") -> str | None:
    """The full id of what a name stands for; None where there is no such commit (or tree, blob)."""
    if not name or name.startswith("-") or not name.isprintable():
        return None
    done = git("rev-parse", "--verify", "--quiet", f"{name}^{{{kind}}}", git_dir=git_dir, check=False)
    sha = done.out.strip()
    return sha if done.ok and is_full_hex(sha) else None


def is_ancestor(git_dir: Path, commit: str, of: str) -> bool:
    """Whether `commit`, as a model or person may have written it, names a commit in the history of `of`."""
    if not re.fullmatch(r"[0-9a-fA-F]{7,40}", commit) or (sha := resolve(git_dir, commit)) is None:
        return False
    return git("merge-base", "--is-ancestor", sha, of, git_dir=git_dir, check=False).ok


def log(git_dir: Path, tip: str, limit: int = 1000) -> list[tuple[str, str]]:
    """Id and message of each commit from `tip` back, newest first."""
    mark = secrets.token_hex(16)
    done = git(
        "log", f"--max-count={limit}", f"--format=%H%x0a%B{mark}", "--end-of-options", tip, git_dir=git_dir
    )
    return [_two(record.lstrip("\n")) for record in done.out.split(mark) if record.strip()]


def _two(record: str) -> tuple[str, str]:
    sha, _, message = record.partition("\n")
    return _id(sha), message.rstrip("\n")


def read_refs(git_dir: Path, prefix: str) -> dict[str, tuple[str, str]]:
    """Refs below a prefix: the object each is at, and its message where that is a commit."""
    # Messages are written by others: what ends a record must be nothing that they can know.
    mark = secrets.token_hex(16)
    done = git(
        "for-each-ref", f"--format=%(refname)%0a%(objectname)%0a%(contents){mark}", prefix, git_dir=git_dir
    )
    refs = {}
    for record in done.out.split(mark):
        if record.strip():
            ref, _, rest = record.lstrip("\n").partition("\n")
            refs[ref] = _two(rest)
    return refs


def update_ref(git_dir: Path, ref: str, sha: str | None) -> None:
    """Point a local ref at an object, or remove it (None)."""
    git(*(("update-ref", ref, sha) if sha else ("update-ref", "-d", ref)), git_dir=git_dir)


def pack_refs(git_dir: Path, below: str, *, unless_fewer_than: int) -> None:
    """Put refs that are files of their own into one file, where those in a folder of them are many."""
    with contextlib.suppress(FileNotFoundError):
        if sum(1 for _ in (git_dir / below).iterdir()) >= unless_fewer_than:
            git("pack-refs", "--all", "--prune", git_dir=git_dir)


def sizes(git_dir: Path, shas: Iterable[str]) -> dict[str, Blob]:
    """Kind and true size of objects, without unpacking them."""
    wanted = list(dict.fromkeys(shas))
    if not wanted:
        return {}
    done = git("cat-file", "--batch-check", git_dir=git_dir, stdin="\n".join(wanted).encode() + b"\n")
    found = {}
    for line in done.out.splitlines():
        sha, kind, *size = line.split(" ")
        found[sha] = Blob(kind, int(size[0]) if size else 0)
    return found


def ls_tree(git_dir: Path, commit: str) -> dict[str, tuple[str, str]]:
    """Every path of a commit, to its octal mode and its object; bytes that are no UTF-8 as surrogates."""
    done = git("ls-tree", "-r", "-z", "--full-tree", commit, git_dir=git_dir, output_cap=_MOST_AT_ONCE)
    found = {}
    for record in done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]:
        meta, _, path = record.partition("\t")
        mode, _, sha = meta.split(" ")
        found[path] = (mode, sha)
    return found


def read_blobs(git_dir: Path, shas: Iterable[str], cap: int) -> dict[str, bytes]:
    """The raw content of blobs: no filter, no attribute, no text conversion.

    Those over `cap` bytes, and ids that are no blobs here, are left out.
    """
    wanted = [
        sha for sha, found in sizes(git_dir, shas).items() if found.kind == "blob" and found.size <= cap
    ]
    if not wanted:
        return {}
    asked = "\n".join(wanted).encode() + b"\n"
    answer = git("cat-file", "--batch", git_dir=git_dir, stdin=asked, output_cap=_MOST_AT_ONCE).stdout
    found, at = {}, 0
    while at < len(answer):
        end = answer.index(b"\n", at)
        sha, _, size = answer[at:end].decode().split(" ")
        found[sha] = answer[end + 1 : end + 1 + int(size)]
        at = end + 2 + int(size)
    return found
