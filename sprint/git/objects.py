"""Refs and objects of repositories of our own."""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from msgspec import Struct

from sprint import files
from sprint.domain import Completed
from sprint.errors import SprintError
from sprint.git.process import GitError, git, is_full_hex
from sprint.git.server_errors import server_words

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"  # git knows it without its being stored
_MOST_AT_ONCE = 400_000_000  # bytes of blobs in one answer
_USUALLY = 16_000_000  # bytes that the blobs of one question are, unless somebody means harm
_HEAD = 1_000  # bytes of an object's file, by which it has begun to unpack
_BARE_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
_IDENTITY_NOISE = re.compile(r"[\x00-\x1f<>]")
_CRUD = " .,:;\"'\\"  # git itself takes these off both ends


class CannotSign(GitError):
    """The ssh key that commits are to be signed with is not there, has a passphrase, or is none."""


class Blob(Struct, frozen=True):
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
        for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags"):
            Path(made, folder).mkdir(parents=True)
        Path(made, "config").write_text(_BARE_CONFIG)
        Path(made, "HEAD").write_text("ref: refs/heads/none\n")
        with contextlib.suppress(OSError):  # somebody else was faster
            Path(made).rename(path)
        if not (path / "HEAD").is_file():
            raise GitError(f"cannot make a repository at {path}: something else is there; remove it")
    except OSError as error:
        raise SprintError(f"cannot make a repository at {path}: {error.strerror or error}") from error
    finally:
        if made:
            shutil.rmtree(made, ignore_errors=True)


def commit_tree(
    git_dir: Path,
    tree: str,
    parents: Iterable[str],
    message: str,
    author_name: str,
    author_email: str,
    when: datetime | None = None,
    sign: Path | None = None,
) -> str:
    """Make a commit and return its id. `when` (default: now) makes the same call give the same id.

    `sign`: the file of an ssh key to sign it with. Raises CannotSign where that key does not.
    """
    name = _IDENTITY_NOISE.sub(" ", author_name).strip(_CRUD) or "sprint"
    email = _IDENTITY_NOISE.sub("", author_email).strip(_CRUD) or "sprint@localhost"
    above, text = list(parents), message.replace("\0", "").encode("utf-8", "replace")
    date = f"{int(when.timestamp())} +0000" if when is not None else ""
    if sign is None and date and tree == EMPTY_TREE and _are_loose_commits(git_dir, above):
        return _stored(git_dir, tree, above, f"{name} <{email}> {date}", text)
    env = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", name), ("EMAIL", email))
    }
    if date:
        env |= {f"GIT_{role}_DATE": date for role in ("AUTHOR", "COMMITTER")}
    options = [option for parent in above for option in ("-p", parent)]
    made = git(
        *_signing(sign), tree, *options, "-F", "-", git_dir=git_dir, stdin=text, env=env, check=sign is None
    )
    if not made.ok:
        said = server_words(made.err) or made.killed_by
        raise CannotSign(f"{sign} signs no commit ({said}); name an ssh key of your own without a passphrase")
    return _id(made.out)


def _stored(git_dir: Path, tree: str, parents: Iterable[str], who: str, text: bytes) -> str:
    """The same commit without git, which takes ten times as long to start as all this: every state of a claim
    is one."""
    lines = [f"tree {tree}", *(f"parent {sha}" for sha in parents), f"author {who}", f"committer {who}"]
    head = "\n".join(lines).encode("utf-8", "replace")
    body = b"%s\n\n%s" % (head, text)
    whole = b"commit %d\0%s" % (len(body), body)
    sha = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
    path = _loose(git_dir, sha)
    if not path.exists():
        with files.refusing("write", path):
            path.parent.mkdir(exist_ok=True)
        files.replace(path, zlib.compress(whole, 1), mode=0o444, durable=False)
    return sha


def _are_loose_commits(git_dir: Path, shas: Iterable[str]) -> bool:
    """Whether each is an object in a file of its own, and a commit."""
    with contextlib.suppress(OSError, zlib.error):
        return all(_first_of(_loose(git_dir, sha)) == b"commit " for sha in shas)
    return False


def _first_of(path: Path) -> bytes:
    """Seven bytes of an object: others can push a big one where a claim is due."""
    with path.open("rb") as file:
        return zlib.decompressobj().decompress(file.read(_HEAD), 7)


def _loose(git_dir: Path, sha: str) -> Path:
    return git_dir / "objects" / sha[:2] / sha[2:]


def _signing(key: Path | None) -> tuple[str, ...]:
    if key is None:
        return ("commit-tree", "--no-gpg-sign")
    return ("-c", "gpg.format=ssh", "-c", f"user.signingKey={key}", "commit-tree", "--gpg-sign")


def try_signing(key: Path) -> None:
    """See that commits can be signed with an ssh key. Raises CannotSign, SprintError."""
    with tempfile.TemporaryDirectory(prefix="sprint-sign-") as folder:
        scratch = Path(folder, "scratch.git")
        init_bare(scratch)
        commit_tree(scratch, EMPTY_TREE, [], "trial", "sprint", "sprint@localhost", sign=key)


def _id(text: str) -> str:
    sha = text.strip()
    if not is_full_hex(sha):
        raise GitError(f"git answered {sha[:60]!r} where an object id was due")
    return sha


def resolve(git_dir: Path, name: str, kind: str = "commit") -> str | None:
    """The full id of what a name stands for; None where there is no such commit (or tree, blob)."""
    return resolve_all(git_dir, f"{name}^{{{kind}}}")[0] if name else None


def resolve_all(git_dir: Path, *names: str) -> list[str | None]:
    """The full id of the object that each name stands for, or None, by one question."""
    asked = [name if name.isprintable() else "-" for name in names]  # which is the name of nothing
    done = git(
        *("cat-file", "--batch-check=%(objectname)"),
        git_dir=git_dir,
        stdin="\n".join(asked).encode() + b"\n",
    )
    return [line if is_full_hex(line) else None for line in done.out.splitlines()]


def is_ancestor(git_dir: Path, commit: str, of: str) -> bool:
    """Whether `commit`, as a model or person may have written it, names a commit in the history of `of`."""
    if not re.fullmatch(r"[0-9a-fA-F]{7,40}", commit):
        return False
    if (sha := commit if is_full_hex(commit) else resolve(git_dir, commit)) is None:
        return False
    return git("merge-base", "--is-ancestor", sha, of, git_dir=git_dir, check=False).ok


def log(git_dir: Path, tip: str, limit: int = 1000) -> list[tuple[str, str]]:
    """Id and message of each commit from `tip` back, newest first; empty where there is no `tip`."""
    mark = secrets.token_hex(16)
    shown = ("--ignore-missing", f"--max-count={limit}", f"--format=%H%x0a%B{mark}")
    done = git("log", *shown, "--end-of-options", tip, git_dir=git_dir)
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


_REMEMBERED = 3
_MOST_REMEMBERED = 50_000  # paths
_trees: dict[str, dict[str, tuple[str, str]]] = {}


def ls_tree(git_dir: Path, commit: str) -> Mapping[str, tuple[str, str]]:
    """Every path of a commit, to its octal mode and its object; bytes that are no UTF-8 as surrogates.

    The last ones are remembered by their full ids, which stand for the same files for ever.
    """
    if (known := _trees.get(commit)) is not None:
        return MappingProxyType(known)
    done = git("ls-tree", "-r", "-z", "--full-tree", commit, git_dir=git_dir, output_cap=_MOST_AT_ONCE)
    found = {}
    for record in done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]:
        meta, _, path = record.partition("\t")
        mode, _, sha = meta.split(" ")
        found[path] = (mode, sha)
    if is_full_hex(commit) and len(found) <= _MOST_REMEMBERED:
        for oldest in list(_trees)[: 1 - _REMEMBERED]:
            _trees.pop(oldest, None)
        _trees[commit] = found
    return MappingProxyType(found)


def read_blobs(git_dir: Path, shas: Iterable[str], cap: int) -> dict[str, bytes]:
    """The raw content of blobs: no filter, no attribute, no text conversion.

    Those over `cap` bytes, and ids that are no blobs here, are left out.
    """
    wanted = list(dict.fromkeys(shas))
    if not wanted:
        return {}
    done = _contents(git_dir, wanted, _USUALLY)
    if not done.ok or done.truncated:
        known = sizes(git_dir, wanted)
        wanted = [sha for sha in wanted if known[sha].kind == "blob" and known[sha].size <= cap]
        done = _contents(git_dir, wanted, _MOST_AT_ONCE)
        if not done.ok or done.truncated:
            raise GitError(f"cannot read {len(wanted)} blobs: {done.killed_by or done.err.strip()[-200:]}")
    answer, found, at = done.stdout, {}, 0
    while at < len(answer):
        end = answer.index(b"\n", at)
        sha, kind, *size = answer[at:end].decode().split(" ")
        at = end + 1
        if size:
            if kind == "blob" and int(size[0]) <= cap:
                found[sha] = answer[at : at + int(size[0])]
            at += int(size[0]) + 1
    return found


def _contents(git_dir: Path, shas: Iterable[str], output_cap: int) -> Completed:
    asked = "".join(f"{sha}\n" for sha in shas).encode()
    return git("cat-file", "--batch", git_dir=git_dir, stdin=asked, output_cap=output_cap, check=False)
