"""The bare repositories of the embedded forge."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sprint import proc
from sprint.demo import refusals

_SECONDS = 120.0
_SETTINGS = {
    "http.receivepack": "true",
    "receive.autogc": "false",
    "receive.hideRefs": "refs/pull",
    "uploadpack.allowAnySHA1InWant": "true",
    "uploadpack.allowFilter": "true",
    "gc.auto": "0",
    "core.fsync": "none",
}


@dataclass(frozen=True)
class Commit:
    """A commit to make: what each path shall hold, None to delete it."""

    message: str
    files: Mapping[str, str | bytes | None]
    author: str = "Ada Example"
    at: datetime | None = None


def environment(author: str = "Demo Forge", at: datetime | None = None) -> dict[str, str]:
    """What git sees: no configuration of the machine or of its user, and a fixed identity."""
    when = (at or datetime.now(UTC)).isoformat(timespec="seconds")
    email = f"{author.lower().replace(' ', '.')}@example.org"
    return proc.minimal_environment(
        HOME="/nonexistent",
        GIT_CONFIG_NOSYSTEM="1",
        GIT_CONFIG_GLOBAL=os.devnull,
        GIT_AUTHOR_NAME=author,
        GIT_AUTHOR_EMAIL=email,
        GIT_AUTHOR_DATE=when,
        GIT_COMMITTER_NAME=author,
        GIT_COMMITTER_EMAIL=email,
        GIT_COMMITTER_DATE=when,
    )


def git(path: Path, *args: str, stdin: bytes = b"", author: str = "Demo Forge", check: bool = True) -> str:
    """Run git in a repository and return its output. Raises RuntimeError where it fails and `check` is on."""
    done = proc.run(
        ["git", f"--git-dir={path}", *args], timeout=_SECONDS, env=environment(author), stdin=stdin
    )
    if check and not done.ok:
        raise RuntimeError(f"git {args[0]} in {path}: {done.err.strip()}")
    return done.out if done.ok else ""


def create(path: Path, default_branch: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = [flag for name, value in _SETTINGS.items() for flag in ("-c", f"{name}={value}")]
    proc_args = ["init", "--quiet", "--bare", "--template=", f"--initial-branch={default_branch}", str(path)]
    done = proc.run(["git", *settings, *proc_args], timeout=_SECONDS, env=environment())
    if not done.ok:
        raise RuntimeError(f"git init {path}: {done.err.strip()}")
    with (path / "config").open("a") as config:
        for name, value in _SETTINGS.items():
            section, key = name.split(".")
            config.write(f"[{section}]\n\t{key} = {value}\n")


def refs(path: Path) -> dict[str, str]:
    """Every reference but HEAD, by its full name."""
    lines = git(path, "for-each-ref", "--format=%(objectname) %(refname)").splitlines()
    return {ref: sha for sha, _, ref in (line.partition(" ") for line in lines)}


def update_ref(path: Path, ref: str, sha: str) -> None:
    git(path, "update-ref", ref, sha)


def commit(path: Path, branch: str, commits: Sequence[Commit]) -> str:
    """Add commits to a branch, made where it is not there yet; returns the last one's id."""
    ref = f"refs/heads/{branch}"
    stream = bytearray()
    parent = f"from {ref}^0\n" if ref in refs(path) else ""
    for entry in commits:
        at = int((entry.at or datetime.now(UTC)).timestamp())
        email = f"{entry.author.lower().replace(' ', '.')}@example.org"
        who = f"{entry.author} <{email}> {at} +0000"
        stream += f"commit {ref}\nauthor {who}\ncommitter {who}\n".encode()
        stream += _data(entry.message) + parent.encode()
        for name, content in entry.files.items():
            if content is None:
                stream += f"D {name}\n".encode()
            else:
                mode = "100755" if content[:2] in ("#!", b"#!") else "100644"
                stream += f"M {mode} inline {name}\n".encode() + _data(content)
        parent = ""
    git(path, "fast-import", "--quiet", "--date-format=raw", stdin=bytes(stream))
    return refs(path)[ref]


def _data(content: str | bytes) -> bytes:
    raw = content.encode() if isinstance(content, str) else content
    return b"data %d\n%s\n" % (len(raw), raw)


def commits_between(path: Path, base: str, head: str) -> int:
    return int(git(path, "rev-list", "--count", f"{base}..{head}"))


def show(path: Path, ref: str, name: str) -> bytes:
    """A file's content at a ref. Raises RuntimeError where it is not there."""
    done = proc.run(
        ["git", f"--git-dir={path}", "cat-file", "blob", f"{ref}:{name}"],
        timeout=_SECONDS,
        env=environment(),
    )
    if not done.ok:
        raise RuntimeError(f"no {name} at {ref} in {path}")
    return done.stdout


def merge(path: Path, base: str, head_sha: str, message: str, author: str) -> str:
    """Merge a commit into a branch; returns the merge commit's id, or "" on a conflict."""
    ref = f"refs/heads/{base}"
    base_sha = refs(path)[ref]
    tree = git(path, "merge-tree", "--write-tree", base_sha, head_sha, check=False).split("\n")[0]
    if not tree:
        return ""
    sha = git(path, "commit-tree", tree, "-p", base_sha, "-p", head_sha, "-m", message, author=author).strip()
    git(path, "update-ref", ref, sha, base_sha)
    return sha


def install_hook(path: Path) -> None:
    hook = path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(refusals.HOOK)
    hook.chmod(0o755)
