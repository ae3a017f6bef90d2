"""What changed files hold: secrets, and content that belongs in a large file store."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from sprint import git
from sprint.config import PublishConfig
from sprint.domain import Change, Refusal, Secret
from sprint.policy.trees import GITLINK, Trees

if TYPE_CHECKING:
    from sprint.policy.scanner import Scanner

_SHORTEST = 8  # characters of a secret; shorter ones are in any text
_CPU_SECONDS = 90.0
_POINTER = b"version https://git-lfs.github.com/spec/"


def known_secrets(trees: Trees, known: Sequence[Secret]) -> Iterator[Refusal]:
    """Files with a secret of the runner's own in them, in plain or encoded."""
    forms = secret_forms(known)
    if not forms:
        return
    for change in trees.added:
        if any(form in change.path.lower().encode("utf-8", "surrogateescape") for form in forms):
            yield Refusal("", "the name of a file holds a credential of the runner itself")
    changes = [change for change in trees.added if change.new_mode != GITLINK]
    for change in changes:
        data = trees.blobs.get(change.new_sha, b"").replace(b"\0", b"").lower()
        if any(form in data for form in forms):
            yield Refusal(change.path, "holds a credential of the runner itself")


def secret_forms(known: Sequence[Secret]) -> list[bytes]:
    """What secrets look like, plain and encoded, in lower case; without those that are too short to tell."""
    long = (secret.reveal() for secret in known if len(secret.reveal()) >= _SHORTEST)
    return [form for value in long for form in _forms(value)]


def _forms(value: str) -> Iterator[bytes]:
    data = value.encode()
    for form in (value, quote(value, safe=""), data.hex()):
        yield form.lower().encode()
    for shift in range(3):  # base64 of a text that it is somewhere in
        yield base64.b64encode(b" " * shift + data)[shift + 1 : -4].lower()


def new_secrets(trees: Trees, rules: PublishConfig) -> Iterator[Refusal]:
    """Files with lines that a scanner takes for credentials and that were not in the base's version.

    Blobs are read raw: neither attributes nor an encoding hide anything. One that cannot be read is refused.
    The names of files are looked at likewise. Raises ScanUnfinished where it takes too long.
    """
    from sprint.policy.scanner import Scanner

    scanner = Scanner(cpu_seconds=_CPU_SECONDS)
    yield from _in_names(trees, scanner)
    changes = [change for change in trees.changes if GITLINK not in (change.old_mode, change.new_mode)]
    blobs = trees.blobs
    old = {
        c.path: blobs.get(trees.before[c.path][1], b"") if c.path in trees.before else b"" for c in changes
    }
    had = {
        value
        for change in changes
        for _, _, value in scanner.scan(change.path, old[change.path], without=_new(change, blobs))
    }
    for change in trees.added:
        if change.new_mode == GITLINK:
            continue
        if change.new_sha not in blobs:
            yield Refusal(change.path, "could not be read to look for credentials")
            continue
        for line, kind, value in scanner.scan(change.path, blobs[change.new_sha], without=old[change.path]):
            if value not in had:
                yield Refusal(change.path, f"line {line} holds what looks like a credential ({kind})")
                break


def _in_names(trees: Trees, scanner: Scanner) -> Iterator[Refusal]:
    """The names that the base has not, without their folders' where those are there."""
    known = {name for path in trees.before for name in path.split("/")}
    names = {name for change in trees.added for name in change.path.split("/")} - known
    said = "\n".join(sorted(names)).encode("utf-8", "surrogateescape")
    if any(scanner.scan("", said)):
        yield Refusal("", "the name of a file or folder holds what looks like a credential")


def _new(change: Change, blobs: Mapping[str, bytes]) -> bytes:
    return blobs.get(change.new_sha, b"")


def raw_large_files(trees: Trees, rules: PublishConfig) -> Iterator[Refusal]:
    """Files that the repository keeps in LFS and that came as they are: without LFS, git stores them raw."""
    attributes = [
        sha for path, (_, sha) in trees.before.items() if path.rpartition("/")[2] == ".gitattributes"
    ]
    texts = git.read_blobs(trees.mirror, attributes, 1_000_000).values()
    if not any(b"filter=lfs" in text for text in texts):
        return
    changes = {change.path: change.new_sha for change in trees.added if change.new_mode.startswith("100")}
    blobs = git.read_blobs(trees.mirror, changes.values(), 1024)
    for path in _kept_in_lfs(trees, list(changes)):
        if not blobs.get(changes[path], b"").startswith(_POINTER):
            yield Refusal(path, "belongs in LFS, and its content would be stored in the repository itself")


def _kept_in_lfs(trees: Trees, paths: Sequence[str]) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="sprint-index-") as folder:
        env = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        git.git("read-tree", trees.work.base, git_dir=trees.mirror, env=env)
        asked = "\0".join(paths).encode("utf-8", "surrogateescape")
        told = git.git(
            *("check-attr", "--cached", "-z", "--stdin", "filter"), git_dir=trees.mirror, env=env, stdin=asked
        )
    fields = told.stdout.decode("utf-8", "surrogateescape").split("\0")
    for path, _, value in zip(*[iter(fields)] * 3, strict=False):
        if value == "lfs":
            yield path
