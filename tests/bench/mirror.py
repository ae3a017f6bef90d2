"""Getting a workspace of a large repository: the first tick, the second, and `git clone`."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from sprint import workspace
from sprint.domain import Workspace
from sprint.git import Remote
from tests.bench import measure
from tests.servers.forge import DemoForge

COMMITS = 50_000
FILES = 20_000
TIMES = 5
REPO = "acme/large"
_ORDINARY = 65_533  # a user that nobody is
_WORDS = [b"%x" % (number * 2654435761 % 2**28) for number in range(3000)]


def _text(index: int, version: int) -> bytes:
    """About 4 kB that compress as source code does, with one line that tells the version."""
    draw = random.Random(index)
    lines = [b" ".join(draw.choice(_WORDS) for _ in range(9)) for _ in range(80)]
    lines[version % 80] = b"version %d" % version
    return b"\n".join(lines) + b"\n"


def _history() -> Iterator[bytes]:
    """A fast-import stream: all files in the first commit, then one changed in each."""
    for number in range(1, COMMITS + 1):
        yield b"commit refs/heads/main\n"
        yield b"committer A <a@example.org> %d +0000\ndata 3\nc%d\n" % (1_600_000_000 + number, number % 10)
        for index in range(FILES) if number == 1 else (number * 7919 % FILES,):
            text = _text(index, number)
            yield b"M 100644 inline src/d%03d/f%05d.txt\ndata %d\n%s\n" % (
                index // 100,
                index,
                len(text),
                text,
            )


def bench(scratch: Path) -> Iterator[str]:
    with DemoForge("gitea", scratch / "forge") as forge:
        forge.add_repo(REPO, {"README.md": "large\n"})
        path = forge.path(REPO)
        importer = subprocess.Popen(
            ["git", "-C", str(path), "fast-import", "--quiet", "--force"], stdin=subprocess.PIPE
        )
        assert importer.stdin is not None
        for piece in _history():
            importer.stdin.write(piece)
        importer.stdin.close()
        assert importer.wait() == 0
        subprocess.run(["git", "-C", str(path), "repack", "-adfq"], check=True)
        url = f"{forge.url}/{REPO}.git"
        yield f"{COMMITS} commits, {FILES} files of 4 kB over HTTP on loopback; medians of {TIMES}"
        yield from measure.as_user(os.geteuid(), lambda: _measured(scratch, url))
        if os.geteuid() == 0:
            own = scratch / "ordinary"
            own.mkdir()
            os.chown(own, _ORDINARY, _ORDINARY)
            yield "the same for a runner that is an ordinary user:"
            yield from measure.as_user(_ORDINARY, lambda: _measured(own, url))


def _measured(scratch: Path, url: str) -> list[str]:
    """Nothing is removed in between: ext4 looks for an inode that was not freed lately, one after the other,
    and where twenty thousand were each file takes ten times as long."""
    remote, spaces = Remote(url), scratch / "spaces"
    spaces.mkdir(mode=0o711)

    def tick(name: str) -> Workspace:
        mirror, sha = workspace.update_mirror(scratch / "cache", "home", REPO, remote, branch="main")
        return workspace.create(spaces, name, mirror, sha, "main", "feat/issue-1", may_show=True)

    def clone(name: str) -> None:
        subprocess.run(["git", "clone", "-q", url, str(scratch / name)], check=True)

    first = measure.spent(lambda: tick("first"))
    later, clones = [], []
    for number in range(TIMES):
        later.append(measure.spent(partial(tick, f"later-{number}")))
        clones.append(measure.spent(partial(clone, f"clone-{number}")))
    second, cloned = measure.median(later), measure.median(clones)
    return [
        f"first tick {first.wall:.2f} s, later tick {second.wall:.2f} s, git clone {cloned.wall:.2f} s",
        f"later tick / git clone: {second.wall / cloned.wall:.2f} of wall (aim: 0.6; for root 0.3), "
        f"{second.cpu / cloned.cpu:.2f} of CPU",
    ]
